"""Every option of the training command: its default, its unit, what it accepts, whether it decides the weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dataset_upload.console.options import option, parse_options
from dataset_upload.errors import UsageError

# YAML files of options: in the package where it is installed, in configs/ of a checkout.
_PACKAGE = Path(__file__).parent
CONFIGS = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"


@dataclass
class DatasetConfig:
    """What to train on."""

    # How dataset and encoder are named decides nothing: what the names stand for is compared, by fingerprints.
    dataset_path: str = option(
        "egodex_dataset/egodex",
        "folder of a dataset, or how the names of several begin; docs/training.md",
        decides_bytes=False,
    )
    held_out_sessions: float = option(0.1, "share of the recording sessions that are kept for evaluation, 0 to 0.5")
    held_out_tasks: float = option(0.1, "share of the tasks that are kept for evaluation, 0 to 0.5")
    encoder: str = option(
        "auto",
        "what sees the frames: hf:<model id>, effnet_lite0, pixels16; auto: the best that is at hand",
        decides_bytes=False,
    )
    feature_cache: str = option(
        "runs/features",
        "folder for what the encoder saw; processes on several machines share it",
        decides_bytes=False,
    )
    max_text_similarity: float = option(0.9, "cosine from which two task texts count as the same task")


@dataclass
class ModelConfig:
    """The model."""

    size: Literal["small", "base"] = option("small", "about 0.5 or 13 million parameters")
    max_frames: int = option(16, "how many it sees at a time; longer clips are thinned evenly", unit="frames")
    progress_bins: int = option(21, "how finely progress from 0 to 1 is told", unit="classes")


@dataclass
class TrainingConfig:
    """How to train it."""

    output_dir: str = option("runs/egodex", "folder for checkpoints, metrics.jsonl and the report", decides_bytes=False)
    resume: Literal["auto", "never"] = option(
        "auto", "auto: go on from the last checkpoint, if there is one", decides_bytes=False
    )
    steps: int = option(300, "length of the training", unit="optimiser steps")
    batch_size: int = option(32, "what a step learns from, over all processes", unit="pairs of clips")
    learning_rate: float = option(1e-3, "at its highest, after the warm-up")
    warmup_steps: int = option(
        30, "how long the learning rate rises; afterwards it falls along a cosine to a tenth", unit="steps"
    )
    weight_decay: float = option(0.05, "AdamW's, on matrices")
    gradient_clip: float = option(1.0, "largest norm of a step's gradient")
    feature_noise: float = option(0.5, "how much noise is added to features", unit="their standard deviations")
    seed: int = option(0, "of weights and samples")
    log_every: int = option(10, "distance between lines of metrics.jsonl", unit="steps", decides_bytes=False)
    evaluate_every: int = option(100, "distance between evaluations", unit="steps", decides_bytes=False)
    checkpoint_every: int = option(100, "distance between checkpoints", unit="steps", decides_bytes=False)
    tracker: Literal["none", "tensorboard", "trackio"] = option(
        "none", "who else is told the metrics", decides_bytes=False
    )


@dataclass
class EvaluationConfig:
    """How to judge it."""

    max_trajectories: int = option(
        100, "how many to judge per split, at most", unit="trajectories", decides_bytes=False
    )


@dataclass
class TrainConfig:
    """Train a reward model on RFM datasets."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def parse_config(argv: Sequence[str] | None = None) -> TrainConfig:
    """Read the command line, and the YAML file that `--config_path` names.

    Raises:
        UsageError: one line that names the option and says what to do.
        SystemExit: after `--help`.
    """
    config = parse_options(TrainConfig, argv, prog="train.py", configs=CONFIGS)
    check_config(config)
    return config


def check_config(config: TrainConfig) -> None:
    """Check every value. Raises UsageError."""
    for option_name, lowest, highest in _RANGES:
        section_name, _, name = option_name.partition(".")
        value = getattr(getattr(config, section_name), name)
        if not lowest <= value <= highest:
            raise UsageError(f"--{option_name}: {value} must be from {lowest:g} to {highest:g}")
    encoder = config.dataset.encoder
    if encoder not in ("auto", "effnet_lite0", "pixels16") and not re.fullmatch(r"hf:.+", encoder):
        raise UsageError(f"--dataset.encoder: {encoder!r} is none of auto, hf:<model id>, effnet_lite0, pixels16")


_MANY = 1_000_000_000
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("dataset.held_out_sessions", 0, 0.5),
    ("dataset.held_out_tasks", 0, 0.5),
    ("dataset.max_text_similarity", -1, 1),
    ("model.max_frames", 2, 1024),
    ("model.progress_bins", 2, 1000),
    ("training.steps", 1, _MANY),
    ("training.batch_size", 1, 1_000_000),
    ("training.learning_rate", 0, 1),
    ("training.warmup_steps", 0, _MANY),
    ("training.weight_decay", 0, 10),
    ("training.gradient_clip", 1e-6, 1e9),
    ("training.feature_noise", 0, 10),
    ("training.seed", 0, 2**31),
    ("training.log_every", 1, _MANY),
    ("training.evaluate_every", 1, _MANY),
    ("training.checkpoint_every", 1, _MANY),
    ("evaluation.max_trajectories", 1, _MANY),
)
