"""EgoDex is listed as it lies on disk, and read value by value as h5py reads it."""

from __future__ import annotations

import os
import shutil
import uuid
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
from dataset_reader import decode_all
from drawn_egodex import MiniEgoDex
from numpy.typing import NDArray

from dataset_upload.actions.arkit import HAND_JOINTS
from dataset_upload.actions.guide15 import PARTS
from dataset_upload.dataset_loaders.egodex.archive import Episode
from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader, EgoDexTrajectory
from dataset_upload.errors import EpisodeError, Reason, UsageError
from egodex_loader import get_egodex_iterator

PLAIN = "basic_pick_and_place/0"  # of the mini EgoDex: nothing irregular about it


def tree(root: Path, *files: str) -> Path:
    """A folder of empty files."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def pairs(root: Path, *keys: str) -> Path:
    return tree(root, *(f"{key}{suffix}" for key in keys for suffix in (".hdf5", ".mp4")))


def listed(path: Path | str) -> list[str]:
    return [episode.key for episode in EgoDexLoader(str(path), "egodex").list_episodes()]


# Which episodes there are ----------------------------------------------------------------------------------


def test_episodes_stand_in_natural_order(tmp_path: Path) -> None:
    pairs(tmp_path, "fold10/0", "fold2/10", "fold2/9", "fold2/0", "a/1", "fold/3")
    assert listed(tmp_path) == ["a/1", "fold/3", "fold2/0", "fold2/9", "fold2/10", "fold10/0"]


def test_listing_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs(tmp_path, "fold/0")

    def opened(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"opened {args}")

    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr("os.open", opened)
    assert listed(tmp_path) == ["fold/0"]


def test_a_missing_half_is_listed_as_missing(tmp_path: Path) -> None:
    tree(tmp_path, "fold/0.hdf5", "fold/0.mp4", "fold/1.hdf5", "fold/2.mp4")
    root = str(tmp_path / "fold")
    assert EgoDexLoader(str(tmp_path), "egodex").list_episodes() == [
        Episode("fold/0", tmp_path.name, "fold", f"{root}/0.hdf5", f"{root}/0.mp4"),
        Episode("fold/1", tmp_path.name, "fold", f"{root}/1.hdf5", None),
        Episode("fold/2", tmp_path.name, "fold", None, f"{root}/2.mp4"),
    ]


def test_the_doubled_folder_that_unzipping_leaves_is_looked_into(tmp_path: Path) -> None:
    pairs(tmp_path / "download" / "test", "fold/0")
    tree(tmp_path / "download", "__MACOSX/test/fold/._0.hdf5", ".DS_Store", "test.zip")
    (episode,) = EgoDexLoader(str(tmp_path / "download"), "egodex").list_episodes()
    assert (episode.key, episode.part) == ("fold/0", "test")


def test_the_key_does_not_depend_on_how_the_folder_is_given(tmp_path: Path) -> None:
    pairs(tmp_path / "part1" / "part1", "fold/0")
    assert listed(tmp_path / "part1") == listed(tmp_path / "part1" / "part1") == ["fold/0"]


def test_home_and_relative_paths_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs(tmp_path / "egodex" / "test", "fold/0")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "egodex")
    for path in ("~/egodex/test", "test", "./test/", "../egodex/test"):
        (episode,) = EgoDexLoader(path, "egodex").list_episodes()
        assert (episode.key, episode.part) == ("fold/0", "test")
        assert episode.hdf5 == f"{tmp_path}/egodex/test/fold/0.hdf5"


def test_the_working_folder_itself_is_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pairs(tmp_path / "part3", "fold/0"))
    (episode,) = EgoDexLoader(".", "egodex").list_episodes()
    assert episode.part == "part3"


def test_what_is_no_episode_is_passed_over(tmp_path: Path) -> None:
    pairs(tmp_path, "fold/0", "fold/._0", ".hidden/0", "__MACOSX/0")
    tree(
        tmp_path,
        "fold/.DS_Store",
        "fold/notes.txt",
        "fold/1.hdf5.part",
        "fold/.mp4",
        "README.md",
        "empty/x.json",
    )
    assert listed(tmp_path) == ["fold/0"]


def test_linked_folders_and_files_are_followed(tmp_path: Path) -> None:
    pairs(tmp_path / "disk2", "fold/0")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "fold").symlink_to(tmp_path / "disk2" / "fold")
    assert listed(tmp_path / "test") == ["fold/0"]


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as error:
        listed(path)
    message = str(error.value)
    assert message.startswith("dataset_path: ") and "\n" not in message
    return message


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path}/nowhere does not exist" in refusal(tmp_path / "nowhere")


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, "test.zip")
    assert f"{tmp_path}/test.zip is not a complete zip archive" in refusal(tmp_path / "test.zip")


def test_a_folder_without_an_episode_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, "notes/readme.txt")
    assert f"no <task>/<n>.hdf5 or <n>.mp4 below {tmp_path}" in refusal(tmp_path)


def test_a_single_task_s_folder_is_refused_with_the_folder_to_give_instead(tmp_path: Path) -> None:
    pairs(tmp_path / "test", "fold/0")
    assert refusal(tmp_path / "test" / "fold").endswith(f"give the part's folder around it, {tmp_path}/test")


def test_a_folder_of_several_parts_is_refused_with_their_names(tmp_path: Path) -> None:
    pairs(tmp_path, "part1/fold/0", "part2/fold/0")
    assert "holds several parts (part1, part2)" in refusal(tmp_path)


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    pairs(tmp_path, "fold/0")
    (tmp_path / "loop").symlink_to("loop")
    assert f"cannot list {tmp_path}/loop" in refusal(tmp_path)


# What an episode holds -------------------------------------------------------------------------------------


class Altered:
    """A part folder with a copy of one mini episode, whose HDF5 file a test can spoil."""

    def __init__(self, path: Path, mini: MiniEgoDex, key: str = PLAIN) -> None:
        self.path = path
        self.hdf5, self.mp4 = path / f"{key}.hdf5", path / f"{key}.mp4"
        self.hdf5.parent.mkdir(parents=True)
        shutil.copy(mini.path / f"{key}.hdf5", self.hdf5)
        shutil.copy(mini.path / f"{key}.mp4", self.mp4)

    def attributes(self, **values: Any) -> None:
        """Set attributes; those that are None are deleted."""
        with h5py.File(self.hdf5, "r+") as file:
            for name, value in values.items():
                if name in file.attrs:
                    del file.attrs[name]
                if value is not None:
                    file.attrs[name] = value

    def replace(self, path: str, data: Any) -> None:
        """Replace a dataset; None deletes it."""
        with h5py.File(self.hdf5, "r+") as file:
            if path in file:
                del file[path]
            if data is not None:
                file[path] = data

    def read(self, path: str) -> Any:
        with h5py.File(self.hdf5) as file:
            return file[path][()]

    def load(self, actions: Sequence[str] = tuple(PARTS), max_frame_mismatch: int = 1) -> EgoDexTrajectory:
        loader = EgoDexLoader(str(self.path), "egodex_test", tuple(actions), max_frame_mismatch)
        (episode,) = loader.list_episodes()
        return loader.load(episode)

    def failure(self) -> EpisodeError:
        with pytest.raises(EpisodeError) as error:
            self.load()
        assert str(self.hdf5.parent) in str(error.value) and "\n" not in str(error.value)
        return error.value


@pytest.fixture
def altered(tmp_path: Path, mini: MiniEgoDex) -> Altered:
    return Altered(tmp_path / "test", mini)


def positions(altered: Altered, pose: str) -> Any:
    return altered.read(f"transforms/{pose}")[:, :3, 3]


IN_THE_GUIDES_ORDER = ["leftHand", "rightHand", "leftIndexFingerTip", "rightIndexFingerTip", "camera"]


def test_each_action_column_is_the_position_that_h5py_reads(altered: Altered) -> None:
    trajectory = altered.load()
    assert trajectory["actions"].shape == (20, 15) and trajectory["actions"].dtype == np.float32
    columns = [(pose, axis) for pose in IN_THE_GUIDES_ORDER for axis in range(3)]
    for column, (pose, axis) in enumerate(columns):
        np.testing.assert_array_equal(trajectory["actions"][:, column], positions(altered, pose)[:, axis])
        assert trajectory["action_names"][column] == f"{pose}_{'xyz'[axis]}"


@pytest.mark.parametrize(
    "parts, poses",
    [
        (["hands"], IN_THE_GUIDES_ORDER[:2]),
        (["fingertips"], IN_THE_GUIDES_ORDER[2:4]),
        (["camera"], IN_THE_GUIDES_ORDER[4:]),
        (["hands", "camera"], [*IN_THE_GUIDES_ORDER[:2], "camera"]),
        (
            ["camera", "fingertips"],
            IN_THE_GUIDES_ORDER[2:],
        ),  # columns keep their order, however parts are named
    ],
)
def test_any_parts_of_an_action_can_be_chosen(altered: Altered, parts: list[str], poses: list[str]) -> None:
    trajectory = altered.load(parts)
    expected = np.concatenate([positions(altered, pose) for pose in poses], axis=1)
    np.testing.assert_array_equal(trajectory["actions"], expected)
    assert trajectory["action_names"] == tuple(f"{pose}_{axis}" for pose in poses for axis in "xyz")


def test_confidences_are_those_of_hands_and_index_tips(altered: Altered) -> None:
    confidences = altered.load()["confidences"]
    assert confidences is not None and confidences.dtype == np.float32
    for column, joint in enumerate(IN_THE_GUIDES_ORDER[:4]):
        np.testing.assert_array_equal(confidences[:, column], altered.read(f"confidences/{joint}"))


def test_confidences_are_none_where_the_file_has_none(altered: Altered) -> None:
    altered.replace("confidences", None)
    assert altered.load()["confidences"] is None


def test_one_missing_confidence_is_unknown_not_zero(altered: Altered) -> None:
    altered.replace("confidences/rightHand", None)
    confidences = altered.load()["confidences"]
    assert confidences is not None
    np.testing.assert_array_equal(np.isnan(confidences).any(axis=0), [False, True, False, False])


def test_the_camera_pose_is_kept_whole(altered: Altered) -> None:
    camera_to_world = altered.load()["camera_to_world"]
    assert camera_to_world.dtype == np.float32
    np.testing.assert_array_equal(camera_to_world, altered.read("transforms/camera"))


# EGODEX.md: the wrist, four joints of the thumb, then five of each finger from the palm outwards.
HAND_JOINTS_IN_ORDER = [
    *("Hand", "ThumbKnuckle", "ThumbIntermediateBase", "ThumbIntermediateTip", "ThumbTip"),
    *("IndexFingerMetacarpal", "IndexFingerKnuckle", "IndexFingerIntermediateBase"),
    *("IndexFingerIntermediateTip", "IndexFingerTip"),
    *("MiddleFingerMetacarpal", "MiddleFingerKnuckle", "MiddleFingerIntermediateBase"),
    *("MiddleFingerIntermediateTip", "MiddleFingerTip"),
    *("RingFingerMetacarpal", "RingFingerKnuckle", "RingFingerIntermediateBase"),
    *("RingFingerIntermediateTip", "RingFingerTip"),
    *("LittleFingerMetacarpal", "LittleFingerKnuckle", "LittleFingerIntermediateBase"),
    *("LittleFingerIntermediateTip", "LittleFingerTip"),
]


@pytest.mark.parametrize("side", ["left", "right"])
def test_each_hand_joint_is_the_position_that_h5py_reads(altered: Altered, side: str) -> None:
    hand: Any = altered.load()["hands"][f"{side}_hand"]  # type: ignore[literal-required]
    assert hand.shape == (20, 25, 3) and hand.dtype == np.float32
    for index, joint in enumerate(HAND_JOINTS_IN_ORDER):
        np.testing.assert_array_equal(hand[:, index], positions(altered, f"{side}{joint}"))


def test_the_order_of_the_hand_joints_is_frozen() -> None:
    assert list(HAND_JOINTS) == HAND_JOINTS_IN_ORDER


@pytest.mark.parametrize("side", ["left", "right"])
def test_wrist_rotations_take_wrist_axes_to_the_world(altered: Altered, side: str) -> None:
    rotation: Any = altered.load()["hands"][f"{side}_wrist_rotation"]  # type: ignore[literal-required]
    np.testing.assert_array_equal(rotation, altered.read(f"transforms/{side}Hand")[:, :3, :3])


def test_float64_poses_are_read_as_float32(altered: Altered) -> None:
    before = altered.load()["actions"]
    for pose in ("camera", "leftHand"):
        altered.replace(f"transforms/{pose}", altered.read(f"transforms/{pose}").astype(np.float64))
    after = altered.load()["actions"]
    assert after.dtype == np.float32
    np.testing.assert_array_equal(after, before)


def test_a_repeated_first_row_is_kept_as_it_stands(mini: MiniEgoDex, tmp_path: Path) -> None:
    altered = Altered(tmp_path / "test", mini, mini.with_irregularity("row0_repeated").key)
    actions = altered.load()["actions"]
    np.testing.assert_array_equal(actions[0], actions[1])
    assert not np.array_equal(actions[1], actions[2])


FULL_HD_K = [[736.6339, 0, 960], [0, 736.6339, 540], [0, 0, 1]]


def test_stored_intrinsics_are_taken_as_they_are(altered: Altered) -> None:
    stored = np.array([[700, 0, 950], [0, 710, 530], [0, 0, 1]], np.float32)
    altered.replace("camera/intrinsic", stored)
    np.testing.assert_array_equal(altered.load()["intrinsics"], stored)


@pytest.mark.parametrize("stored", [np.zeros((0, 3), np.float32), None], ids=["empty", "absent"])
def test_missing_intrinsics_are_the_known_ones_scaled_to_the_video(altered: Altered, stored: Any) -> None:
    altered.replace("camera/intrinsic", stored)
    expected = np.diag([320 / 1920, 180 / 1080, 1]) @ FULL_HD_K
    np.testing.assert_allclose(altered.load()["intrinsics"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(np.zeros((3, 3)), id="all zero"),
        pytest.param(np.diag([700.0, 0, 1]), id="no focal length"),
        pytest.param(np.full((3, 3), 700.0), id="equal rows"),
        pytest.param(np.diag([700.0, np.nan, 1]), id="not a number"),
        pytest.param(np.diag([np.inf, 700.0, 1]), id="infinite"),
        pytest.param(np.eye(4), id="4x4"),
        pytest.param(np.array(700.0), id="one number"),
    ],
)
def test_intrinsics_that_project_nothing_are_a_failure(altered: Altered, stored: NDArray[np.float64]) -> None:
    altered.replace("camera/intrinsic", stored.astype(np.float32))
    failure = altered.failure()
    assert failure.reason is Reason.UNUSABLE_INTRINSICS
    assert str(failure).startswith(f"Error loading trajectory {altered.hdf5}: 'camera/intrinsic' ")


def test_a_trajectory_holds_no_more_than_its_columns(altered: Altered) -> None:
    """A view of a joint's poses would keep the whole of them, four times what is used."""
    trajectory = altered.load()
    hands: Any = trajectory["hands"]
    arrays = [trajectory["actions"], trajectory["camera_to_world"], *hands.values()]
    bases = {id(base): base.nbytes for base in (array if array.base is None else array.base for array in arrays)}
    camera = trajectory["actions"][:, :3].nbytes  # the one position that none of the arrays after the first has
    assert sum(bases.values()) <= sum(array.nbytes for array in arrays) + camera


