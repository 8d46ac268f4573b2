"""A trajectory as a finished dataset of any format holds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIDES = ("left", "right")


class StoredTrajectory(Protocol):
    """One trajectory of a finished dataset. T is the number of frames of its clip; what it has not is NaN.

    Attributes:
        number: of the row, from 0.
        row: every column, as plain Python values; `actions`, T rows of D numbers, is one.
    """

    @property
    def number(self) -> int: ...
    @property
    def row(self) -> dict[str, Any]: ...
    @property
    def source(self) -> str:
        """The episode's key."""

    @property
    def task(self) -> str:
        """What is done, in words."""

    @property
    def clip_number(self) -> int:
        """The clip's number in its dataset."""

    @property
    def clip(self) -> list[Path]:
        """Where the MP4 lies, or the JPEGs, in order."""

    def clip_contents(self) -> list[bytes]:
        """The MP4, or the JPEGs, in order. Raises OSError."""

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The clip's (H, W, 3) RGB frames, one at a time. Raises OSError."""

    @property
    def times(self) -> Array:
        """(T,) seconds from the first frame of the source video."""

    @property
    def camera_to_world(self) -> Array:
        """(T, 4, 4) camera poses, metres; camera axes x right, y down, z forward."""

    @property
    def intrinsics(self) -> Array:
        """(3, 3) camera matrix, pixels of the clip's frames."""

    @property
    def hands(self) -> Array:
        """(2, T, 25, 3) joints of the left and the right hand, metres, world frame."""

    @property
    def confidences(self) -> Array:
        """(2, T) how sure the tracker is of the left and the right hand, 0 to 1."""


def has_hands(trajectory: StoredTrajectory) -> bool:
    """Whether it is known where the hands are: not of a robot's arm, say."""
    return bool(np.isfinite(trajectory.hands).any())


def has_camera(trajectory: StoredTrajectory) -> bool:
    """Whether it is known where the camera is, and what it sees where."""
    return bool(np.isfinite(trajectory.camera_to_world).any() and np.isfinite(trajectory.intrinsics).all())
