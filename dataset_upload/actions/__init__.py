"""Action representations: poses in, (T, D) states and actions out.

Each is one module, named after what its users call it, with a class that derives from `Representation`, and a line in
`REPRESENTATIONS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dataset_upload.names import look_up
from dataset_upload.trajectory import Trajectory

# Where each representation's class is, by what `output.action_representation` calls it.
REPRESENTATIONS = {"guide15": "dataset_upload.actions.guide15:Guide15"}


class Representation(ABC):
    """One way to say where hands and camera are at each step, and what they do next.

    Attributes:
        name: what `output.action_representation` calls it.
        frame: the frame of reference, in words.
        rotation: the convention of rotations, in words; "none" where there are none.
        names: of the D columns.
        loader_names: of the columns of the actions that the loader itself gives a trajectory.
    """

    name: ClassVar[str]
    frame: ClassVar[str]
    rotation: ClassVar[str]
    names: tuple[str, ...]

    def __init__(self, loader_names: Sequence[str]) -> None:
        self.loader_names = tuple(loader_names)

    @abstractmethod
    def state(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(indices), D): where all is at these frames of the trajectory. Raises EpisodeError: a pose is missing."""

    def action(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(indices), D): what is done at each of these frames: the state at the next of them, the last repeated."""
        states = self.state(trajectory, indices)
        return states[np.minimum(np.arange(1, len(states) + 1), len(states) - 1)]


def find_representation(name: str, loader_names: Sequence[str]) -> Representation:
    """The representation of this name. Raises UsageError where there is none."""
    found: Representation = look_up(name, REPRESENTATIONS, "action_representation")(loader_names)
    return found