@pytest.mark.parametrize("pose", ["camera", "leftHand", "rightIndexFingerTip", "leftLittleFingerMetacarpal"])
def test_a_missing_joint_is_a_failure_that_names_it(altered: Altered, pose: str) -> None:
    altered.replace(f"transforms/{pose}", None)
    failure = altered.failure()
    assert failure.reason is Reason.MISSING_JOINT and not failure.reason.is_skip
    assert str(failure) == f"Error loading trajectory {altered.hdf5}: no pose 'transforms/{pose}'"


def test_a_joint_that_nothing_uses_may_be_missing(altered: Altered) -> None:
    altered.replace("transforms/leftShoulder", None)
    altered.load()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_pose_that_is_no_number_is_a_failure_that_names_it(altered: Altered, bad: float) -> None:
    pose = altered.read("transforms/rightHand")
    pose[7, 0, 3] = bad
    altered.replace("transforms/rightHand", pose)
    failure = altered.failure()
    assert failure.reason is Reason.NAN_POSES and "'transforms/rightHand'" in str(failure)


def test_a_difference_of_one_frame_is_cut_off_and_noted(altered: Altered) -> None:
    with h5py.File(altered.hdf5, "r+") as file:
        for group in ("transforms", "confidences"):
            for name in list(file[group]):
                rows = file[group][name][:-1]
                del file[group][name]
                file[group][name] = rows
    trajectory = altered.load()
    assert len(trajectory["frames"]) == len(trajectory["actions"]) == len(trajectory["camera_to_world"]) == 19
    assert trajectory["note"] == f"Warning: 19 poses for 20 video frames, cut to 19: {altered.hdf5}"


