"""`lerobot.keys: mecka`: what Cosmos' reader makes of the columns is what Apple's poses give by its definition."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from conversions import convert_toy_arm, fork_convert
from drawn_egodex import MiniEgoDex, draw_mini_egodex
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dataset_upload import validate_dataset, visualize_dataset
from dataset_upload.formats.finished_dataset import open_dataset
from dataset_upload.formats.lerobot.__main__ import main as rewrite
from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset

OPTIONS = ("--output.format=lerobot", "--lerobot.keys=mecka", "--lerobot.fps=15")
SIDES = ("left", "right")
TIPS = [4, 8, 12, 16, 20]
# From Cosmos' reader: from wrists as they are stored to X thumb to little finger, Z wrist to fingertips.
ALIGNED = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> MiniEgoDex:
    return draw_mini_egodex(tmp_path_factory.mktemp("mini") / "test")


@pytest.fixture(scope="module")
def output_dir(mini: MiniEgoDex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mecka")
    ended = fork_convert(mini.path, path, *OPTIONS, "--output.action_representation=cosmos57_framewise")
    assert ended.exit_code == 0, ended.stderr
    return path


@pytest.fixture
def dataset(output_dir: Path) -> LerobotDataset:
    opened = open_dataset(str(output_dir))
    assert isinstance(opened, LerobotDataset)
    return opened


def poses(positions: Array, quaternions: Array) -> Array:
    """(T, 4, 4) of xyz and quaternions, scalar last."""
    made = np.tile(np.eye(4), (len(positions), 1, 1))
    made[:, :3, :3], made[:, :3, 3] = Rotation.from_quat(quaternions).as_matrix(), positions
    return made


def motions(absolute: Array) -> Array:
    """(T - 1, 9): T_t^-1 T_t+1 as translation and the first two columns of the rotation."""
    moved = np.linalg.inv(absolute[:-1]) @ absolute[1:]
    return np.concatenate([moved[:, :3, 3], moved[:, :3, 0], moved[:, :3, 1]], axis=1)


def test_cosmos_makes_the_actions_of_it_that_its_definition_gives(dataset: LerobotDataset) -> None:
    for trajectory in dataset.trajectories():
        columns = {name: values.astype(np.float64) for name, values in trajectory.columns.items()}
        camera = poses(*(columns[f"observation.state.camera_{what}"] for what in ("position", "rotation")))
        blocks = [motions(camera)]
        for side in reversed(SIDES):
            joints = columns[f"observation.state.hand_{side}_cam"].reshape(-1, 21, 3)
            rotations = columns[f"observation.state.hand_{side}_cam_rotation"].reshape(-1, 21, 4)
            wrists = poses(joints[:, 0], rotations[:, 0]) @ ALIGNED
            tips = np.concatenate([joints[:, TIPS], np.ones((len(joints), 5, 1))], axis=2)
            in_wrist = np.einsum("tij,tnj->tni", np.linalg.inv(wrists), tips)[1:, :, :3]
            blocks += [motions(camera @ wrists), in_wrist.reshape(len(in_wrist), 15)]
        expected = np.concatenate(blocks, axis=1)
        np.testing.assert_allclose(trajectory.actions[:-1], expected, atol=1e-5, err_msg=trajectory.source)


def test_hands_and_cameras_are_apples(dataset: LerobotDataset, mini: MiniEgoDex) -> None:
    joints = [name for name in dataset.description["hand_joints"] if "Metacarpal" not in name]
    assert len(joints) == 21
    for trajectory in dataset.trajectories():
        with h5py.File(mini.path / f"{trajectory.source}.hdf5") as file:
            pose = {name: values[::2].astype(np.float64) for name, values in file["transforms"].items()}
        np.testing.assert_allclose(trajectory.camera_to_world, pose["camera"], atol=1e-6)
        to_camera = np.linalg.inv(pose["camera"])
        for number, side in enumerate(SIDES):
            seen = to_camera[:, None] @ np.stack([pose[f"{side}{joint}"] for joint in joints], axis=1)
            stored = trajectory.columns[f"observation.state.hand_{side}_cam"].reshape(-1, 21, 3)
            np.testing.assert_allclose(stored, seen[..., :3, 3], atol=1e-6)
            rotations = trajectory.columns[f"observation.state.hand_{side}_cam_rotation"].reshape(-1, 4)
            turned = Rotation.from_quat(rotations).as_matrix().reshape(-1, 21, 3, 3)
            # Fingers are along +X of the left hand and -X of the right one, and along +Z of both here.
            along = seen[..., :3, 0] if side == "left" else -seen[..., :3, 0]
            np.testing.assert_allclose(turned[..., 2], along, atol=1e-5)
            in_world = np.stack([pose[f"{side}{joint}"][:, :3, 3] for joint in joints], axis=1)
            known = np.isfinite(trajectory.hands[number]).all(axis=(0, 2))
            assert known.sum() == 21
            np.testing.assert_allclose(trajectory.hands[number][:, known], in_world, atol=1e-5)


def test_names_and_shapes_are_those_that_cosmos_asks_for(dataset: LerobotDataset) -> None:
    features = json.loads((dataset.folder / "meta/info.json").read_text())["features"]
    shapes = {"camera_position": 3, "camera_rotation": 4} | {
        f"hand_{side}_cam{what}": count for side in SIDES for what, count in (("", 63), ("_rotation", 84))
    }
    for name, width in shapes.items():
        assert features[f"observation.state.{name}"]["shape"] == [width]
        assert len(set(features[f"observation.state.{name}"]["names"])) == width
    assert features["intrinsics"]["shape"] == [9] and features["observation.images.main"]["dtype"] == "video"
    assert not {"camera.pose", "hands.xyz", "observation.images.ego"} & features.keys()


def test_what_reads_datasets_reads_it(output_dir: Path, mini: MiniEgoDex, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    assert validate_dataset.main([str(output_dir), "--sample_size=all", "--against", str(mini.path)]) == 0
    assert visualize_dataset.main([str(output_dir), "--report", f"--out={tmp_path / 'drawn'}"]) == 0
    folder = open_dataset(str(output_dir)).folder
    assert rewrite([str(folder), str(tmp_path / "v21")]) == 0
    assert validate_dataset.main([str(tmp_path / "v21"), "--sample_size=all"]) == 0
    assert list((tmp_path / "v21/videos/chunk-000/observation.images.main").glob("*.mp4"))
    assert "observation.images.main" in (tmp_path / "v21/meta/modality.json").read_text()


def test_a_quaternion_of_another_length_is_found(dataset: LerobotDataset) -> None:
    from dataset_upload.formats.lerobot.episode_checks import Case, quaternions_unit

    (trajectory,) = dataset.trajectories([0])
    name = "observation.state.hand_left_cam_rotation"
    trajectory.columns[name] = trajectory.columns[name].copy()
    trajectory.columns[name][3, 40:44] *= 1.1
    (found,) = quaternions_unit(Case(dataset, trajectory))
    assert found.startswith(f"{name} of frame 3 ")


def test_it_is_refused_without_hands(mini: MiniEgoDex, toy_arm: Path, tmp_path: Path) -> None:
    ended = fork_convert(mini.path, tmp_path / "out", *OPTIONS, "--lerobot.hands=false")
    assert ended.exit_code == 2 and ended.last_line.startswith("Error: --lerobot.hands: ")
    ended = convert_toy_arm(toy_arm, tmp_path / "arm", *OPTIONS)
    assert ended.exit_code == 2 and ended.last_line.startswith("Error: --lerobot.keys: ")
