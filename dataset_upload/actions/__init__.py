"""Action representations: poses in, (T, D) states and actions out.

Each is one module, named after what its users call it, with a class that derives from `Representation`, and a line in
`REPRESENTATIONS`. docs/actions.md compares them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from dataset_upload.actions.columns import Part, column_names
from dataset_upload.actions.wrist_axes import WRIST_AXES, WristAxes
from dataset_upload.errors import UsageError
from dataset_upload.names import look_up

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataset_upload.trajectory import Trajectory

# Where each representation's class is, by what `output.action_representation` calls it.
REPRESENTATIONS = {
    "guide15": "dataset_upload.actions.guide15:Guide15",
    "egodex48": "dataset_upload.actions.egodex48:EgoDex48",
    "cosmos57": "dataset_upload.actions.cosmos57:Cosmos57",
    "cosmos57_framewise": "dataset_upload.actions.cosmos57:Cosmos57Framewise",
    "groot29": "dataset_upload.actions.groot29:Groot29",
    "xvla20": "dataset_upload.actions.xvla20:XVla20",
    "head12": "dataset_upload.actions.head12:Head12",
    "skeleton204": "dataset_upload.actions.skeleton204:Skeleton204",
}

# What a trajectory need not have, and a representation may need: the keys `hands`, `camera_to_world`, `skeleton`.
Poses = Literal["hands", "camera", "skeleton"]


class Representation(ABC):
    """One way to say where hands and camera are at each step, and what they do next.

    Attributes:
        name: what `output.action_representation` calls it.
        needs: the poses that a trajectory must have.
        frame, rotation: frame of reference and convention of rotations of a state, in words; "none": it has none.
        parts: of what its D columns consist, in order; empty where that is unknown.
        names: of the D columns of a state.
        action_frame, action_parts, action_names: likewise, of an action; a state's unless they are others.
        stored_in: of which frame an action's numbers are: the world, the camera at its own step, or, of motions, none.
        loader_names: of the columns of the actions that the loader itself gives a trajectory.
        has_wrist_rotations: whether `wrist_axes` matters.
        wrist_axes: which way the axes of a wrist point, a key of `WRIST_AXES`.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[Poses]] = frozenset()
    has_wrist_rotations: ClassVar[bool] = False
    stored_in: ClassVar[Literal["world", "camera", "none"]] = "world"
    frame: str
    rotation: str
    parts: tuple[Part, ...] = ()

    def __init__(self, loader_names: Sequence[str] = (), wrist_axes: WristAxes = "arkit") -> None:
        self.loader_names = tuple(loader_names)
        self.wrist_axes = wrist_axes
        if self.has_wrist_rotations:
            self.rotation = f"{self.rotation}; wrist axes: {wrist_axes}, {WRIST_AXES[wrist_axes]}"

    @property
    def names(self) -> tuple[str, ...]:
        return column_names(self.parts)

    @property
    def action_frame(self) -> str:
        return self.frame

    @property
    def action_parts(self) -> tuple[Part, ...]:
        return self.parts

    @property
    def action_names(self) -> tuple[str, ...]:
        return self.names

    @abstractmethod
    def state(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(indices), D): where all is at these frames of the trajectory. Raises EpisodeError: a pose is missing."""

    def action(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(indices), D): what is done at each of these frames: the state at the next of them, the last repeated."""
        from dataset_upload.actions.poses import next_of  # only now: --help need not wait for NumPy

        return self.state(trajectory, next_of(indices))

    def at_each_frame(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(indices), D): what one column for all says of these frames: the state or, where actions are motions,
        the motion to the next of these frames. Its columns are `action_names`."""
        return self.state(trajectory, indices)


def find_representation(name: str, loader_names: Sequence[str] = (), wrist_axes: WristAxes = "arkit") -> Representation:
    """The representation of this name.

    Args:
        loader_names: of the columns of the loader's own actions, which guide15 takes as they are.
        wrist_axes: which way the axes of a wrist point.

    Raises:
        UsageError: there is none of this name, or it has no wrist whose axes could be turned.
    """
    found: type[Representation] = look_up(name, REPRESENTATIONS, "action_representation")
    if wrist_axes != "arkit" and not found.has_wrist_rotations:
        raise UsageError(f"{name} has no wrist rotations to choose the axes of; leave it out", "wrist_axes")
    return found(loader_names, wrist_axes)
