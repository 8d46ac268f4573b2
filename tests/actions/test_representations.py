"""Each representation's numbers, computed here a second time from EgoDex's transforms, step by step."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from drawn_egodex import MiniEgoDex
from numpy.typing import NDArray
from random_poses import FINGERS, HAND, JOINTS, Transforms, as_trajectory, random_transforms
from scipy.spatial.transform import Rotation

from dataset_upload.actions import REPRESENTATIONS, Representation, find_representation
from dataset_upload.actions.arkit import HAND_JOINTS, SKELETON
from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader
from dataset_upload.errors import EpisodeError, UsageError

TRANSFORMS = random_transforms()
TRAJECTORY = as_trajectory(TRANSFORMS)
FRAMES = np.array([0, 2, 3, 5])
NEXT = [2, 3, 5, 5]
OF_POSES = [name for name in REPRESENTATIONS if name != "guide15"]
LOADER_NAMES = tuple(f"{pose}_{axis}" for pose in ("leftHand", "camera") for axis in "xyz")

Array = NDArray[np.float64]


def pose(name: str, frame: int, transforms: Transforms = TRANSFORMS) -> Array:
    matrix: Array = transforms[name][frame].astype(np.float64)
    return matrix


def position(name: str, frame: int) -> list[float]:
    return [float(number) for number in pose(name, frame)[:3, 3]]


def columns9(matrix: Array) -> list[float]:
    return [*matrix[:3, 3], *matrix[:3, 0], *matrix[:3, 1]]


def rows9(matrix: Array) -> list[float]:
    return [*matrix[:3, 3], *matrix[0, :3], *matrix[1, :3]]


def tips(side: str, frame: int) -> list[float]:
    return [number for finger in FINGERS for number in position(f"{side}{finger}Tip", frame)]


def width(side: str, frame: int) -> float:
    apart = np.subtract(position(f"{side}IndexFingerTip", frame), position(f"{side}ThumbTip", frame))
    return float(min(np.sqrt(np.sum(apart**2)), 0.085) / 0.085)


def assert_rows(found: NDArray[np.float32], expected: list[list[float]]) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


def state(name: str, **options: str) -> NDArray[np.float32]:
    return find_representation(name, LOADER_NAMES, **options).state(TRAJECTORY, FRAMES)  # type: ignore[arg-type]


def action(name: str) -> NDArray[np.float32]:
    return find_representation(name, LOADER_NAMES).action(TRAJECTORY, FRAMES)


# Absolute, in the world -------------------------------------------------------------------------------------


def test_egodex48_is_wrist_two_columns_and_fingertips_left_hand_first() -> None:
    expected = [
        [n for side in ("left", "right") for n in (*columns9(pose(f"{side}Hand", t)), *tips(side, t))] for t in FRAMES
    ]
    assert_rows(state("egodex48"), expected)


def test_cosmos57_is_camera_then_right_hand_then_left_hand() -> None:
    expected = [
        [
            *columns9(pose("camera", t)),
            *(n for side in ("right", "left") for n in (*columns9(pose(f"{side}Hand", t)), *tips(side, t))),
        ]
        for t in FRAMES
    ]
    assert_rows(state("cosmos57"), expected)


def test_xvla20_is_wrist_two_columns_and_how_closed_the_hand_is_left_hand_first() -> None:
    expected = [
        [n for side in ("left", "right") for n in (*columns9(pose(f"{side}Hand", t)), 1 - width(side, t))]
        for t in FRAMES
    ]
    found = state("xvla20")
    assert_rows(found, expected)
    assert np.ptp(found[:, [9, 19]]) > 0.1  # not all at an end


def test_skeleton204_is_every_joint() -> None:
    assert_rows(state("skeleton204"), [[n for joint in JOINTS for n in position(joint, t)] for t in FRAMES])


def test_guide15_is_the_loader_s_own_actions() -> None:
    np.testing.assert_array_equal(state("guide15"), TRAJECTORY["actions"][FRAMES])


# Grippers ---------------------------------------------------------------------------------------------------


def fitted_gripper(side: str, t: int) -> Array:
    """By scipy's Kabsch."""
    index, thumb, knuckle, base = (
        np.array(position(side + joint, t))
        for joint in ("IndexFingerTip", "ThumbTip", "IndexFingerKnuckle", "ThumbIntermediateTip")
    )
    w, length = np.linalg.norm(index - thumb), np.linalg.norm((index + thumb - knuckle - base) / 2)
    canonical = np.array([[w / 2, 0, 0], [-w / 2, 0, 0], [w / 2, 0, -length], [-w / 2, 0, -length]])
    seen = np.stack([index, thumb, knuckle, base])
    rotation, _ = Rotation.align_vectors(seen - seen.mean(axis=0), canonical - canonical.mean(axis=0))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation.as_matrix(), (index + thumb) / 2
    return matrix


