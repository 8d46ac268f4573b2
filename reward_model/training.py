"""A training run, top to bottom: rows, features, model, steps, evaluation, checkpoints."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from dataset_upload.console.interrupts import until_interrupted
from dataset_upload.console.options import result_settings
from dataset_upload.errors import UsageError
from reward_model.checkpoints import LAST, State, load_checkpoint, read_state, save_checkpoint
from reward_model.config import DatasetConfig, TrainConfig
from reward_model.data import Rows, load_rows
from reward_model.encoders import choose_encoder, load_encoder
from reward_model.evaluation import Judge, Result, evaluate, model_judge, table
from reward_model.features import Features, cache_folder, clip_checksums, dataset_fingerprint, encode_missing
from reward_model.losses import compute_losses
from reward_model.metrics_log import MetricsLog
from reward_model.model import RewardModel, make_model
from reward_model.ranks import Ranks
from reward_model.samples import Batch, Indices, TrainingPairs, Views, collate
from reward_model.splits import HELD_OUT_EPISODES, LEARNED, SeenRows, Splits, split_rows

logger = logging.getLogger("reward_model")

CHECKPOINTS = "checkpoints"


# Data ------------------------------------------------------------------------------------------------------


class Data(NamedTuple):
    """What a run or an evaluation reads.

    Attributes:
        views: makes views of the rows.
        encoder: name of the encoder that saw the clips.
        fingerprints: of that "encoder", and of the "dataset", the rows with their clips.
    """

    views: Views
    encoder: str
    fingerprints: dict[str, str]


def prepare_data(
    rows: Rows, config: DatasetConfig, max_frames: int, ranks: Ranks, learned_from: Mapping[str, str]
) -> Data:
    """Encode those of the rows' clips that have not been encoded yet.

    Raises UsageError, before that, where a fingerprint is another than that in `learned_from`, a checkpoint's.
    """
    name = ranks.from_main(choose_encoder(config.encoder) if ranks.is_main else None)
    with ranks.raise_on_all():
        encoder = load_encoder(name, ranks.device)
        check_same("encoder", encoder.fingerprint, learned_from)
        checksums = clip_checksums(rows)
        fingerprints = {"encoder": encoder.fingerprint, "dataset": dataset_fingerprint(rows, checksums)}
        check_same("dataset", fingerprints["dataset"], learned_from)
        folder = cache_folder(Path(config.feature_cache).expanduser(), encoder)
        encode_missing(rows, checksums, encoder, folder, rank=ranks.rank, ranks=ranks.size)
    views = Views(rows, Features(folder, checksums), max_frames, config.max_text_similarity)
    return Data(views, encoder.name, fingerprints)


def check_same(what: Literal["encoder", "dataset"], fingerprint: str, learned_from: Mapping[str, str]) -> None:
    """Raises UsageError where `learned_from` has another fingerprint of this."""
    if learned_from.get(what, fingerprint) != fingerprint:
        option = {"encoder": "--dataset.encoder", "dataset": "--dataset.dataset_path"}[what]
        raise UsageError(
            f"{option}: the {what} is not the one that the checkpoint has learned from; restore that one, or train "
            "anew in another --training.output_dir"
        )


# Resuming --------------------------------------------------------------------------------------------------


def find_checkpoint(config: TrainConfig) -> Path | None:
    """The run's last checkpoint. Raises UsageError where there is one that must not be resumed, or cannot be."""
    last = Path(config.training.output_dir).expanduser() / CHECKPOINTS / LAST
    if not os.path.exists(last):  # unlike Path.exists, it raises nothing where the folder cannot be read
        return None
    if config.training.resume == "never":
        raise UsageError(f"--training.resume: never, but {last} is there; choose another --training.output_dir")
    before = read_state(last).config
    for section in vars(config):
        began_with = result_settings(getattr(before, section))
        for name, value in result_settings(getattr(config, section)).items():
            if value != began_with[name]:
                raise UsageError(
                    f"--{section}.{name}: {value!r}, but the run in {config.training.output_dir} began with "
                    f"{began_with[name]!r}; go back to that, or choose another --training.output_dir"
                )
    return last.resolve()


