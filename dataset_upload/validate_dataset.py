"""Check a finished dataset: types, ids, tasks, vectors, clips, poses, counts.

    python -m dataset_upload.validate_dataset egodex_dataset --name egodex_test --sample_size 200

Tables, ledger and card are checked whole. Clips are decoded, and poses looked into, for a sample of evenly spaced
trajectories; `--sample_size all` takes every one. `--against SOURCE` compares these with the files that they were made
of. Exit codes: 0 every check passed, 1 some failed, 2 wrong usage, 3 stopped, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from dataset_upload.console.command import EXIT_DONE, EXIT_FAILED, command, exit_with

if TYPE_CHECKING:
    from argparse import Namespace


@command("not every check was made")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(argv)
    import json
    from collections import Counter
    from dataclasses import asdict

    from dataset_upload.console.interrupts import until_interrupted
    from dataset_upload.errors import UsageError, naming_argument
    from dataset_upload.formats.finished_dataset import format_of_dataset, open_dataset
    from dataset_upload.validation.against_source import compare
    from dataset_upload.validation.findings import print_table, validate
    from dataset_upload.validation.source_files import SourceFiles

    dataset = open_dataset(options.folder, options.name)
    with naming_argument("--against"):
        if options.against is not None and (loader := dataset.description.get("loader")) != "egodex":
            raise UsageError(f"only EgoDex's files can be compared; {dataset.name} was made by the loader {loader}")
        files = None if options.against is None else SourceFiles(options.against)
    checks = format_of_dataset(dataset).checks()
    findings = list(until_interrupted(validate(dataset, checks, options.sample_size, options.num_workers)))
    if files is not None:
        findings += compare(dataset, files, options.sample_size)
    counts = Counter(finding.outcome for finding in findings)
    passed = counts["fail"] == 0
    if options.json:
        result = {"dataset": dataset.name, "passed": passed, "checks": [asdict(finding) for finding in findings]}
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        print_table(findings)
        print(f"\n{dataset.folder}: {counts['pass']} of {len(findings)} checks passed", end="")
        print(f", {counts['skip']} need the ledger, which a copy lacks" if counts["skip"] else "")
    return EXIT_DONE if passed else EXIT_FAILED


def _parse(argv: Sequence[str] | None) -> Namespace:
    from dataset_upload.console.parser import Parser, add_num_workers, number_from

    parser = Parser(
        "python -m dataset_upload.validate_dataset",
        "Check a finished dataset. Exit codes: 0 every check passed, 1 some failed, 2 wrong usage, 3 stopped, "
        "130 interrupted.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="the output folder of a run, or a Hub repo OWNER/NAME")
    parser.add_argument("--name", help="which of the folder's datasets (default: the only one)")
    parser.add_argument(
        "--sample_size",
        metavar="N|all",
        type=number_from(1, or_all=True),
        default=100,
        help="trajectories whose clips are decoded and poses looked into (default: 100)",
    )
    parser.add_argument(
        "--against",
        metavar="SOURCE",
        help="compare the sample's poses, texts and frames with the part that it was made of, a folder or a zip",
    )
    add_num_workers(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser.parse(argv)


def script() -> NoReturn:
    """Run the command as a process: `egodex-validate`."""
    exit_with(main())


if __name__ == "__main__":
    script()