def test_groot29_is_fitted_grippers_by_rows_and_the_camera() -> None:
    expected = [
        [
            *(n for side in ("left", "right") for n in (*rows9(fitted_gripper(side, t)), width(side, t))),
            *rows9(pose("camera", t)),
        ]
        for t in FRAMES
    ]
    assert_rows(state("groot29"), expected)


@pytest.mark.parametrize(("apart", "opening"), [(0.0, 0.0), (0.0425, 0.5), (0.085, 1.0), (0.2, 1.0)])
def test_an_opening_is_0_where_the_tips_touch_and_1_from_85_mm(apart: float, opening: float) -> None:
    transforms = random_transforms(1)
    transforms["leftIndexFingerTip"][:, :3, 3] = transforms["leftThumbTip"][:, :3, 3] + [apart, 0, 0]
    trajectory = as_trajectory(transforms)
    groot, xvla = (find_representation(name).state(trajectory, np.array([0])) for name in ("groot29", "xvla20"))
    assert np.isfinite(groot).all()
    assert groot[0, 9] == pytest.approx(opening, abs=1e-5) and xvla[0, 9] == pytest.approx(1 - opening, abs=1e-5)


def test_a_gripper_s_x_points_to_the_index_finger_and_its_z_to_the_tips() -> None:
    transforms = random_transforms(1)
    jaws = {"IndexFingerTip": (1, 2, 3.3), "ThumbTip": (1, 2, 3.2), "IndexFingerKnuckle": (1, 1.9, 3.3)}
    for joint, place in {**jaws, "ThumbIntermediateTip": (1, 1.9, 3.2)}.items():
        transforms[f"right{joint}"][:, :3, 3] = place
    row = find_representation("groot29").state(as_trajectory(transforms), np.array([0]))[0, 10:19]
    np.testing.assert_allclose(row[:3], [1, 2, 3.25], atol=1e-6)
    x, y, z = np.array([0, 0, 1]), np.array([1, 0, 0]), np.array([0, 1, 0])  # the columns of its rotation
    np.testing.assert_allclose(row[3:], [x[0], y[0], z[0], x[1], y[1], z[1]], atol=1e-6)


# Relative ---------------------------------------------------------------------------------------------------


def head12_row(t: int, camera: int) -> list[float]:
    row: list[float] = []
    for side in ("left", "right"):
        seen = np.linalg.inv(pose("camera", camera)) @ pose(f"{side}Hand", t)
        row += [*seen[:3, 3], *Rotation.from_matrix(seen[:3, :3]).as_euler("ZYX")]
    return row


def test_head12_is_where_the_camera_of_the_same_frame_sees_the_wrists() -> None:
    assert_rows(state("head12"), [head12_row(t, camera=t) for t in FRAMES])


def test_head12_acts_by_the_next_pose_in_the_camera_of_this_frame() -> None:
    assert_rows(action("head12"), [head12_row(after, camera=t) for t, after in zip(FRAMES, NEXT, strict=True)])


