"""Train a reward model on what the converter writes.

    uv run accelerate launch --config_file configs/fsdp.yaml train.py \\
        --config_path=configs/config.yaml --dataset.dataset_path=egodex_dataset/egodex

Run again, it goes on where it was. Exit codes: 0 trained, 2 wrong usage, 130 interrupted and resumable; `accelerate
launch` makes 1 of any that is not 0.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from rfm.config import parse_config
from rfm.console import log_to_terminal
from rfm.errors import UsageError

EXIT_USAGE, EXIT_INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # batch systems send it before they kill
    try:
        config = parse_config(argv)
        log_to_terminal()
        from rfm.ranks import join_ranks  # only now: --help need not wait for torch
        from rfm.training import train

        with join_ranks() as ranks:
            train(config, ranks)
        return 0
    except UsageError as error:
        if os.environ.get("RANK", "0") == "0":
            print(f"Error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("Interrupted: the same command goes on from the last checkpoint", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
