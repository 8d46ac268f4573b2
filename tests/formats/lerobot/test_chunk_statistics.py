"""Statistics of chunks are NumPy's own of what `to_chunk` gives at every frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conversions import NAME, convert_toy_arm, fork_convert
from drawn_egodex import tiny_egodex
from numpy_statistics import numpy_statistics
from output_folder import identities, published

from dataset_upload import validate_dataset
from dataset_upload.actions import find_representation
from dataset_upload.actions.chunks import to_chunk
from dataset_upload.actions.rotations import to_matrix
from dataset_upload.formats.finished_dataset import open_dataset
from dataset_upload.formats.lerobot import chunk_statistics as module
from dataset_upload.formats.lerobot.__main__ import main as rewrite
from dataset_upload.formats.lerobot.chunk_statistics import EpisodeActions, chunk_statistics
from dataset_upload.formats.lerobot.episode_stats import Stats
from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset

CHUNKS = "meta/chunk_stats.json"


def assert_numpys(stats: Stats, name: str, horizon: int, episodes: Sequence[EpisodeActions]) -> None:
    representation = find_representation(name)
    chunks = [
        to_chunk(representation, *episode, start, horizon, ending="cut").actions
        for episode in episodes
        for start in range(len(episode.actions))
    ]
    for step in range(horizon):
        rows = np.stack([chunk[step] for chunk in chunks if len(chunk) > step])
        for kind, values in numpy_statistics(rows).items():
            np.testing.assert_allclose(stats[kind][step], values, rtol=1e-6, atol=1e-6, err_msg=f"{kind} of {step}")
        assert stats["count"][step] == len(rows)


@pytest.mark.parametrize("name", ["egodex48", "groot29", "head12"])
def test_they_are_those_of_all_chunks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COLUMNS", 100)  # two passes or more over all rows
    monkeypatch.setattr(module, "_FRAMES", 4)
    random = np.random.default_rng(0)
    representation, episodes = find_representation(name), []
    for length in (3, 11, 7):
        cameras = np.tile(np.eye(4, dtype=np.float32), (length, 1, 1))
        cameras[:, :3, :3] = to_matrix(random.normal(size=(length, 4)), "quaternion_xyzw")
        cameras[:, :3, 3] = random.normal(size=(length, 3))
        actions = random.normal(size=(length, len(representation.action_names))).astype(np.float32)
        episodes.append(EpisodeActions(actions, cameras))
    stats = chunk_statistics(representation, 9, lambda: episodes)
    assert stats is not None and np.shape(stats["q99"]) == (9, len(representation.action_names))
    assert stats["count"] == [21, 18, 15, 12, 10, 8, 6, 4, 3]
    assert_numpys(stats, name, 9, episodes)
    assert chunk_statistics(representation, 12, lambda: episodes) is None


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "test"
    tiny_egodex(path, episodes=4)
    return path


def convert(source: Path, output_dir: Path, *options: str) -> None:
    options = ("--output.format=lerobot", "--output.action_representation=xvla20", *options)
    ended = fork_convert(source, output_dir, *options)
    assert ended.exit_code == 0, ended.stderr


def test_a_dataset_has_those_that_are_asked_for_and_no_others(tiny: Path, tmp_path: Path) -> None:
    convert(tiny, tmp_path / "out", "--lerobot.horizons=[2, 5, 900]")
    dataset = open_dataset(str(tmp_path / "out"))
    assert isinstance(dataset, LerobotDataset)
    stored = json.loads((dataset.folder / CHUNKS).read_text())["camera"]
    assert list(stored) == ["2", "5"]  # no episode has 900
    episodes = [
        EpisodeActions(each.actions.astype(np.float32), each.camera_to_world.astype(np.float32))
        for each in dataset.trajectories()
    ]
    for horizon, stats in stored.items():
        assert_numpys(stats, "xvla20", int(horizon), episodes)
    assert validate_dataset.main([str(tmp_path / "out")]) == 0
    assert rewrite([str(dataset.folder), str(tmp_path / "v21")]) == 0
    assert json.loads((tmp_path / "v21" / CHUNKS).read_text())["camera"] == stored
    stored["5"]["q99"][4][7] += 0.01
    (dataset.folder / CHUNKS).write_text(json.dumps({"camera": stored}))
    assert validate_dataset.main([str(tmp_path / "out")]) == 1


def test_they_can_be_asked_for_later_without_another_conversion(tiny: Path, tmp_path: Path) -> None:
    later, at_once = tmp_path / "later", tmp_path / "at_once"
    convert(tiny, later)
    before = identities(later)
    assert not (later / NAME / CHUNKS).exists()
    convert(tiny, later, "--lerobot.horizons=[3]")
    assert {path for path in before if "/data/" in path or "/videos/" in path} & {
        path for path in before if identities(later)[path] != before[path]
    } == set()
    convert(tiny, at_once, "--lerobot.horizons=[3]")
    assert published(later) == published(at_once)
    convert(tiny, later)
    assert not (later / NAME / CHUNKS).exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--output.action_representation=cosmos57_framewise", "--lerobot.horizons=[16]"], "not positions"),
        (["--lerobot.horizons=[0]"], "0 must be from 1 to 1000"),
        (["--lerobot.horizons=[16, 16]"], "name each once"),
    ],
)
def test_what_cannot_be_is_refused(tiny: Path, tmp_path: Path, options: list[str], reason: str) -> None:
    ended = fork_convert(tiny, tmp_path / "out", "--output.format=lerobot", *options)
    assert ended.exit_code == 2
    assert ended.last_line.startswith("Error: --lerobot.horizons: ") and reason in ended.last_line
    assert not (tmp_path / "out").exists()


def test_a_robot_without_a_camera_has_none(toy_arm: Path, tmp_path: Path) -> None:
    options = ["--output.format=lerobot", "--lerobot.fps=15", "--lerobot.horizons=[4]"]
    ended = convert_toy_arm(toy_arm, tmp_path / "out", *options)
    assert ended.exit_code == 2 and "--lerobot.horizons" in ended.last_line