# X from thumb to little finger, Z from wrist to fingertips. ARKit's left fingers point along +X, from index to little
# finger it is +Z; right ones point along -X, to the little finger it is -Z. Y = Z x X.
COSMOS_AXES = {
    "left": np.column_stack([[0, 0, 1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
    "right": np.column_stack([[0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]]),
}


def test_cosmos57_framewise_acts_by_motions_and_fingertips_in_the_next_wrist() -> None:
    expected = []
    for t, after in zip(FRAMES, NEXT, strict=True):
        row = columns9(np.linalg.inv(pose("camera", t)) @ pose("camera", after))
        for side in ("right", "left"):
            wrist, next_wrist = (pose(f"{side}Hand", frame) @ COSMOS_AXES[side] for frame in (t, after))
            row += columns9(np.linalg.inv(wrist) @ next_wrist)
            for finger in FINGERS:
                row += (np.linalg.inv(next_wrist) @ [*position(f"{side}{finger}Tip", after), 1])[:3].tolist()
        expected.append(row)
    assert_rows(action("cosmos57_framewise"), expected)


def test_a_framewise_action_ends_with_the_identity() -> None:
    last = action("cosmos57_framewise")[-1]
    for start in (0, 9, 33):
        assert last[start : start + 9].tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0]


def test_a_framewise_state_times_the_action_is_the_next_state() -> None:
    def matrices(rows: NDArray[np.float32], start: int) -> Array:
        numbers = rows[:, start : start + 9].astype(np.float64)
        found = np.tile(np.eye(4), (len(rows), 1, 1))
        found[:, :3, 0], found[:, :3, 1], found[:, :3, 3] = numbers[:, 3:6], numbers[:, 6:], numbers[:, :3]
        found[:, :3, 2] = np.cross(numbers[:, 3:6], numbers[:, 6:])
        return found

    states, actions = state("cosmos57_framewise"), action("cosmos57_framewise")
    for start in (0, 9, 33):  # camera, right wrist, left wrist
        reached = matrices(states, start)[:-1] @ matrices(actions, start)[:-1]
        np.testing.assert_allclose(reached, matrices(states, start)[1:], atol=2e-6)


def test_what_one_column_holds_for_all_is_the_state_or_the_motion() -> None:
    for name in OF_POSES:
        representation = find_representation(name)
        expected = action(name) if name == "cosmos57_framewise" else state(name)
        np.testing.assert_array_equal(representation.at_each_frame(TRAJECTORY, FRAMES), expected)


# The last action --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in REPRESENTATIONS if name not in ("head12", "cosmos57_framewise")])
def test_an_absolute_action_is_the_next_state_and_the_last_is_repeated_never_the_first(name: str) -> None:
    found = action(name)
    np.testing.assert_array_equal(found[:-1], state(name)[1:])
    np.testing.assert_array_equal(found[-1], state(name)[-1])
    assert not np.allclose(found[-1], state(name)[0])


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_an_episode_of_one_frame_has_an_action(name: str) -> None:
    representation = find_representation(name, LOADER_NAMES)
    assert representation.action(TRAJECTORY, np.array([3])).shape == (1, len(representation.action_names))


# Wrist axes -------------------------------------------------------------------------------------------------


def wrist_rotations(rows: NDArray[np.float32], start: int) -> Array:
    first, second = rows[:, start : start + 3], rows[:, start + 3 : start + 6]
    return np.stack([first, second, np.cross(first, second)], axis=-1)


@pytest.mark.parametrize(("name", "left", "right"), [("egodex48", 3, 27), ("xvla20", 3, 13), ("cosmos57", 36, 12)])
def test_canonical_axes_turn_the_right_wrist_about_y_and_nothing_else(name: str, left: int, right: int) -> None:
    arkit, canonical = state(name), state(name, wrist_axes="canonical")
    expected = wrist_rotations(arkit, right) @ np.diag([-1, 1, -1])
    np.testing.assert_allclose(wrist_rotations(canonical, right), expected, atol=1e-6)
    others = np.ones(arkit.shape[1], bool)
    others[right : right + 6] = False
    np.testing.assert_array_equal(arkit[:, others], canonical[:, others])


@pytest.fixture(scope="module")
def drawn_state(mini: MiniEgoDex) -> dict[str, NDArray[np.float32]]:
    """egodex48 of a drawn episode, whose wrists are as ARKit's, by wrist axes."""
    loader = EgoDexLoader(str(mini.path), "egodex")
    trajectory = loader.load(next(e for e in loader.list_episodes() if e.key == "basic_pick_and_place/0"))
    frames = np.arange(len(trajectory["frames"]))
    return {
        axes: find_representation("egodex48", wrist_axes=axes).state(trajectory, frames)
        for axes in ("arkit", "canonical")
    }


@pytest.mark.parametrize(
    ("axes", "side", "fingers", "to_index"),
    [("arkit", 0, 1, -1), ("arkit", 1, -1, 1), ("canonical", 0, 1, -1), ("canonical", 1, 1, -1)],
)
def test_fingers_point_where_the_axes_say(
    drawn_state: dict[str, NDArray[np.float32]], axes: str, side: int, fingers: int, to_index: int
) -> None:
    rows = drawn_state[axes][:, 24 * side : 24 * side + 24].astype(np.float64)
    to_wrist = wrist_rotations(rows.astype(np.float32), 3).swapaxes(1, 2)
    middle = (to_wrist @ (rows[:, 15:18] - rows[:, :3])[..., None])[..., 0]
    index_from_little = (to_wrist @ (rows[:, 12:15] - rows[:, 21:24])[..., None])[..., 0]
    assert (fingers * middle[:, 0] > 0.03).all()
    assert (to_index * index_from_little[:, 2] > 0.01).all()


@pytest.mark.parametrize("name", ["guide15", "groot29", "cosmos57_framewise", "skeleton204"])
def test_axes_cannot_be_chosen_where_there_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="no wrist rotations"):
        find_representation(name, LOADER_NAMES, "canonical")


# What is said of it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_every_column_has_a_name_of_its_own(name: str) -> None:
    representation: Representation = find_representation(name, LOADER_NAMES)
    assert representation.name == name and representation.frame and representation.rotation
    for rows, names in ((state(name), representation.names), (action(name), representation.action_names)):
        assert rows.shape == (len(FRAMES), len(names)) and len(set(names)) == len(names)
    spelled_out = ("none", "columns", "rows", "z-y-x")
    assert any(word in representation.rotation for word in spelled_out)


@pytest.mark.parametrize("name", OF_POSES)
def test_a_name_with_r_and_digits_is_that_entry_of_the_matrix(name: str) -> None:
    found = find_representation(name)
    for column, label in enumerate(found.names):
        joint, _, ending = label.rpartition("_")
        if joint in TRANSFORMS and ending[0] in "xyzr" and name != "cosmos57_framewise":
            row, col = ("xyz".index(ending), 3) if ending in "xyz" else (int(ending[1]), int(ending[2]))
            np.testing.assert_allclose(state(name)[:, column], TRANSFORMS[joint][FRAMES, row, col], atol=1e-6)


def test_joints_are_egodex_s(mini: MiniEgoDex) -> None:
    assert list(HAND_JOINTS) == HAND and list(SKELETON) == JOINTS
    with h5py.File(next(Path(mini.path).rglob("*.hdf5"))) as file:
        assert {*SKELETON, "camera"} == {*file["transforms"]}


# What may be missing ----------------------------------------------------------------------------------------

LACKING = {"hands": {"hands": None}, "camera": {"camera_to_world": None}, "skeleton": {"skeleton": None}}


@pytest.mark.parametrize("name", REPRESENTATIONS)
@pytest.mark.parametrize("missing", LACKING)
def test_a_missing_pose_is_one_line_that_names_the_episode(name: str, missing: str) -> None:
    representation = find_representation(name, LOADER_NAMES)
    trajectory = as_trajectory(TRANSFORMS, **LACKING[missing])
    if missing not in representation.needs:
        representation.state(trajectory, FRAMES)
        return
    with pytest.raises(EpisodeError, match=r"^Error loading trajectory fold/0: it has no [^\n]+$"):
        representation.state(trajectory, FRAMES)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="egodex49 is none of guide15, egodex48"):
        find_representation("egodex49", ())


def test_other_joints_are_read_only_if_asked_for(mini: MiniEgoDex) -> None:
    (plain, whole) = (EgoDexLoader(str(mini.path), "egodex", with_skeleton=with_it) for with_it in (False, True))
    episode = next(each for each in plain.list_episodes() if each.key == "basic_pick_and_place/0")
    assert "skeleton" not in plain.load(episode)
    skeleton = whole.load(episode)["skeleton"]
    with h5py.File(episode.hdf5) as file:
        for column, joint in enumerate(JOINTS):
            np.testing.assert_array_equal(skeleton[:, column], file[f"transforms/{joint}"][: len(skeleton), :3, 3])
