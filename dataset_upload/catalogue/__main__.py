"""Measure every episode of a source, without its videos, into one table.

    python -m dataset_upload.catalogue /path/to/egodex/test test.parquet

SOURCE is what conversion reads: a part's folder, its zip, the zip's URL, or several. Of an archive only the annotation
files are read, or fetched. Rows are in the natural order of keys: tasks, then 0, 1, 2, … 10. Finished rows are kept in
OUT.rows, so that the same command goes on where it was stopped, and measures only what is new or changed. Exit codes: 0
all are measured, 1 some cannot be, 2 wrong usage, 3 stopped and resumable, 130 interrupted and resumable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from dataset_upload.console.command import EXIT_DONE, EXIT_FAILED, command, exit_with

if TYPE_CHECKING:
    from argparse import Namespace

    from dataset_upload.shard import Shard

# What the command line calls an option that messages name.
_NAMES = {"dataset_path": "SOURCE", "engine": "--engine", "loader": "--loader"}


@command("what is finished is kept, the same command goes on")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    import gc
    import os

    options = _parse(argv)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the work is spread over processes
    gc.set_threshold(100_000)  # a large source is a million objects, none of them garbage
    from pathlib import Path

    from dataset_upload.catalogue.run import catalogue
    from dataset_upload.config import DatasetConfig, GenerateConfig, OutputConfig
    from dataset_upload.console.logs import log_to_terminal
    from dataset_upload.dataset_loaders import make_loader
    from dataset_upload.engines import find_engine
    from dataset_upload.errors import UsageError

    log_to_terminal()
    shard = None if options.shard is None else _shard(options.shard)
    source = options.source[0] if len(options.source) == 1 else options.source
    dataset = DatasetConfig(dataset_path=source, loader=options.loader)
    output = OutputConfig(
        engine=options.engine,
        num_workers=options.num_workers,
        ray_address=options.ray_address,
        episode_timeout_s=options.episode_timeout_s,
    )
    try:
        loader = make_loader(GenerateConfig(dataset=dataset, output=output))
        num_failed = catalogue(loader, Path(options.out).expanduser(), find_engine(output), shard)
    except UsageError as error:
        error.argument = _NAMES.get(error.argument or "", error.argument)
        raise
    return EXIT_FAILED if num_failed else EXIT_DONE


def _parse(argv: Sequence[str] | None) -> Namespace:
    from dataset_upload.config import OutputConfig
    from dataset_upload.console.parser import Parser, add_num_workers, number_from

    parser = Parser(
        "python -m dataset_upload.catalogue",
        "Measure every episode of a source, without its videos, into one table: docs/quality.md. Exit codes: 0 all are "
        "measured, 1 some cannot be, 2 wrong usage, 3 stopped and resumable, 130 interrupted and resumable.",
    )
    parser.add_argument(
        "source", metavar="SOURCE", nargs="+", help="folder, zip or URL of an EgoDex part, egodex://test; or several"
    )
    parser.add_argument("out", metavar="OUT.parquet", help="the table; finished rows are kept beside it, in OUT.rows")
    parser.add_argument(
        "--shard", metavar="i/n", help="measure only a share: 0/8 is the first of eight; the run without it finishes"
    )
    add_num_workers(parser)
    default = OutputConfig()
    parser.add_argument(
        "--engine",
        default=default.engine,
        help=f"where episodes are measured: here, processes, ray (default: {default.engine})",
    )
    parser.add_argument(
        "--ray_address",
        metavar="HOST:PORT",
        default=default.ray_address,
        help="of the cluster for --engine=ray; auto: that of this machine; local: start one (default: auto)",
    )
    parser.add_argument(
        "--episode_timeout_s",
        metavar="N",
        type=number_from(1),
        default=default.episode_timeout_s,
        help=f"seconds after which an episode is given up; needs workers (default: {default.episode_timeout_s})",
    )
    parser.add_argument("--loader", default="egodex", help="what reads SOURCE (default: egodex)")
    return parser.parse(argv)


def _shard(text: str) -> Shard:
    from dataset_upload.errors import UsageError
    from dataset_upload.shard import Shard

    try:
        return Shard.parse(text)
    except ValueError as error:
        raise UsageError(f"--shard: {text} {error}") from error


def script() -> NoReturn:
    """Run the command as a process: `egodex-catalogue`."""
    exit_with(main())


if __name__ == "__main__":
    script()
