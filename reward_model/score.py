"""Score a video with a trained reward model: how far a task has come after each frame.

    python -m reward_model.score runs/egodex video.mp4 --task "Open the box" --out scored.mp4

What is written goes by the ending of --out: .mp4 the video with the curve below it, .png its judged frames above the
curve, .json the numbers. Exit codes: 0 done, 2 wrong usage, 3 stopped, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from dataset_upload.console.command import EXIT_DONE, command, exit_with

if TYPE_CHECKING:
    from argparse import Namespace


@command("nothing is written")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    from dataset_upload.console.logs import log_to_terminal

    options = _parse(argv)
    log_to_terminal()
    from reward_model.scored_files import write_scored  # only now: --help need not wait for torch

    write_scored(options.checkpoint, options.video, options.task, options.out)
    return EXIT_DONE


def _parse(argv: Sequence[str] | None) -> Namespace:
    from pathlib import Path

    from dataset_upload.console.parser import Parser

    parser = Parser("score.py", (__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a run like runs/egodex, or one checkpoint")
    parser.add_argument("video", metavar="VIDEO", type=Path, help="the video's file")
    parser.add_argument("--task", metavar="TEXT", required=True, help="what is to be done, like 'Open the box'")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("scored.mp4"),
        help="what to write, by its ending: .mp4, .png or .json (default: scored.mp4)",
    )
    return parser.parse(argv)


def script() -> NoReturn:
    """Run the command as a process: `egodex-score`."""
    exit_with(main())


if __name__ == "__main__":
    script()
