"""A trajectory as a loader reads it, to be looked at before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dataset_upload.about import About
from dataset_upload.stored_trajectory import Array, ShownTrajectory
from dataset_upload.trajectory import Trajectory


@dataclass(frozen=True)
class SourceTrajectory(ShownTrajectory):
    """One trajectory of a source, with all of its frames in their own size.

    Attributes:
        trajectory: as the loader read it.
        about: its source, whose columns are the texts.
    """

    trajectory: Trajectory
    about: About

    @property
    def id(self) -> str:
        """The id that a dataset without a name would give it."""
        return self.trajectory["id"]

    @property
    def source(self) -> str:
        """The episode's key: `<task>/<n>`."""
        return self.trajectory["source"]

    @property
    def task(self) -> str:
        """What is done, in words."""
        return self.trajectory["task"]

    @property
    def texts(self) -> dict[str, str]:
        """What the annotation says, by the names of the source's columns, each on one line."""
        said = cast(dict[str, Any], self.trajectory)
        columns = {column.name: said.get(column.name) for column in self.about.columns}
        return {name: _in_words(value) for name, value in columns.items() if value not in (None, "", [])}

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The source's (H, W, 3) RGB frames, one at a time. Raises EpisodeError."""
        frames = self.trajectory["frames"]
        with frames.open() as video:
            for picture in video.decode(np.arange(len(frames))):
                yield picture.to_rgb()

    @cached_property
    def times(self) -> Array:
        """(T,) seconds from the first frame of the video."""
        return self.trajectory["frames"].timestamps

    @cached_property
    def actions(self) -> Array:
        """(T, D) the loader's own action columns."""
        return self.trajectory["actions"].astype(np.float64)

    @cached_property
    def camera_to_world(self) -> Array:
        """(T, 4, 4) camera poses, metres; camera axes x right, y down, z forward."""
        poses = self.trajectory.get("camera_to_world")
        return super().camera_to_world if poses is None else poses.astype(np.float64)

    @cached_property
    def intrinsics(self) -> Array:
        """(3, 3) camera matrix, pixels of the source's frames."""
        matrix = self.trajectory.get("intrinsics")
        return super().intrinsics if matrix is None else matrix.astype(np.float64)

    @cached_property
    def hands(self) -> Array:
        """(2, T, 25, 3) joints of the left and the right hand, metres, world frame."""
        hands = self.trajectory.get("hands")
        if hands is None:
            return super().hands
        return np.stack([hands["left_hand"], hands["right_hand"]]).astype(np.float64)

    @cached_property
    def confidences(self) -> Array:
        """(2, T) how sure the tracker is of the left and the right hand, 0 to 1."""
        values = self.trajectory.get("confidences")
        return super().confidences if values is None else values[:, :2].T.astype(np.float64)


def _in_words(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return " ".join(text.split())
