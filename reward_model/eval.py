"""Judge a trained reward model on trajectories that it has not learned from, and draw the report.

    python -m reward_model.eval runs/egodex/checkpoints/best egodex_dataset/egodex --out report/

Writes metrics.json, metrics.png, history.png and a picture a trajectory. The table has apart what the checkpoint has
learned from (`train`, to compare), what was held out, and what it has never seen. Exit codes: 0 done, 2 wrong usage,
3 stopped, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from dataset_upload.console.command import EXIT_DONE, command, exit_with

if TYPE_CHECKING:
    from argparse import Namespace


@command("not everything is judged")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    from dataset_upload.console.logs import log_to_terminal

    options = _parse(argv)
    log_to_terminal()
    from reward_model.report import write_report  # only now: --help need not wait for torch

    write_report(
        options.checkpoint,
        options.dataset,
        options.out,
        all_rows=options.rows == "all",
        max_trajectories=options.max_trajectories,
        pictures=options.pictures,
    )
    return EXIT_DONE


def _parse(argv: Sequence[str] | None) -> Namespace:
    from pathlib import Path

    from dataset_upload.console.parser import Parser, number_from

    parser = Parser("eval.py", (__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="like runs/egodex/checkpoints/best")
    parser.add_argument("dataset", metavar="DATASET", help="as --dataset.dataset_path of train.py")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("report"), help="folder for the report (default: report)"
    )
    parser.add_argument(
        "--rows",
        choices=["held-out", "all"],
        default="held-out",
        help="held-out: apart, by what they were to the checkpoint; all: as one (default: held-out)",
    )
    parser.add_argument(
        "--max_trajectories", metavar="N", type=number_from(1), default=1000, help="per split, at most (default: 1000)"
    )
    parser.add_argument(
        "--pictures", metavar="N", type=number_from(0), default=4, help="trajectories to draw, per split (default: 4)"
    )
    return parser.parse(argv)


def script() -> NoReturn:
    """Run the command as a process: `egodex-eval`."""
    exit_with(main())


if __name__ == "__main__":
    script()
