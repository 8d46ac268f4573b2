"""The report on a checkpoint: a table, metrics.json and pictures."""

from __future__ import annotations

import json
import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from rfm.checkpoints import load_weights, read_state
from rfm.config import TrainConfig
from rfm.data import load_rows, split_rows
from rfm.errors import UsageError
from rfm.evaluation import evaluate, model_judge, table
from rfm.metrics_log import read_metrics
from rfm.model import make_model
from rfm.plots import draw_history, draw_metrics, draw_trajectory
from rfm.ranks import join_ranks
from rfm.samples import Indices
from rfm.training import evaluate_splits, flatten, prepare_data

logger = logging.getLogger("rfm")


def write_report(
    checkpoint: Path, dataset: str, out: Path, *, all_rows: bool, max_trajectories: int, pictures: int
) -> None:
    """Evaluate a checkpoint on a dataset and write the report into `out`.

    Args:
        checkpoint: folder of a checkpoint; any number of processes may have saved it.
        dataset: as `dataset_path` of the training configuration.
        out: folder of the report.
        all_rows: take all rows for held out: right for a dataset that was not trained on.
        max_trajectories: per split, at most.
        pictures: trajectories to draw, per split.

    Raises UsageError where checkpoint or dataset is not one, `out` cannot be made, or the encoder is another than in
    training.
    """
    state = read_state(checkpoint)
    config = config_from(state["config"])
    options = replace(config.dataset, encoder=state["encoder"])
    rows = load_rows(dataset)
    try:
        out.mkdir(parents=True, exist_ok=True)  # before minutes of judging
    except OSError as error:
        raise UsageError(f"--out: {out} cannot be made ({error})") from error
    with join_ranks() as ranks:
        eyes = {"encoder": state["fingerprints"]["encoder"]}  # the dataset may be another than in training
        data = prepare_data(rows, options, config.model.max_frames, ranks, eyes)
        model = make_model(config, state["feature_dim"])
        load_weights(checkpoint, model)
        judge = model_judge(ranks.shard(model), data.views, ranks)

        to_draw: dict[str, Indices]
        if all_rows:
            everything = np.arange(len(rows))
            to_draw = {"all": everything}
            results = {"all": evaluate(judge, data.views, everything, everything, max_trajectories)}
        else:
            splits = split_rows(
                rows, held_out_sessions=options.held_out_sessions, held_out_tasks=options.held_out_tasks
            )
            to_draw = {"held-out episodes": splits.held_out_episodes, "held-out tasks": splits.held_out_tasks}
            results = evaluate_splits(judge, data.views, splits, max_trajectories)
        for line in (f"{checkpoint}, step {state['step']}", *table(results)):
            logger.info(line)

        (out / "metrics.json").write_text(json.dumps(flatten(results), indent=2).replace("NaN", "null") + "\n")
        draw_metrics(results, out / "metrics.png")
        draw_history(read_metrics(checkpoint.resolve().parent.parent), out / "history.png")
        for split, drawn in to_draw.items():
            for number, row in enumerate(drawn[:: max(1, len(drawn) // max(pictures, 1))][:pictures]):
                draw_trajectory(judge, data.views, int(row), out / f"{split.replace(' ', '-')}-{number}.png")
    logger.info(f"Report: {out}")


def config_from(saved: dict[str, Any]) -> TrainConfig:
    """The configuration that a checkpoint was trained with."""
    config = TrainConfig()
    for section in fields(config):
        setattr(config, section.name, replace(getattr(config, section.name), **saved[section.name]))
    return config
