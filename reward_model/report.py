"""The report on a checkpoint: a table, metrics.json and pictures."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from dataset_upload.errors import UsageError
from reward_model.checkpoints import load_weights, read_seen_rows, read_state
from reward_model.data import load_rows
from reward_model.evaluation import model_judge, table
from reward_model.metrics_log import read_metrics
from reward_model.model import make_model
from reward_model.plots import draw_history, draw_metrics, draw_trajectory
from reward_model.ranks import join_ranks
from reward_model.splits import LEARNED, NEVER_SEEN, SIDES
from reward_model.training import evaluate_splits, flatten, prepare_data

logger = logging.getLogger("reward_model")


METRICS_FILE = "metrics.json"
ALL = "all"


def write_report(
    checkpoint: Path, dataset: str, out: Path, *, all_rows: bool, max_trajectories: int, pictures: int
) -> None:
    """Evaluate a checkpoint on a dataset and write the report into `out`, in place of an earlier one.

    Rows are judged apart by what they were to the run: learned from, held out, or never seen.

    Args:
        checkpoint: folder of a checkpoint; any number of processes may have saved it.
        dataset: as `dataset_path` of the training configuration; it may be another than in training.
        out: folder of the report.
        all_rows: judge all rows as one split, whatever they were to the run.
        max_trajectories: per split, at most.
        pictures: trajectories to draw, per split but that learned from.

    Raises UsageError where checkpoint or dataset is not one, `out` cannot be made, or the encoder is another than in
    training.
    """
    state, seen = read_state(checkpoint), read_seen_rows(checkpoint)
    options = replace(state.config.dataset, encoder=state.encoder)
    rows = load_rows(dataset)
    try:
        out.mkdir(parents=True, exist_ok=True)  # before minutes of judging
    except OSError as error:
        raise UsageError(f"--out: {out} cannot be made ({error})") from error
    history = read_metrics(checkpoint.resolve().parent.parent)
    with join_ranks() as ranks:
        eyes = {"encoder": state.fingerprints["encoder"]}  # the dataset may be another than in training
        data = prepare_data(rows, options, state.config.model.max_frames, ranks, eyes)
        model = make_model(state.config, data.views.features.dim)
        load_weights(checkpoint, model)
        judge = model_judge(ranks.shard(model), data.views, ranks)

        labels = seen.label(rows, data.views.features.checksums)
        splits = {ALL: np.arange(len(rows))} if all_rows else labels
        results = evaluate_splits(judge, data.views, splits, max_trajectories)
        for line in (f"{checkpoint}, step {state.step}", *table(results)):
            logger.info(line)

        if ranks.is_main:
            _remove_pictures(out)
        (out / METRICS_FILE).write_text(json.dumps(flatten(results), indent=2).replace("NaN", "null") + "\n")
        draw_metrics(results, out / "metrics.png")
        draw_history(history, out / "history.png")
        for split, indices in splits.items():
            if split == LEARNED:
                continue
            for number, row in enumerate(indices[:: max(1, len(indices) // max(pictures, 1))][:pictures]):
                draw_trajectory(judge, data.views, int(row), out / f"{_stem(split)}-{number}.png")
    logger.info(f"Report: {out}")


def _stem(split: str) -> str:
    """How the names of a split's pictures begin."""
    return split.replace(" ", "-")


def _remove_pictures(out: Path) -> None:
    """Those of an earlier report: the new one may have fewer, or other splits."""
    name = re.compile(rf"({'|'.join(map(_stem, (*SIDES, NEVER_SEEN, ALL)))})-\d+\.png")
    if (out / METRICS_FILE).exists():  # else there was no report, and such a file is somebody else's
        for path in out.iterdir():
            if name.fullmatch(path.name):
                path.unlink()
