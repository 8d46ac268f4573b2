"""Judge a trained reward model on trajectories that it has not learned from, and draw the report.

    python eval.py runs/egodex/checkpoints/best egodex_dataset/egodex --out report/

Writes metrics.json, metrics.png, history.png and a picture a trajectory. Beside the held-out splits the table has
`train`, what training on DATASET learns from, to compare. Exit codes: 0 done, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rfm.console import log_to_terminal
from rfm.errors import UsageError

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"Error: {message}\n")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="eval.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="like runs/egodex/checkpoints/best")
    parser.add_argument("dataset", metavar="DATASET", help="as --dataset.dataset_path of train.py")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder for the report (default: report)")
    parser.add_argument(
        "--rows",
        choices=["held-out", "all"],
        default="held-out",
        help="those that training on DATASET keeps apart, or all, for a DATASET not trained on (default: held-out)",
    )
    parser.add_argument("--max-trajectories", type=int, default=1000, help="per split, at most (default: 1000)")
    parser.add_argument("--pictures", type=int, default=4, help="trajectories to draw, per split (default: 4)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = parse_arguments(argv)
    log_to_terminal()
    from rfm.report import write_report  # only now: --help need not wait for torch

    try:
        write_report(
            arguments.checkpoint,
            arguments.dataset,
            arguments.out,
            all_rows=arguments.rows == "all",
            max_trajectories=arguments.max_trajectories,
            pictures=arguments.pictures,
        )
    except UsageError as error:
        print(f"Error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("Interrupted: not everything is judged", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
