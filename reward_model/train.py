"""Train a reward model on what the converter writes.

    python -m reward_model.train --config_path=config.yaml --dataset.dataset_path=egodex_dataset/egodex

Run again, it goes on where it was. Exit codes: 0 trained, 2 wrong usage, 3 stopped (a full disk, say) and 130
interrupted, both resumable; `accelerate launch` makes 1 of any that is not 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from dataset_upload.console.command import EXIT_DONE, command, exit_with


@command("the same command goes on from the last checkpoint")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    from dataset_upload.console.logs import log_to_terminal
    from reward_model.config import parse_config

    config = parse_config(argv)
    log_to_terminal()
    from reward_model.ranks import join_ranks  # only now: --help need not wait for torch
    from reward_model.training import train

    with join_ranks() as ranks:
        train(config, ranks)
    return EXIT_DONE


def script() -> NoReturn:
    """Run the command as a process: `egodex-train`."""
    exit_with(main())


if __name__ == "__main__":
    script()
