"""Every option of the training command: its default, its unit, what it accepts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dataset_upload.console.options import parse_options
from dataset_upload.errors import UsageError

# YAML files of options: in the package where it is installed, in configs/ of a checkout.
_PACKAGE = Path(__file__).parent
CONFIGS = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"


@dataclass
class DatasetConfig:
    """What to train on."""

    dataset_path: str = (
        "egodex_dataset/egodex"  # folder of a dataset, or how the names of several begin; docs/training.md
    )
    held_out_sessions: float = 0.1  # share of the recording sessions that are kept for evaluation, 0 to 0.5
    held_out_tasks: float = 0.1  # share of the tasks that are kept for evaluation, 0 to 0.5
    encoder: str = "auto"  # what sees the frames: hf:<model id>, effnet_lite0, pixels16; auto: the best that is at hand
    feature_cache: str = "runs/features"  # folder for what the encoder saw; processes on several machines share it
    max_text_similarity: float = 0.9  # cosine from which two task texts count as the same task


@dataclass
class ModelConfig:
    """The model."""

    size: Literal["small", "base"] = "small"  # about 0.5 or 13 million parameters
    max_frames: int = 16  # frames it sees at a time; longer clips are thinned evenly
    progress_bins: int = 21  # classes that progress from 0 to 1 is told in


@dataclass
class TrainingConfig:
    """How to train it."""

    output_dir: str = "runs/egodex"  # folder for checkpoints, metrics.jsonl and the report
    resume: Literal["auto", "never"] = "auto"  # auto: go on from the last checkpoint, if there is one
    steps: int = 300  # optimiser steps
    batch_size: int = 32  # pairs of clips a step, over all processes
    learning_rate: float = 1e-3  # at its highest
    warmup_steps: int = 30  # steps until then; afterwards it falls along a cosine to a tenth
    weight_decay: float = 0.05  # AdamW's, on matrices
    gradient_clip: float = 1.0  # largest norm of a step's gradient
    feature_noise: float = 0.5  # noise on features, in their standard deviations
    seed: int = 0  # of weights and samples
    log_every: int = 10  # steps between lines of metrics.jsonl
    evaluate_every: int = 100  # steps between evaluations
    checkpoint_every: int = 100  # steps between checkpoints
    tracker: Literal["none", "tensorboard", "trackio"] = "none"  # who else is told the metrics


@dataclass
class EvaluationConfig:
    """How to judge it."""

    max_trajectories: int = 100  # per split, at most


@dataclass
class TrainConfig:
    """Train a reward model on RFM datasets."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


# What may change between a run and the one that resumes it: the rest decides the weights.
FREE_OPTIONS: dict[str, set[str]] = {
    "dataset": {"dataset_path", "encoder", "feature_cache"},  # what they stand for is compared, not how it is written
    "model": set(),
    "training": {"output_dir", "resume", "log_every", "evaluate_every", "checkpoint_every", "tracker"},
    "evaluation": {"max_trajectories"},
}


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