def test_a_larger_difference_is_a_failure(altered: Altered) -> None:
    with h5py.File(altered.hdf5, "r+") as file:
        for name in list(file["transforms"]):
            rows = file["transforms"][name][:-5]
            del file["transforms"][name]
            file["transforms"][name] = rows
    assert altered.failure().reason is Reason.FRAME_COUNT_MISMATCH


def test_poses_of_different_lengths_are_a_failure(altered: Altered) -> None:
    altered.replace("transforms/rightThumbTip", altered.read("transforms/rightThumbTip")[:-1])
    assert altered.failure().reason is Reason.FRAME_COUNT_MISMATCH


def test_a_missing_video_is_a_skip_in_the_guides_words(altered: Altered) -> None:
    altered.mp4.unlink()
    failure = altered.failure()
    assert failure.reason.is_skip and str(failure) == f"Warning: Missing MP4 file for {altered.hdf5}"


def test_missing_poses_are_a_skip_likewise(altered: Altered) -> None:
    altered.hdf5.unlink()
    failure = altered.failure()
    assert failure.reason.is_skip and str(failure) == f"Warning: Missing HDF5 file for {altered.mp4}"


def test_a_damaged_hdf5_file_is_a_failure_in_the_guides_words(altered: Altered) -> None:
    os.truncate(altered.hdf5, altered.hdf5.stat().st_size // 2)
    failure = altered.failure()
    assert failure.reason is Reason.UNREADABLE_HDF5
    assert str(failure).startswith(f"Error loading trajectory {altered.hdf5}: Unable to open file")


def test_a_damaged_video_is_a_failure_in_the_guides_words(altered: Altered) -> None:
    os.truncate(altered.mp4, altered.mp4.stat().st_size // 2)
    failure = altered.failure()
    assert not failure.reason.is_skip
    assert str(failure).startswith(f"Error: Could not open video file: {altered.mp4}")


def test_annotations_come_along_with_their_types(altered: Altered) -> None:
    altered.attributes(
        session_name="2025-01-02_a.mov",
        environment="table:wood",
        object=b"cup",
        llm_type="reversible",
        llm_verbs=np.array(["pick", "place"], h5py.string_dtype()),
        llm_objects=np.array([b"cup"]),
        extra="C7",
        description="Pick up the cup and place it.",
        task="Pick Place Cup",
        type="reset",
        annotator_version=np.float64(0.3),
    )
    trajectory = altered.load()
    assert (trajectory["session_name"], trajectory["environment"]) == ("2025-01-02_a.mov", "table:wood")
    assert (trajectory["object"], trajectory["llm_type"]) == ("cup", "reversible")
    assert (trajectory["llm_verbs"], trajectory["llm_objects"]) == (["pick", "place"], ["cup"])
    assert (trajectory["collector"], trajectory["description"]) == ("C7", "Pick up the cup and place it.")
    assert (trajectory["annotated_task"], trajectory["annotated_type"]) == ("Pick Place Cup", "reset")
    assert trajectory["annotator_version"] == 0.3


@pytest.mark.parametrize(
    ("stored", "read"),
    [(np.float32(0.5), 0.5), (3, 3.0), ("0.2", 0.2), (b"0.2", 0.2), (np.nan, None), (h5py.Empty("f8"), None)],
    ids=str,
)
def test_the_annotator_s_version_is_a_number_however_it_is_stored(altered: Altered, stored: Any, read: Any) -> None:
    altered.attributes(annotator_version=stored)
    assert altered.load()["annotator_version"] == read


@pytest.mark.parametrize("stored", ["beta", np.array([0.2, 0.3])], ids=str)
def test_another_kind_of_version_is_a_failure_that_names_it(altered: Altered, stored: Any) -> None:
    altered.attributes(annotator_version=stored)
    failure = altered.failure()
    assert failure.reason is Reason.UNREADABLE_HDF5
    assert "attribute 'annotator_version' is not one number" in str(failure)


def test_any_annotation_but_the_description_may_be_missing(altered: Altered) -> None:
    with h5py.File(altered.hdf5, "r+") as file:
        for name in set(file.attrs) - {"llm_description"}:
            del file.attrs[name]
    trajectory = altered.load()
    annotations = {"session_name", "environment", "object", "llm_type", "llm_description2", "which_llm_description"}
    annotations |= {"collector", "description", "annotated_task", "annotated_type", "annotator_version"}
    assert {name: trajectory[name] for name in annotations} == dict.fromkeys(annotations)  # type: ignore[literal-required]
    assert trajectory["llm_verbs"] == trajectory["llm_objects"] == []


def test_lists_without_an_element_are_read_as_such(altered: Altered) -> None:
    altered.attributes(llm_verbs=np.array([], h5py.string_dtype()), llm_objects=h5py.Empty("S1"))
    trajectory = altered.load()
    assert trajectory["llm_verbs"] == trajectory["llm_objects"] == []


def test_the_fields_of_the_rfm_pipeline_are_set(altered: Altered) -> None:
    trajectory = altered.load()
    assert trajectory["is_robot"] is False
    assert trajectory["quality_label"] == "successful"
    assert trajectory["partial_success"] is None
    assert trajectory["data_source"] == "egodex_test"
    assert (trajectory["source"], trajectory["part"]) == (PLAIN, "test")
    assert trajectory["task_name"] == "basic_pick_and_place"


# The task in words -----------------------------------------------------------------------------------------

OPEN, CLOSE = "Open the box.", "Close the box."


@pytest.mark.parametrize(
    "attributes, task, certain",
    [
        ({"which_llm_description": "1"}, OPEN, True),
        ({"which_llm_description": "2"}, CLOSE, True),
        ({"which_llm_description": b"2"}, CLOSE, True),
        ({"which_llm_description": np.bytes_("1")}, OPEN, True),
        ({"which_llm_description": 2}, CLOSE, True),
        ({"which_llm_description": np.int32(1)}, OPEN, True),
        ({"which_llm_description": np.uint8(2)}, CLOSE, True),
        ({"which_llm_description": None}, OPEN, False),
        ({"which_llm_description": "both"}, OPEN, False),
        ({"which_llm_description": h5py.Empty("S1")}, OPEN, False),
        ({"which_llm_description": "2", "llm_description": "None"}, CLOSE, True),
        ({"which_llm_description": None, "llm_type": "reset", "llm_description2": "None"}, OPEN, True),
        ({"which_llm_description": None, "llm_type": "reset-free"}, OPEN, True),
        ({"which_llm_description": None, "llm_type": None}, OPEN, True),
        ({"llm_description": f"  {OPEN}\n"}, OPEN, True),
        ({"llm_description": OPEN.encode()}, OPEN, True),
    ],
    ids=str,
)
def test_the_description_that_applies(altered: Altered, attributes: dict[str, Any], task: str, certain: bool) -> None:
    reversible = {"llm_type": "reversible", "which_llm_description": "1"}
    altered.attributes(**{"llm_description": OPEN, "llm_description2": CLOSE, **reversible, **attributes})
    trajectory = altered.load()
    assert (trajectory["task"], trajectory["task_certain"]) == (task, certain)


@pytest.mark.parametrize(
    "text",
    [None, "", "  \n", "None", "description unavailable", "The Description Unavailable.", h5py.Empty("S1")],
    ids=str,
)
def test_no_usable_description_is_a_skip_never_an_empty_task(altered: Altered, text: Any) -> None:
    altered.attributes(llm_description=text, llm_description2=text, which_llm_description="2")
    failure = altered.failure()
    assert failure.reason is Reason.NO_DESCRIPTION and failure.reason.is_skip
    assert str(failure) == f"Warning: No task description in {altered.hdf5}"


@pytest.mark.parametrize("unusable", [None, "", "None", "Description unavailable."])
@pytest.mark.parametrize("which", ["1", "2", 2])
def test_the_other_direction_s_description_is_never_taken(altered: Altered, which: Any, unusable: str | None) -> None:
    texts: dict[str, str | None] = {"llm_description": CLOSE, "llm_description2": CLOSE}
    texts["llm_description" if which == "1" else "llm_description2"] = unusable
    altered.attributes(**texts, which_llm_description=which)
    assert altered.failure().reason is Reason.NO_DESCRIPTION


def test_both_descriptions_are_kept_as_annotated(altered: Altered) -> None:
    altered.attributes(llm_description="None", llm_description2=CLOSE, which_llm_description=b"2")
    trajectory = altered.load()
    assert (trajectory["llm_description"], trajectory["llm_description2"]) == ("None", CLOSE)
    assert trajectory["which_llm_description"] == 2


def test_mini_episodes_are_described_as_they_were_drawn(mini: MiniEgoDex) -> None:
    for trajectory in get_egodex_iterator(str(mini.path)):
        record = mini.records[trajectory["source"]]
        if record.irregularity != "old_release":
            assert (trajectory["task"], trajectory["task_certain"]) == (record.description, True)


def test_a_copy_of_the_old_release_is_read_and_marked_uncertain(mini: MiniEgoDex, tmp_path: Path) -> None:
    trajectory = Altered(tmp_path / "test", mini, mini.with_irregularity("old_release").key).load()
    assert trajectory["task"] == trajectory["llm_description"]
    assert trajectory["task_certain"] is False


# Ids -------------------------------------------------------------------------------------------------------


def test_an_id_is_the_same_for_ever(altered: Altered) -> None:
    assert altered.load()["id"] == "9b2d5baa-e1fa-5c26-a038-47bf17a160d1"


def test_ids_are_unique_uuids(mini: MiniEgoDex) -> None:
    loader = EgoDexLoader(str(mini.path), "egodex_test")
    ids = [loader.trajectory_id(episode) for episode in loader.list_episodes()]
    assert len(set(ids)) == len(mini.records)
    assert all(uuid.UUID(text).version == 5 and str(uuid.UUID(text)) == text for text in ids)


def test_datasets_of_different_names_share_no_id(mini: MiniEgoDex) -> None:
    first, second = (
        {trajectory["id"] for trajectory in get_egodex_iterator(str(mini.path), dataset_name=name)}
        for name in ("egodex_part1", "egodex_part2")
    )
    assert not first & second


# The iterator ----------------------------------------------------------------------------------------------


def test_the_iterator_works_as_the_guide_shows(mini: MiniEgoDex) -> None:
    iterator = get_egodex_iterator(dataset_path=str(mini.path), max_trajectories=100)
    for trajectory in iterator:
        frames = trajectory["frames"]
        actions = trajectory["actions"]
        task = trajectory["task"]
        assert len(frames) == len(actions) == mini.records[trajectory["source"]].frames
        assert frames[0].shape == (180, 320, 3) and frames[0].dtype == np.uint8
        assert task


def test_trajectories_come_in_natural_order_each_once(mini: MiniEgoDex) -> None:
    sources = [trajectory["source"] for trajectory in get_egodex_iterator(str(mini.path))]
    assert sources == [key for key in listed(mini.path) if key in sources]
    assert len(sources) == len(set(sources))


def test_what_cannot_be_used_is_said_and_counted_not_yielded(
    mini: MiniEgoDex, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset_upload.console.logs.logger.propagate", True)
    iterator = get_egodex_iterator(str(mini.path))
    num_yielded = sum(1 for _ in iterator)
    assert iterator.skipped == {"missing mp4": 1, "missing hdf5": 1, "no description": 2}
    assert iterator.failed == {}
    assert num_yielded == iterator.num_episodes - 4 == len(mini.records) - 4
    assert f"Warning: Missing MP4 file for {mini.path}/{mini.with_irregularity('missing_mp4').key}.hdf5" in caplog.text


def test_a_failing_episode_does_not_end_the_iteration(altered: Altered, mini: MiniEgoDex) -> None:
    altered.replace("transforms/camera", None)
    shutil.copytree(mini.path / "add_remove_lid", altered.path / "later_task")
    iterator = get_egodex_iterator(str(altered.path))
    assert next(iterator)["task_name"] == "later_task"
    assert iterator.failed == {"missing joint": 1}


def test_a_limit_covers_as_many_tasks_as_it_can(mini: MiniEgoDex) -> None:
    names = [trajectory["task_name"] for trajectory in get_egodex_iterator(str(mini.path), max_trajectories=5)]
    assert len(set(names)) == 5


def test_what_cannot_be_used_counts_towards_the_limit(altered: Altered) -> None:
    altered.mp4.unlink()
    assert list(get_egodex_iterator(str(altered.path), max_trajectories=1)) == []


@pytest.mark.parametrize("everything", [None, -1, 1000])
def test_no_limit_goes_through_all(mini: MiniEgoDex, everything: int | None) -> None:
    assert get_egodex_iterator(str(mini.path), everything).num_episodes == len(mini.records)


def test_next_gives_one_and_ends_with_stop_iteration(altered: Altered) -> None:
    iterator = get_egodex_iterator(str(altered.path))
    assert iter(iterator) is iterator
    assert next(iterator)["source"] == PLAIN
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(iterator)


def test_nothing_is_read_before_it_is_asked_for(altered: Altered) -> None:
    iterator = get_egodex_iterator(str(altered.path))
    altered.attributes(llm_description="Written after the iterator was made.")
    assert next(iterator)["task"] == "Written after the iterator was made."


def test_one_trajectory_is_held_at_a_time(mini: MiniEgoDex) -> None:
    iterator = get_egodex_iterator(str(mini.path))
    trajectory = next(iterator)
    frames, actions = weakref.ref(trajectory["frames"]), weakref.ref(trajectory["actions"])
    del trajectory
    assert frames() is None and actions() is None


def test_iterating_keeps_no_file_open(mini: MiniEgoDex) -> None:
    before = len(os.listdir("/dev/fd"))
    kept = list(get_egodex_iterator(str(mini.path)))
    assert len(kept) > 10 and len(os.listdir("/dev/fd")) == before


def damage(mp4: Path, is_damaged: Callable[[int], bool]) -> None:
    """Overwrite the packets of some frames with zeros; the index stays whole."""
    with av.open(str(mp4)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.pos is not None]
    with mp4.open("r+b") as file:
        for index, (position, size) in enumerate(places):
            if is_damaged(index):
                file.seek(position)
                file.write(bytes(size))


def test_no_frame_is_decoded_before_it_is_asked_for(altered: Altered) -> None:
    damage(altered.mp4, lambda index: index > 0)  # opening looks at the first for the size
    trajectory = altered.load()
    frames = trajectory["frames"]
    assert frames.shape == (20, 180, 320, 3) and len(frames[::3]) == 7
    assert len(trajectory["actions"]) == 20
    with pytest.raises(EpisodeError, match="Could not open video file"):
        frames[1]


def test_no_frame_is_decoded_but_those_asked_for(altered: Altered) -> None:
    expected = decode_all(altered.mp4)
    damage(altered.mp4, lambda index: index >= 12)
    frames = altered.load()["frames"]
    np.testing.assert_array_equal(frames[5], expected[5])
    np.testing.assert_array_equal(np.asarray(frames[:12:4]), np.stack(expected[:12:4]))
    with pytest.raises(EpisodeError):
        frames[12]


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"max_trajectories": 0}, "max_trajectories"),
        ({"max_trajectories": -2}, "max_trajectories"),
        ({"actions": ["feet"]}, "hands, fingertips, camera"),
        ({"actions": []}, "hands, fingertips, camera"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(mini: MiniEgoDex, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        get_egodex_iterator(str(mini.path), **arguments)


def test_a_wrong_folder_is_refused_before_the_first_trajectory(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        get_egodex_iterator(str(tmp_path / "nowhere"))
    says = f"{tmp_path}/nowhere does not exist; give the folder or the zip of an EgoDex part"
    assert str(error.value) == f"dataset_path: {says}"


# Real episodes ---------------------------------------------------------------------------------------------


def test_real_episodes_are_read(real_sample: Path) -> None:
    trajectories = {trajectory["source"]: trajectory for trajectory in get_egodex_iterator(str(real_sample))}
    assert {source: len(trajectory["frames"]) for source, trajectory in trajectories.items()} == {
        "add_remove_lid/0": 94,
        "assemble_disassemble_furniture_bench_stool/14": 120,
        "basic_pick_and_place/0": 126,
        "insert_remove/2": 161,
        "open_close/1": 171,
    }
    for trajectory in trajectories.values():
        assert trajectory["frames"].shape[1:] == (1080, 1920, 3)
        assert trajectory["frames"].fps == 30
        np.testing.assert_array_equal(trajectory["intrinsics"], np.array(FULL_HD_K, np.float32))
        with h5py.File(real_sample / f"{trajectory['source']}.hdf5") as file:
            for column, pose in enumerate(IN_THE_GUIDES_ORDER):
                xyz = slice(3 * column, 3 * column + 3)
                np.testing.assert_array_equal(trajectory["actions"][:, xyz], file[f"transforms/{pose}"][:, :3, 3])


def test_a_real_reversible_episode_takes_the_description_that_applies(real_sample: Path) -> None:
    tasks = {trajectory["source"]: trajectory["task"] for trajectory in get_egodex_iterator(str(real_sample))}
    assert tasks["add_remove_lid/0"] == "Remove the lid from the cup on the wooden table."
    assert tasks["basic_pick_and_place/0"] == (
        "Pick up a black stapler from the metal table and place it in the box lid."
    )
