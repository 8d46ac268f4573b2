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

    Raises UsageError where checkpoint or dataset is not one, or the encoder is another than in training.
    """
    state = read_state(checkpoint)
    config = config_from(state["config"])
    options = replace(config.dataset, dataset_path=dataset, encoder=state["encoder"])
    with join_ranks() as ranks:
        data = prepare_data(options, config.model.max_frames, ranks)
        if data.fingerprints["encoder"] != state["fingerprints"]["encoder"]:
            raise UsageError(f"{state['encoder']} has other weights here than when {checkpoint} was trained")
        model = make_model(config, state["feature_dim"])
        load_weights(checkpoint, model)
        judge = model_judge(ranks.shard(model), data.views, ranks)

        splits: dict[str, Indices]
        if all_rows:
            everything = np.arange(len(data.views.rows))
            splits = {"all": everything}
            results = {"all": evaluate(judge, data.views, everything, everything, max_trajectories)}
        else:
            splits = {"held-out episodes": data.splits.held_out_episodes, "held-out tasks": data.splits.held_out_tasks}
            results = evaluate_splits(judge, data, max_trajectories)
        logger.info(f"{checkpoint}, step {state['step']}\n{table(results)}")

        out.mkdir(parents=True, exist_ok=True)
        (out / "metrics.json").write_text(json.dumps(flatten(results), indent=2).replace("NaN", "null") + "\n")
        draw_metrics(results, out / "metrics.png")
        draw_history(read_metrics(checkpoint.resolve().parent.parent), out / "history.png")
        for split, rows in splits.items():
            for number, row in enumerate(rows[:: max(1, len(rows) // max(pictures, 1))][:pictures]):
                draw_trajectory(judge, data.views, int(row), out / f"{split.replace(' ', '-')}-{number}.png")
    logger.info(f"Report: {out}")


def config_from(saved: dict[str, Any]) -> TrainConfig:
    """The configuration that a checkpoint was trained with."""
    config = TrainConfig()
    for section in fields(config):
        setattr(config, section.name, replace(getattr(config, section.name), **saved[section.name]))
    return config
