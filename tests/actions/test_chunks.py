"""Chunks of actions in one frame, computed here a second time from EgoDex's transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_poses import FINGERS, as_trajectory, random_transforms
from scipy.spatial.transform import Rotation

from dataset_upload.actions import REPRESENTATIONS, find_representation
from dataset_upload.actions.chunks import Chunk, ChunkFrame, to_chunk
from dataset_upload.errors import UsageError

TRANSFORMS = random_transforms(num_frames=8, seed=3)
TRAJECTORY = as_trajectory(TRANSFORMS)
FRAMES = np.arange(8)
CAMERAS = TRANSFORMS["camera"]
LOADER_NAMES = tuple(f"{pose}_{axis}" for pose in ("leftHand", "camera") for axis in "xyz")
ABSOLUTE = [name for name in REPRESENTATIONS if name != "cosmos57_framewise"]


def stored(name: str) -> NDArray[np.float32]:
    return find_representation(name, LOADER_NAMES).action(TRAJECTORY, FRAMES)


def chunk(name: str, start: int = 1, horizon: int = 4, cameras: Any = CAMERAS, **options: Any) -> Chunk:
    return to_chunk(find_representation(name, LOADER_NAMES), stored(name), cameras, start, horizon, **options)


def seen(name: str, t: int, camera: int) -> NDArray[np.float64]:
    """A pose as the camera of another frame sees it."""
    found: NDArray[np.float64] = np.linalg.inv(CAMERAS[camera].astype(float)) @ TRANSFORMS[name][t]
    return found


# Actions of steps 5, 6, 7 are the states at 6, 7, and 7 again; then there are none.
@pytest.mark.parametrize(("start", "reached"), [(1, [2, 3, 4, 5]), (5, [6, 7, 7, 7]), (7, [7, 7, 7, 7])])
def test_a_chunk_of_egodex48_is_in_the_camera_of_its_first_step(start: int, reached: list[int]) -> None:
    expected = []
    for t in reached:
        row: list[float] = []
        for side in ("left", "right"):
            wrist = seen(f"{side}Hand", t, start)
            row += [*wrist[:3, 3], *wrist[:3, 0], *wrist[:3, 1]]
            row += [n for finger in FINGERS for n in seen(f"{side}{finger}Tip", t, start)[:3, 3]]
        expected.append(row)
    np.testing.assert_allclose(chunk("egodex48", start).actions, expected, atol=3e-6)


@pytest.mark.parametrize(("start", "reached"), [(1, [2, 3, 4, 5]), (5, [6, 7, 7, 7])])
def test_a_chunk_of_head12_is_in_one_camera_though_its_rows_are_stored_in_many(start: int, reached: list[int]) -> None:
    expected = []
    for t in reached:
        wrists = [seen(f"{side}Hand", t, start) for side in ("left", "right")]
        expected.append(
            [n for wrist in wrists for n in (*wrist[:3, 3], *Rotation.from_matrix(wrist[:3, :3]).as_euler("ZYX"))]
        )
    np.testing.assert_allclose(chunk("head12", start).actions, expected, atol=1e-5)
    rows = chunk("head12", start, frame="stored").actions  # which must not be taken for a chunk
    assert np.abs(rows[1:, :3] - np.array(expected)[1:, :3]).max() > 0.1


def test_rows_stay_rows_in_a_chunk() -> None:
    rows = chunk("groot29", start=2).actions
    head = [seen("camera", t, 2) for t in (3, 4, 5, 6)]
    expected = [[*pose[:3, 3], *pose[0, :3], *pose[1, :3]] for pose in head]
    np.testing.assert_allclose(rows[:, 20:], expected, atol=3e-6)


@pytest.mark.parametrize(("name", "columns"), [("groot29", [9, 19]), ("xvla20", [9, 19])])
def test_grippers_are_no_positions_and_stay(name: str, columns: list[int]) -> None:
    np.testing.assert_array_equal(chunk(name).actions[:, columns], stored(name)[1:5, columns])


@pytest.mark.parametrize("name", ABSOLUTE)
def test_in_the_world_absolute_actions_are_as_they_were(name: str) -> None:
    found = chunk(name, frame="world").actions
    if name != "head12":
        np.testing.assert_array_equal(found, stored(name)[1:5])
    else:
        for side, column in (("left", 0), ("right", 6)):
            np.testing.assert_allclose(found[:, column : column + 3], TRANSFORMS[f"{side}Hand"][2:6, :3, 3], atol=3e-6)


def test_motions_are_left_as_they_are() -> None:
    np.testing.assert_array_equal(
        chunk("cosmos57_framewise", frame="stored").actions, stored("cosmos57_framewise")[1:5]
    )
    for frame in ("camera", "world"):
        with pytest.raises(UsageError, match="take `stored`"):
            chunk("cosmos57_framewise", frame=frame)


@pytest.mark.parametrize("name", REPRESENTATIONS)
@pytest.mark.parametrize("start", range(8))
def test_the_end_is_repeated_and_marked_or_cut_and_never_wrapped(name: str, start: int) -> None:
    whole, cut = (chunk(name, start, 5, frame="stored", ending=ending) for ending in ("repeat", "cut"))
    kept = min(5, 8 - start)
    assert whole.is_pad.tolist() == [False] * kept + [True] * (5 - kept) and not cut.is_pad.any()
    np.testing.assert_array_equal(cut.actions, stored(name)[start : start + kept])
    np.testing.assert_array_equal(whole.actions[:kept], cut.actions)
    np.testing.assert_array_equal(whole.actions[kept:], np.repeat(stored(name)[-1:], 5 - kept, axis=0))


@pytest.mark.parametrize("frame", ["camera", "world", "stored"])
@pytest.mark.parametrize("name", ABSOLUTE)
def test_repeated_actions_are_one_place_in_every_frame(name: str, frame: ChunkFrame) -> None:
    rows = chunk(name, start=6, horizon=4, frame=frame).actions
    assert rows.shape == (4, len(find_representation(name, LOADER_NAMES).names)) and rows.dtype == np.float32
    np.testing.assert_allclose(rows[2:], rows[[1, 1]], atol=1e-6)


def test_poses_of_16_numbers_will_do() -> None:
    np.testing.assert_array_equal(chunk("egodex48", cameras=CAMERAS.reshape(-1, 16)).actions, chunk("egodex48").actions)


def test_what_is_stored_is_not_changed() -> None:
    rows = stored("egodex48")
    before = rows.copy()
    to_chunk(find_representation("egodex48"), rows, CAMERAS, 0, 8)
    np.testing.assert_array_equal(rows, before)


# What cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [-1, 8])
def test_a_step_that_is_not_there_is_refused(start: int) -> None:
    with pytest.raises(IndexError, match=f"step {start} of an episode of 8"):
        chunk("egodex48", start)


def test_a_horizon_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="horizon of 0"):
        chunk("egodex48", horizon=0)


@pytest.mark.parametrize("options", [{"frame": "wrist"}, {"ending": "wrap"}])
def test_another_frame_or_ending_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is none of"):
        chunk("egodex48", **options)


def test_cameras_of_another_episode_are_refused() -> None:
    with pytest.raises(ValueError, match="7 camera poses for 8 actions"):
        chunk("egodex48", cameras=CAMERAS[:-1])


def test_without_cameras_there_is_no_camera_frame() -> None:
    with pytest.raises(UsageError, match="needs camera poses"):
        chunk("egodex48", cameras=None)
    np.testing.assert_array_equal(chunk("egodex48", cameras=None, frame="world").actions, stored("egodex48")[1:5])


def test_columns_of_another_representation_are_refused() -> None:
    with pytest.raises(ValueError, match="not with the 29 columns of groot29"):
        to_chunk(find_representation("groot29"), stored("egodex48"), CAMERAS, 0, 4)


def test_a_robot_s_joint_angles_are_in_no_frame() -> None:
    robot = find_representation("guide15", ("joint_1", "joint_2", "gripper"))
    angles = np.zeros((4, 3), np.float32)
    for frame in ("camera", "world"):
        with pytest.raises(UsageError, match="take `stored`"):
            to_chunk(robot, angles, CAMERAS[:4], 0, 2, frame=frame)
    assert to_chunk(robot, angles, None, 0, 2, frame="stored").actions.shape == (2, 3)
