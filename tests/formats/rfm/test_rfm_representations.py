"""RFM datasets whose actions are of another representation than the guide's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conversions import convert, convert_toy_arm, fork_convert
from dataset_reader import Dataset
from drawn_egodex import tiny_egodex

from dataset_upload import validate_dataset
from dataset_upload.actions import REPRESENTATIONS, find_representation
from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader

NAME = "egodex_test"
NAMES = [name for name in REPRESENTATIONS if name != "guide15"]
WITH_AXES = ["egodex48-canonical", "cosmos57-canonical", "xvla20-canonical", "head12-canonical"]


class Made(NamedTuple):
    """A dataset, and what it was made of."""

    source: Path
    dataset: Dataset
    description: dict[str, Any]
    name: str
    wrist_axes: str


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "test"
    tiny_egodex(folder, episodes=2)
    return folder


@pytest.fixture(scope="module", params=[*NAMES, *WITH_AXES])
def made(request: pytest.FixtureRequest, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    name, _, axes = request.param.partition("-")
    out = tmp_path_factory.mktemp(name)
    options = [f"--output.action_representation={name}", "--output.max_frames=4"]
    options += [f"--output.wrist_axes={axes}"] if axes else []
    ended = fork_convert(source, out, *options)
    assert ended.exit_code == 0, ended.stdout + ended.stderr
    description = json.loads((out / NAME / "conversion.json").read_text())
    return Made(source, Dataset(out), description, name, axes or "arkit")


def test_rows_hold_its_numbers_at_the_clip_s_frames(made: Made) -> None:
    loader = EgoDexLoader(str(made.source), NAME, with_skeleton=True)
    representation = find_representation(made.name, (), made.wrist_axes)  # type: ignore[arg-type]
    for episode in loader.list_episodes():
        row = made.dataset.row(episode.key)
        expected = representation.at_each_frame(loader.load(episode), np.array(row["frame_indices"]))
        np.testing.assert_array_equal(np.array(row["actions"], np.float32), expected)


def test_its_names_frame_and_rotation_are_told(made: Made) -> None:
    representation = find_representation(made.name, (), made.wrist_axes)  # type: ignore[arg-type]
    assert made.description["action_names"] == list(representation.action_names)
    assert made.description["action_frame"] == representation.action_frame
    assert made.description["action_rotation"] == representation.rotation
    assert made.description["settings"]["action_representation"] == made.name
    assert len(made.description["action_statistics"]["mean"]) == len(representation.action_names)
    card = (made.dataset.output_dir / "README.md").read_text()
    assert f"| actions | (T, D) `{made.name}`, frame: {representation.action_frame}; rotation: " in card
    assert f"`{representation.action_names[0]}`" in card and f"`{representation.action_names[-1]}`" in card


def test_it_passes_every_check_and_the_comparison_with_its_source(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(made.dataset.output_dir), "--json", "--sample-size=all", f"--against={made.source}"]
    assert validate_dataset.main(arguments) == 0, capsys.readouterr().out
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert {check["outcome"] for check in checks} == {"pass"}


def alter(made: Made, out: Path, column: str) -> Path:
    """A copy whose first action is wrong in one column."""
    shutil.copytree(made.dataset.output_dir, out)
    path = out / NAME / "train-00000-of-00001.parquet"
    schema, rows = pq.read_schema(path), pq.read_table(path).to_pylist()
    number = made.description["action_names"].index(column)
    rows[0]["actions"][0][number] += 0.01
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return out


@pytest.mark.parametrize(
    ("made", "column"),
    [
        ("egodex48", "leftHand_y"),
        ("egodex48-canonical", "rightHand_r00"),
        ("cosmos57", "rightHand_r11"),
        ("groot29", "camera_r01"),
        ("xvla20", "leftHand_r21"),
        ("skeleton204", "hip_z"),
    ],
    indirect=["made"],
)
def test_the_comparison_notices_an_action_that_is_not_the_source_s(
    made: Made, column: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    altered = alter(made, tmp_path / "altered", column)
    assert validate_dataset.main([str(altered), "--json", "--sample-size=all", f"--against={made.source}"]) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    failed = {check["check"] for check in checks if check["outcome"] == "fail"}
    assert ("source_rotations" if "_r" in column else "source_positions") in failed


@pytest.mark.parametrize("made", NAMES, indirect=True)
def test_it_is_drawn(made: Made, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    from dataset_upload import visualize_dataset

    arguments = [str(made.dataset.output_dir), "--out", str(tmp_path)]
    assert visualize_dataset.main([*arguments, "--max-samples=1"]) == 0
    assert visualize_dataset.main([*arguments, "--report"]) == 0


# Choosing -----------------------------------------------------------------------------------------------------


def test_the_default_is_the_guide_s_15_columns(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path, "--output.max_trajectories=1", "--output.frame_size=64")
    description = json.loads((tmp_path / NAME / "conversion.json").read_text())
    assert len(description["action_names"]) == 15 and "action_frame" not in description
    frame = "metres in the recording's world frame (ARKit's: y up, its own origin)"
    assert f"| actions | (T, D) {frame}: `leftHand_x`" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--output.action_representation=egodex49"], "--output.action_representation: egodex49 is none of guide15, "),
        (["--output.wrist_axes=canonical"], "--output.wrist_axes: guide15 has no wrist rotations"),
        (
            ["--output.action_representation=egodex48", "--output.actions=[hands]"],
            "--output.actions: chooses parts of guide15; leave it out with egodex48",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(source: Path, tmp_path: Path, options: list[str], line: str) -> None:
    ended = fork_convert(source, tmp_path / "out", *options)
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"Error: {line}") and len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "lacks"),
    [("egodex48", "hands"), ("head12", "camera and hands"), ("skeleton204", "skeleton")],
)
def test_a_loader_without_these_poses_is_refused_before_the_run(
    toy_arm: Path, tmp_path: Path, name: str, lacks: str
) -> None:
    ended = convert_toy_arm(toy_arm, tmp_path / "out", f"--output.action_representation={name}")
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"Error: --output.action_representation: {name} is made of poses of {lacks}, which ")
    assert not (tmp_path / "out").exists()


def test_an_episode_without_a_joint_fails_only_where_it_is_needed(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "source")
    first = next(path for path in sorted((tmp_path / "source").rglob("*.hdf5")))
    with h5py.File(first, "a") as file:
        del file["transforms/hip"]
    assert fork_convert(tmp_path / "source", tmp_path / "plain").exit_code == 0
    ended = fork_convert(tmp_path / "source", tmp_path / "whole", "--output.action_representation=skeleton204")
    assert ended.exit_code == 1
    assert "no pose 'transforms/hip'" in ended.stdout + ended.stderr and "Done:    1" in ended.stdout


def test_another_representation_must_not_be_added_to_a_dataset(source: Path, tmp_path: Path) -> None:
    options = ["--output.max_trajectories=1", "--output.frame_size=64"]
    convert(source, tmp_path, *options)
    ended = convert(source, tmp_path, *options, "--output.action_representation=head12", exit_code=2)
    assert 'output.action_representation="guide15" there, "head12" now' in ended.stderr
