"""Conversions, as a command of their own or in a fork that shares what takes long to load."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pytest
from commands import WITH_HARNESS, Run, environment, in_fork, run

from dataset_upload import language
from dataset_upload.config import parse_config
from dataset_upload.dataset_loaders import LOADERS
from dataset_upload.generate_hf_dataset import main
from dataset_upload.language import LanguageModelError, TextEncoder, find_model_files
from dataset_upload.video.preparation import prepare

NAME = "egodex_test"
MODULE = "dataset_upload.generate_hf_dataset"
WITH_TOYS = """
import sys
from dataset_upload.dataset_loaders import LOADERS
from dataset_upload.formats import FORMATS
from dataset_upload.generate_hf_dataset import main
LOADERS["toy"], FORMATS["toy"] = "toy_loader:ToyLoader", "toy_format:ToyFormat"
sys.exit(main())
"""


def arguments(source: Path | str, output_dir: Path, *options: str, name: str = NAME, workers: int = 0) -> list[str]:
    """The command's arguments; each option that is not given here has its default."""
    return [
        f"--dataset.dataset_path={source}",
        f"--dataset.dataset_name={name}",
        f"--output.output_dir={output_dir}",
        f"--output.num_workers={workers}",
        *options,
    ]


def small(*options: str) -> list[str]:
    """Options for a quick conversion of all there is."""
    return ["--output.max_trajectories=-1", "--output.frame_size=64", *options]


def skip_without_sentence_model() -> None:
    """Skip the test where the sentence model's weights are not available."""
    try:
        find_model_files()
    except LanguageModelError as error:
        pytest.skip(str(error))


@cache
def text_encoder() -> TextEncoder:
    """The sentence model, loaded once, with all else that conversions in forks share."""
    skip_without_sentence_model()
    encoder = language.text_encoder()
    encoder.encode("")
    prepare()
    pa.array([""])  # makes pyarrow load pandas, which takes as long; parsing loads draccus
    parse_config(["--dataset.dataset_path=somewhere"])
    import_module("dataset_upload.dataset_loaders.egodex.loader")
    return encoder


def convert(
    source: Path | str,
    output_dir: Path,
    *options: str,
    name: str = NAME,
    workers: int = 0,
    exit_code: int | None = 0,
    first: Callable[[], object] = lambda: None,
) -> Run:
    """Convert; fails the test unless it ends with `exit_code`. None: it may end as it likes.

    With workers, that is the command itself, with the user's environment; without, a fork, in which `first` runs
    before it.
    """
    given = arguments(source, output_dir, *options, name=name, workers=workers)
    if workers:
        skip_without_sentence_model()
        ended = run("-m", MODULE, *given, env=environment())
    else:
        text_encoder()

        def act() -> int:
            first()
            return main(given)

        ended = in_fork(act)
    assert exit_code in (None, ended.exit_code), ended.stdout + ended.stderr
    return ended


def run_with_toys(*arguments: str) -> Run:
    """Convert as the command itself, which knows the toys, too; it may end as it likes."""
    skip_without_sentence_model()
    return run("-c", WITH_TOYS, *arguments, env=environment(PYTHONPATH=WITH_HARNESS))


def convert_toy_arm(source: Path, output_dir: Path, *options: str, workers: int = 0) -> Run:
    """Convert what `toy_loader` reads, as `arm`; it may end as it likes."""
    given = arguments(source, output_dir, "--dataset.loader=toy", *small(*options), name="arm", workers=workers)
    if workers:
        return run_with_toys(*given)
    text_encoder()

    def act() -> int:
        LOADERS["toy"] = "toy_loader:ToyLoader"
        return main(given)

    return in_fork(act)


def fork_convert(
    source: Path | str, output_dir: Path, *more: str, name: str = NAME, first: Callable[[], object] = lambda: None
) -> Run:
    """Convert everything, small, in a fork; it may end as it likes."""
    return convert(source, output_dir, *small(*more), name=name, exit_code=None, first=first)
