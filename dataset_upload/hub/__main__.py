"""Push datasets to a repo of the Hugging Face Hub, verified.

    python -m dataset_upload.hub --push egodex_dataset OWNER/NAME
    python -m dataset_upload.hub --verify egodex_dataset OWNER/NAME

FOLDER is an output folder, or one dataset's folder in it. A push sends what the repo lacks: the clips first, then the
tables, then the card, so that what the card names is complete at any time. An interrupted push is completed by the next
one. At the end sizes and hashes of all files are compared. Exit codes: 0 all is there, 1 something differs, 2 wrong
usage, 3 the push did not complete and can be repeated, 130 interrupted, likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from dataset_upload.console.command import EXIT_DONE, EXIT_FAILED, command, exit_with

if TYPE_CHECKING:
    from argparse import Namespace


@command("the same command goes on")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    from dataset_upload.console.logs import log_to_terminal

    log_to_terminal()
    arguments = _parse(argv)
    from pathlib import Path

    from dataset_upload.config import HubConfig
    from dataset_upload.hub.push import push_or_verify

    folder, repo_id = arguments.push or arguments.verify
    options = HubConfig(
        hub_repo_id=repo_id,
        private=getattr(arguments, "hub.private"),
        viewer_video=getattr(arguments, "hub.viewer_video"),
        packed=getattr(arguments, "hub.packed"),
    )
    num_different = push_or_verify(Path(folder), options, verify_only=arguments.push is None)
    return EXIT_FAILED if num_different else EXIT_DONE


def _parse(argv: Sequence[str] | None) -> Namespace:
    from dataset_upload.console.parser import Parser, boolean

    parser = Parser(
        "python -m dataset_upload.hub",
        "Push datasets to a repo of the Hugging Face Hub, verified.",
        epilog="The access token is HF_TOKEN or the saved login. Give --verify the options that --push got.",
    )
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--push", nargs=2, metavar=("FOLDER", "REPO"), help="send what the repo lacks, then verify")
    task.add_argument("--verify", nargs=2, metavar=("FOLDER", "REPO"), help="only compare sizes and hashes")
    for name, default, what in (
        ("private", True, "false: do not refuse a public repo"),
        ("viewer_video", False, "add a column by which the Hub's viewer plays the clips"),
        ("packed", False, "put the clips into the tables instead of pushing a file each"),
    ):
        explanation = f"{what} (default: {str(default).lower()})"
        parser.add_argument(f"--hub.{name}", type=boolean, default=default, metavar="BOOL", help=explanation)
    return parser.parse(argv)


def script() -> NoReturn:
    """Run the command as a process: `egodex-hub`."""
    exit_with(main())


if __name__ == "__main__":
    script()
