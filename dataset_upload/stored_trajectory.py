"""A trajectory as it is looked at, most often as a finished dataset of any format holds it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIDES = ("left", "right")


class ShownTrajectory(ABC):
    """What can be looked at of one trajectory, be it in its source or in a finished dataset.

    T is the number of its frames; what it has not is NaN.
    """

    @property
    @abstractmethod
    def id(self) -> str:
        """Names it among all trajectories."""

    @property
    @abstractmethod
    def source(self) -> str:
        """The episode's key: `<task>/<n>`."""

    @property
    @abstractmethod
    def task(self) -> str:
        """What is done, in words."""

    @property
    def texts(self) -> Mapping[str, str]:
        """What else its annotation says in words, by the names of the source's columns."""
        return {}

    @abstractmethod
    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The (H, W, 3) RGB frames, one at a time. Raises OSError, or EpisodeError for a source."""

    @property
    @abstractmethod
    def times(self) -> Array:
        """(T,) seconds from the first frame of the source video."""

    @property
    @abstractmethod
    def actions(self) -> Array:
        """(T, D) columns that the dataset's description names."""

    @property
    def camera_to_world(self) -> Array:
        """(T, 4, 4) camera poses, metres; camera axes x right, y down, z forward."""
        return np.full((len(self.times), 4, 4), np.nan)

    @property
    def intrinsics(self) -> Array:
        """(3, 3) camera matrix, pixels of the frames."""
        return np.full((3, 3), np.nan)

    @property
    def hands(self) -> Array:
        """(2, T, 25, 3) joints of the left and the right hand, metres, world frame."""
        return np.full((2, len(self.times), 25, 3), np.nan)

    @property
    def confidences(self) -> Array:
        """(2, T) how sure the tracker is of the left and the right hand, 0 to 1."""
        return np.full((2, len(self.times)), np.nan)


@dataclass(frozen=True)
class StoredTrajectory(ShownTrajectory):
    """One trajectory of a finished dataset; each format has a class that says where its clip is, and what else it has.

    Attributes:
        number: of the row, from 0.
        row: every column, as plain Python values: `source`, `task`, and what else there is. The report needs RFM's.
        root: the output folder, which the clip's path is relative to.
    """

    number: int
    row: dict[str, Any]
    root: Path

    @property
    def id(self) -> str:
        """The row's id."""
        return str(self.row["id"])

    @property
    def source(self) -> str:
        """The episode's key: `<task>/<n>`."""
        return str(self.row["source"])

    @property
    def task(self) -> str:
        """What is done, in words."""
        return str(self.row["task"])

    @property
    def actions(self) -> Array:
        """(T, D) columns that the dataset's description names."""
        return np.array(self.row["actions"], np.float64)

    @property
    @abstractmethod
    def clip_number(self) -> int:
        """The clip's number in its dataset."""

    @property
    @abstractmethod
    def clip(self) -> list[Path]:
        """Where the MP4 lies, or the JPEGs, in order."""

    @property
    def plays_in_browsers(self) -> bool:
        """Whether its MP4 is coded so that they play it."""
        return True

    def clip_contents(self) -> list[bytes]:
        """The MP4, or the JPEGs, in order. Raises OSError."""
        return [path.read_bytes() for path in self.clip]


def has_hands(trajectory: ShownTrajectory) -> bool:
    """Whether it is known where the hands are: not of a robot's arm, say."""
    return bool(np.isfinite(trajectory.hands).any())


def has_camera(trajectory: ShownTrajectory) -> bool:
    """Whether it is known where the camera is, and what it sees where."""
    return bool(np.isfinite(trajectory.camera_to_world).any() and np.isfinite(trajectory.intrinsics).all())
