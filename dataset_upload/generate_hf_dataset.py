"""Convert a robot-learning dataset, EgoDex above all, into an RFM dataset for Hugging Face.

    python -m dataset_upload.generate_hf_dataset \\
        --config_path=dataset_upload/configs/data_gen_configs/egodex.yaml \\
        --dataset.dataset_path=/path/to/egodex/test --output.max_trajectories=50

Run again, it goes on where it was; nothing finished is done twice. Exit codes: 0 all done, 1 some episodes failed,
2 wrong usage, 3 stopped (a full disk, say) and resumable, 130 interrupted and resumable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from dataset_upload.console.command import EXIT_DONE, EXIT_FAILED, command, exit_with


@command("what is finished is kept, the same command goes on")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    import gc
    import os

    from dataset_upload.config import GenerateConfig, parse_config
    from dataset_upload.console.logs import log_to_terminal
    from dataset_upload.console.options import naming_options

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the work is spread over processes
    gc.set_threshold(100_000)  # a large dataset is a million objects, none of them garbage: looking takes a second
    config = parse_config(argv)
    log_to_terminal(verbose=config.output.verbose)
    from dataset_upload.pipeline import generate  # only now: --help need not wait for the codecs

    with naming_options(GenerateConfig):
        return EXIT_FAILED if generate(config) else EXIT_DONE


def script() -> NoReturn:
    """Run the command as a process: `egodex-convert`."""
    exit_with(main())


if __name__ == "__main__":
    script()
