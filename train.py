"""Train a reward model on what the converter writes.

    uv run accelerate launch --config_file configs/fsdp.yaml train.py \\
        --config_path=configs/config.yaml --dataset.dataset_path=egodex_dataset/egodex

Run again, it goes on where it was. Exit codes: 0 trained, 2 wrong usage, 3 stopped (a full disk, say) and 130
interrupted, both resumable; `accelerate launch` makes 1 of any that is not 0.
"""

from __future__ import annotations

from collections.abc import Sequence

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


if __name__ == "__main__":
    exit_with(main())
