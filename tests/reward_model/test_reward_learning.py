"""The model learns what it is for: on an easy dataset, drawn and converted, it judges episodes of unseen seeds."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import commands
import numpy as np
import pytest
from conversions import convert

from dataset_upload.mini_egodex.painting import BACKGROUNDS, SKINS, SLEEVES, TABLES, Look
from dataset_upload.mini_egodex.part import TASKS, write_episode

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("torch") is None, reason="needs the extra train")]

# Tasks whose state shows at 16x16 pixels, with the episodes of each to train on and to judge. One person at one table;
# speed, pauses, start poses, places, colours, working hand and camera vary.
EPISODES = {"open_close_box": (240, 40), "stack_unstack_blocks": (200, 20), "wipe_kitchen_surfaces": (160, 20)}
LOOK = Look(next(iter(TABLES)), next(iter(BACKGROUNDS)), SLEEVES[0], SKINS[0])
CONVERSION = ("--output.max_trajectories=-1", "--output.max_frames=16", "--output.frame_size=64")


def draw_episode(part: Path, task: str, number: int, seed: int) -> None:
    """Boxes are opened and closed in turn; blocks are stacked."""
    frames = int(np.random.default_rng([seed, number]).integers(18, 34))
    reverse = None if task == "open_close_box" else False
    write_episode(
        part, task, number, frames=frames, size=(112, 64), seed=seed, reverse=reverse, look=LOOK, frame_number=False
    )


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the datasets `easy_train` and `easy_unseen`, drawn with different seeds."""
    assert set(EPISODES) <= set(TASKS)
    root, jobs = tmp_path_factory.mktemp("easy"), []
    for task, (to_train_on, to_judge) in EPISODES.items():
        jobs += [(root / "train", task, number, 1) for number in range(to_train_on)]
        jobs += [(root / "unseen", task, number, 2) for number in range(to_judge)]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(draw_episode, *zip(*jobs, strict=True), chunksize=8))
    for part in ("train", "unseen"):
        convert(root / part, root / "datasets", *CONVERSION, name=f"easy_{part}", workers=2)
    return root / "datasets"


def run(script: str, *arguments: object) -> None:
    ended = commands.run(script, *arguments)
    assert ended.exit_code == 0, ended.stderr


def test_the_small_model_judges_episodes_of_unseen_seeds(easy: Path, tmp_path: Path) -> None:
    run(
        "train.py",
        f"--dataset.dataset_path={easy}/easy_train",
        "--dataset.encoder=pixels16",
        f"--dataset.feature_cache={tmp_path}/features",
        "--dataset.held_out_sessions=0",  # all of it: the seeds of easy_unseen are held out
        "--dataset.held_out_tasks=0",
        f"--training.output_dir={tmp_path}/run",
        "--training.steps=300",
        "--training.batch_size=64",
        "--training.evaluate_every=300",
    )
    last = tmp_path / "run/checkpoints/last"
    run("eval.py", last, easy / "easy_unseen", "--rows=all", f"--out={tmp_path}", "--pictures=3")

    metrics = json.loads((tmp_path / "metrics.json").read_text())
    measured = {name: metrics[f"all/{name}"] for name in ("voc", "rewound", "shuffled", "preference")}
    counted = {name: metrics[f"all/{name} baseline"] for name in measured}
    needed = {"voc": 0.95, "rewound": 0.85, "shuffled": 0.9, "preference": 0.9}
    assert all(measured[name] > needed[name] for name in needed), measured
    # What counting frames is worth: everything in VOC, nothing in the others.
    assert counted["voc"] == 1.0
    assert counted["rewound"] < 0.75, counted
    assert abs(counted["shuffled"]) < 0.2, counted
    assert counted["preference"] == 0.5