# Steps -----------------------------------------------------------------------------------------------------


def make_optimizer(model: RewardModel, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices, but neither biases nor norms."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    decayed = {"params": matrices, "weight_decay": config.training.weight_decay}
    return torch.optim.AdamW(
        [decayed, {"params": vectors, "weight_decay": 0.0}], lr=config.training.learning_rate, betas=(0.9, 0.95)
    )


def learning_rate(step: int, config: TrainConfig) -> float:
    """Of a step, counted from 0: up along a line, then down along a cosine to a tenth."""
    options = config.training
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    done = (step - options.warmup_steps) / max(options.steps - options.warmup_steps, 1)
    return options.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2)


def prefetched(load: Callable[[int], Batch], first: int, end: int) -> Iterator[tuple[int, Batch]]:
    """The steps from `first` to before `end`, each with its batch; a thread makes the next one meanwhile."""
    with ThreadPoolExecutor(1) as loader:
        following = loader.submit(load, first)
        for step in range(first, end):
            batch = following.result()
            following = loader.submit(load, step + 1)
            yield step, batch


def take_step(
    model: RewardModel, optimizer: torch.optim.Optimizer, batch: Batch, ranks: Ranks, gradient_clip: float
) -> dict[str, torch.Tensor]:
    """Learn from a batch; returns each loss, and the gradient's norm, of all ranks together."""
    with ranks.autocast():
        judgement = model(batch.texts, batch.frames, batch.lengths)
    losses = compute_losses(judgement, batch, ranks.sum)
    optimizer.zero_grad()
    (losses.total * ranks.size).backward()  # times size, as fully_shard takes the mean of the ranks' gradients
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), gradient_clip)
    optimizer.step()
    parts = ranks.sum(torch.stack([losses.total, *losses]).detach())
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return dict(zip(("loss", "progress_loss", "success_loss", "preference_loss"), parts, strict=True)) | {
        "gradient_norm": norm
    }


def evaluate_splits(
    judge: Judge, views: Views, splits: Mapping[str, Indices], max_trajectories: int
) -> dict[str, dict[str, Result]]:
    """Every metric on each split that has rows; what is wrong beside a row not learned from is such a row, too."""
    not_learned = np.concatenate([rows for name, rows in splits.items() if name != LEARNED])
    return {
        name: evaluate(judge, views, rows, rows if name == LEARNED else not_learned, max_trajectories)
        for name, rows in splits.items()
        if len(rows)
    }


def flatten(results: dict[str, dict[str, Result]]) -> dict[str, float]:
    """Metrics by one name each: "held-out tasks/voc", "held-out tasks/voc baseline"."""
    flat: dict[str, float] = {}
    for split, metrics in results.items():
        for name, result in metrics.items():
            flat |= {f"{split}/{name}": result.value, f"{split}/{name} baseline": result.baseline}
    return flat


# The run ---------------------------------------------------------------------------------------------------


def train(config: TrainConfig, ranks: Ranks) -> None:
    """Train as configured, or go on where an earlier run of this configuration was stopped.

    Raises UsageError: the run cannot begin.
    """
    options, output = config.training, Path(config.training.output_dir).expanduser()
    if options.batch_size % ranks.size:
        raise UsageError(f"--training.batch_size: {options.batch_size} cannot be shared by {ranks.size} processes")
    checkpoint = find_checkpoint(config)
    state = read_state(checkpoint) if checkpoint else None
    if state and config.dataset.encoder == "auto":
        config.dataset.encoder = state.encoder
    rows = load_rows(config.dataset.dataset_path)
    splits = split_rows(
        rows, held_out_sessions=config.dataset.held_out_sessions, held_out_tasks=config.dataset.held_out_tasks
    )
    if not len(splits.train):
        raise UsageError("--dataset.held_out_sessions: nothing is left to train on; hold out less, or convert more")
    with ranks.raise_on_all():  # before hours of encoding
        log = MetricsLog(output, from_step=state.step if state else 0, tracker=options.tracker, is_main=ranks.is_main)
    with log:
        learned_from = state.fingerprints if state else {}
        data = prepare_data(rows, config.dataset, config.model.max_frames, ranks, learned_from)
        learn(config, data, splits, checkpoint, ranks, log)


