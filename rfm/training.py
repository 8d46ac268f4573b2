"""A training run, top to bottom: rows, features, model, steps, evaluation, checkpoints."""

from __future__ import annotations

import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from rfm.checkpoints import LAST, load_checkpoint, read_state, save_checkpoint
from rfm.config import FREE_OPTIONS, DatasetConfig, TrainConfig
from rfm.data import Splits, load_rows, split_rows
from rfm.encoders import choose_encoder, load_encoder
from rfm.errors import UsageError
from rfm.evaluation import Judge, Result, evaluate, model_judge, table
from rfm.features import Features, cache_folder, clip_checksums, dataset_fingerprint, encode_missing
from rfm.losses import compute_losses
from rfm.metrics_log import MetricsLog
from rfm.model import RewardModel, make_model
from rfm.ranks import Ranks
from rfm.samples import Batch, TrainingPairs, Views, collate

logger = logging.getLogger("rfm")

CHECKPOINTS = "checkpoints"


# Data ------------------------------------------------------------------------------------------------------


class Data(NamedTuple):
    """What a run or an evaluation reads.

    Attributes:
        views: makes views of the rows.
        splits: which of the rows are for what.
        encoder: name of the encoder that saw the clips.
        fingerprints: of that encoder, and of the rows with their clips.
    """

    views: Views
    splits: Splits
    encoder: str
    fingerprints: dict[str, str]


def prepare_data(config: DatasetConfig, max_frames: int, ranks: Ranks) -> Data:
    """Find the rows, split them, and encode those of their clips that have not been encoded yet."""
    rows = load_rows(config.dataset_path)
    splits = split_rows(rows, held_out_sessions=config.held_out_sessions, held_out_tasks=config.held_out_tasks)
    encoder = load_encoder(ranks.from_main(choose_encoder(config.encoder) if ranks.is_main else None), ranks.device)
    folder, checksums = cache_folder(Path(config.feature_cache).expanduser(), encoder), clip_checksums(rows)
    with ranks.raise_on_all():
        encode_missing(rows, checksums, encoder, folder, rank=ranks.rank, ranks=ranks.size)
    features = Features(folder, checksums)
    views = Views(rows, features, max_frames, config.max_text_similarity)
    fingerprints = {"encoder": encoder.fingerprint, "dataset": dataset_fingerprint(rows, checksums)}
    return Data(views, splits, encoder.name, fingerprints)


# Resuming --------------------------------------------------------------------------------------------------


def find_checkpoint(config: TrainConfig) -> Path | None:
    """The run's last checkpoint. Raises UsageError where there is one that must not be resumed, or cannot be."""
    last = Path(config.training.output_dir).expanduser() / CHECKPOINTS / LAST
    if not last.exists():
        return None
    if config.training.resume == "never":
        raise UsageError(f"--training.resume: never, but {last} is there; choose another --training.output_dir")
    before, now = read_state(last)["config"], asdict(config)
    for section, options in now.items():
        for name, value in options.items():
            if name not in FREE_OPTIONS[section] and before[section].get(name) != value:
                raise UsageError(
                    f"--{section}.{name}: {value!r}, but the run in {config.training.output_dir} began with "
                    f"{before[section].get(name)!r}; go back to that, or choose another --training.output_dir"
                )
    return last.resolve()


def check_same_data(checkpoint: Path, data: Data) -> None:
    """Raises UsageError where the checkpoint has seen other clips, or seen them with other eyes."""
    for what, before in read_state(checkpoint)["fingerprints"].items():
        if before != data.fingerprints[what]:
            raise UsageError(
                f"--dataset.dataset_path: the {what} is not the one that {checkpoint.parent.parent} began with; "
                "restore it, or choose another --training.output_dir"
            )


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


def evaluate_splits(judge: Judge, data: Data, max_trajectories: int) -> dict[str, dict[str, Result]]:
    """Every metric on each split that has rows; what is wrong beside a held-out row is held out, too."""
    held_out = np.concatenate(data.splits[1:])
    results = {}
    for name, rows in zip(("train", "held-out episodes", "held-out tasks"), data.splits, strict=True):
        if len(rows):
            others = rows if name == "train" else held_out
            results[name] = evaluate(judge, data.views, rows, others, max_trajectories)
    return results


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
    if checkpoint is not None and config.dataset.encoder == "auto":
        config.dataset.encoder = read_state(checkpoint)["encoder"]
    data = prepare_data(config.dataset, config.model.max_frames, ranks)
    pairs = TrainingPairs(data.views, data.splits.train, options.seed)

    model = make_model(config, data.views.features.dim)
    mean, std = data.views.features.statistics(data.splits.train)
    model.standardise(data.views.rows.text_vectors(data.splits.train), mean, std)
    model = ranks.shard(model)
    optimizer = make_optimizer(model, config)
    step, best = 0, -math.inf
    if checkpoint is not None:
        check_same_data(checkpoint, data)
        load_checkpoint(checkpoint, model, optimizer)
        state = read_state(checkpoint)
        step, best = state["step"], state["best"]
        logger.info(f"Resumed {output} at step {step} of {options.steps}")

    def load_batch(step: int) -> Batch:
        drawn = pairs.batch(step, options.batch_size, ranks.rank, ranks.size)
        views = [view for pair in drawn for view in (pair.chosen, pair.rejected)]
        return collate(views, data.views.rows, data.views.features, options.feature_noise * std)

    def save(*, is_best: bool) -> None:
        state = {"step": step, "best": best, "encoder": data.encoder, "fingerprints": data.fingerprints}
        state |= {"feature_dim": data.views.features.dim, "config": asdict(config)}
        save_checkpoint(output / CHECKPOINTS, model, optimizer, state, ranks, is_best=is_best)

    judge = model_judge(model, data.views, ranks)
    with ExitStack() as stack:
        log = MetricsLog(output, from_step=step, tracker=options.tracker) if ranks.is_main else None
        stack.enter_context(log or nullcontext())
        loader = stack.enter_context(ThreadPoolExecutor(1))
        bar = tqdm(total=options.steps, initial=step, desc="Training", unit="step", mininterval=2, disable=log is None)
        stack.enter_context(bar)
        following = loader.submit(load_batch, step)
        clock, clock_step = time.perf_counter(), step
        while step < options.steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, config)
            batch = following.result().to(ranks.device)
            following = loader.submit(load_batch, step + 1)  # while this one is learned from
            learned = take_step(model, optimizer, batch, ranks, options.gradient_clip)
            step += 1
            bar.update()

            is_last, is_best = step == options.steps, False
            if log and (is_last or step % options.log_every == 0):
                now = time.perf_counter()
                speed = options.batch_size * (step - clock_step) / (now - clock)
                clock, clock_step = now, step
                numbers = {name: float(value) for name, value in learned.items()}
                log.write(step, numbers | {"learning_rate": learning_rate(step - 1, config), "pairs_per_second": speed})
                bar.set_postfix(loss=f"{numbers['loss']:.3f}")
            if is_last or step % options.evaluate_every == 0:
                results = evaluate_splits(judge, data, config.evaluation.max_trajectories)
                score = results.get("held-out episodes", results["train"])["rewound"].value
                is_best, best = score > best, max(score, best)
                if log:
                    log.write(step, flatten(results))
                logger.info(f"Step {step} of {options.steps}\n{table(results)}")
            if is_last or is_best or step % options.checkpoint_every == 0:
                save(is_best=is_best)
    logger.info(f"Done: {step} steps, best rewound rank correlation {best:.3f}; see {output}")
