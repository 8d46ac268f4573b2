"""Write a finished LeRobot dataset in another version of the format, into a new folder, without decoding again.

    python -m dataset_upload.formats.lerobot egodex_dataset/egodex_test egodex_v21/egodex_test --version v2.1

Exit codes: 0 written, 1 the dataset is damaged, 2 wrong usage, 3 stopped, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_upload.console.command import EXIT_DONE, EXIT_FAILED, command, exit_with


@command("delete the new folder, then the same command begins again")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    from dataset_upload.console.logs import log_to_terminal, say
    from dataset_upload.console.parser import Parser

    log_to_terminal()
    parser = Parser(
        "python -m dataset_upload.formats.lerobot",
        "Write a finished LeRobot dataset in another version of the format, without decoding again.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="the dataset's folder, or a Hub repo OWNER/NAME")
    parser.add_argument("target", metavar="OUT", type=Path, help="a new folder")
    parser.add_argument("--version", choices=["v3.0", "v2.1"], default="v2.1", help="to write (default: v2.1)")
    options = parser.parse(argv)

    from dataset_upload.errors import UsageError
    from dataset_upload.formats.finished_dataset import open_dataset
    from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset
    from dataset_upload.formats.lerobot.rewriting import rewrite

    dataset = open_dataset(options.folder)
    if not isinstance(dataset, LerobotDataset):
        raise UsageError(f"{dataset.folder} is not a LeRobot dataset; convert with --output.format=lerobot")
    try:
        rewrite(dataset, options.target, options.version)
    except (LookupError, ValueError) as error:  # whatever a damaged dataset may cause
        say(f"Error: {dataset.folder} cannot be read ({error}); validate_dataset says more", sys.stderr)
        return EXIT_FAILED
    say(f"Wrote {len(dataset)} episodes to {options.target}", sys.stdout)
    return EXIT_DONE


if __name__ == "__main__":
    exit_with(main())