def learn(
    config: TrainConfig, data: Data, splits: Splits, checkpoint: Path | None, ranks: Ranks, log: MetricsLog
) -> None:
    """Take the steps after the checkpoint's, or all, with evaluations and checkpoints in between."""
    options, output, rows = config.training, Path(config.training.output_dir).expanduser(), data.views.rows
    pairs = TrainingPairs(data.views, splits.train, options.seed)
    seen = SeenRows.of(rows, data.views.features.checksums, splits)
    model = make_model(config, data.views.features.dim)
    mean, std = data.views.features.statistics(splits.train)
    model.standardise(rows.text_vectors(splits.train), mean, std)
    model = ranks.shard(model)
    optimizer = make_optimizer(model, config)
    step, best = 0, -math.inf
    if checkpoint is not None:
        load_checkpoint(checkpoint, model, optimizer)
        state = read_state(checkpoint)
        step, best = state.step, state.best
        logger.info(f"Resumed {output} at step {step} of {options.steps}")

    def load_batch(step: int) -> Batch:
        drawn = pairs.batch(step, options.batch_size, ranks.rank, ranks.size)
        views = [view for pair in drawn for view in (pair.chosen, pair.rejected)]
        return collate(views, rows, data.views.features, options.feature_noise * std)

    def save(*, is_best: bool) -> None:
        state = State(step, best, data.encoder, data.fingerprints, config)
        save_checkpoint(output / CHECKPOINTS, model, optimizer, state, seen, ranks, is_best=is_best)

    judge = model_judge(model, data.views, ranks)
    clock, clock_step = time.perf_counter(), step
    with tqdm(
        total=options.steps, initial=step, desc="Training", unit="step", mininterval=2, disable=not ranks.is_main
    ) as bar:
        for done, batch in until_interrupted(prefetched(load_batch, step, options.steps)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(done, config)
            learned = take_step(model, optimizer, batch.to(ranks.device), ranks, options.gradient_clip)
            step = done + 1
            bar.update()

            is_last, is_best = step == options.steps, False
            if is_last or step % options.log_every == 0:
                numbers = {name: float(value) for name, value in learned.items()}
                speed = options.batch_size * (step - clock_step) / (time.perf_counter() - clock)
                log.write(step, numbers | {"learning_rate": learning_rate(done, config), "pairs_per_second": speed})
                bar.set_postfix(loss=f"{numbers['loss']:.3f}")
                clock, clock_step = time.perf_counter(), step
            is_time_to_evaluate = is_last or step % options.evaluate_every == 0
            if is_time_to_evaluate:
                results = evaluate_splits(judge, data.views, splits.by_name(), config.evaluation.max_trajectories)
                score = results.get(HELD_OUT_EPISODES, results[LEARNED])["rewound"].value
                score = ranks.from_main(score)  # all ranks save, or none: the last bits of their scores may differ
                is_best, best = score > best, max(score, best)
                log.write(step, flatten(results))
                for line in (f"Step {step} of {options.steps}", *table(results)):
                    logger.info(line)
            is_time_to_save = is_last or is_best or step % options.checkpoint_every == 0
            if is_time_to_save:
                save(is_best=is_best)
            if is_time_to_evaluate or is_time_to_save:
                clock, clock_step = time.perf_counter(), step  # speed is that of learning alone
    logger.info(f"Done: {step} steps, best rewound rank correlation {best:.3f}; see {output}")
