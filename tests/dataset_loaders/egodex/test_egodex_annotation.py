"""A pose is what h5py reads, however the file stores it."""

from __future__ import annotations

import io
from typing import Any

import h5py
import numpy as np
import pytest

from dataset_upload.dataset_loaders.egodex.annotation import open_annotation
from dataset_upload.errors import EpisodeError, Reason

POSES = np.random.default_rng(0).normal(size=(20, 4, 4)).astype(np.float32)


def annotation_file(*, userblock: int = 0, **stored: Any) -> bytes:
    """An HDF5 file with one pose, stored with these options of h5py's `create_dataset`."""
    file = io.BytesIO()
    with h5py.File(file, "w", userblock_size=userblock) as hdf5:
        hdf5.create_dataset("transforms/camera", data=POSES.astype(stored.get("dtype", np.float32)), **stored)
    return file.getvalue()


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"userblock": 512},
        {"dtype": ">f4"},
        {"dtype": "<f8"},
        {"dtype": "<f2"},
        {"chunks": (3, 4, 4)},
        {"chunks": (7, 2, 3), "compression": "gzip", "shuffle": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("num_frames", [20, 13])
def test_a_pose_is_what_h5py_reads(stored: dict[str, Any], num_frames: int) -> None:
    data = annotation_file(**stored)
    with h5py.File(io.BytesIO(data)) as hdf5:
        expected = hdf5["transforms/camera"][:num_frames].astype(np.float32)
    with open_annotation(io.BytesIO(data), "0.hdf5", num_frames=20) as annotation:
        assert annotation.num_poses(["camera"]) == 20
        np.testing.assert_array_equal(annotation.pose("camera", num_frames), expected)


def test_a_pose_that_the_file_ends_within_is_a_failure() -> None:
    """HDF5 notices while opening that a file is short; this one becomes so later."""
    file = io.BytesIO(annotation_file())
    with (
        pytest.raises(EpisodeError, match="ends within 'transforms/camera'") as error,
        open_annotation(file, "0.hdf5", num_frames=20) as annotation,
    ):
        annotation.num_poses(["camera"])
        file.truncate(len(file.getvalue()) - 1000)
        annotation.pose("camera", 20)
    assert error.value.reason is Reason.UNREADABLE_HDF5
