"""What is read of an episode without its video is what is read of it with its video."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader
from dataset_upload.errors import EpisodeError, Reason
from dataset_upload.mini_egodex.part import make_mini_egodex


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "test"
    make_mini_egodex(path, episodes=1, size=(64, 64), frames=12)
    return path


def test_it_equals_what_conversion_reads(source: Path) -> None:
    loader = EgoDexLoader(str(source), "test")
    (episode,) = loader.list_episodes()
    tracking, trajectory = loader.load_tracking(episode), loader.load(episode)
    hands, confidences = trajectory["hands"], trajectory["confidences"]
    assert confidences is not None and tracking.confidences is not None
    np.testing.assert_array_equal(tracking.hands, [hands["left_hand"], hands["right_hand"]])
    np.testing.assert_array_equal(tracking.wrists, [hands["left_wrist_rotation"], hands["right_wrist_rotation"]])
    np.testing.assert_array_equal(tracking.camera_to_world, trajectory["camera_to_world"])
    np.testing.assert_array_equal(tracking.intrinsics, trajectory["intrinsics"])
    np.testing.assert_array_equal(tracking.confidences[:, :, 0].T, confidences[:, :2])
    assert tracking.frame_size == pytest.approx((64, 64)) and tracking.fps == trajectory["frames"].fps
    assert tracking.task == trajectory["task"] and tracking.is_drawn
    assert dict(tracking.columns) == {column.name: trajectory[column.name] for column in loader.about.columns}  # type: ignore[literal-required]


def test_the_video_need_not_be_there(source: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(source, tmp_path / "test", ignore=shutil.ignore_patterns("*.mp4"))
    loader = EgoDexLoader(str(copy), "test")
    (episode,) = loader.list_episodes()
    assert loader.lacks_video(episode)
    assert len(loader.load_tracking(episode).camera_to_world) == 12


def test_more_poses_than_the_file_has_room_for_are_refused(source: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(source, tmp_path / "test")
    loader = EgoDexLoader(str(copy), "test")
    (episode,) = loader.list_episodes()
    with h5py.File(episode.hdf5, "r+") as file:
        for name in list(file["transforms"]):
            del file[f"transforms/{name}"]
            file.create_dataset(f"transforms/{name}", (10**9, 4, 4), np.float32, chunks=(1000, 4, 4))
    with pytest.raises(EpisodeError) as refused:
        loader.load_tracking(episode)
    assert refused.value.reason is Reason.TOO_LARGE and episode.key in str(refused.value)


def test_messages_name_the_episode_wherever_it_lies(source: Path, tmp_path: Path) -> None:
    loader = EgoDexLoader(str(source), "test")
    (episode,) = loader.list_episodes()
    with pytest.raises(EpisodeError, match=f"^Warning: Missing HDF5 file of {episode.key}$"):
        loader.load_tracking(episode._replace(hdf5=None))
