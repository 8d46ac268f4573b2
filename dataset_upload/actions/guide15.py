"""`guide15`: where hands, index fingertips and camera are, at most 15 columns.

Per step the positions of left hand, right hand, left and right index fingertip, and camera, xyz each. Frame of
reference: the recording's world. Unit: metres. No rotation. Source: the guide that dataset_upload implements. Users:
the RFM training pipeline.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions import Representation
from dataset_upload.actions.columns import column_names, position_parts
from dataset_upload.actions.wrist_axes import WristAxes
from dataset_upload.trajectory import Trajectory

# The parts an action can have, in the order in which their columns always stand.
PARTS: dict[str, tuple[str, ...]] = {
    "hands": ("leftHand", "rightHand"),
    "fingertips": ("leftIndexFingerTip", "rightIndexFingerTip"),
    "camera": ("camera",),
}


def poses(parts: Collection[str]) -> tuple[str, ...]:
    """The poses whose positions make up an action of these parts, in column order."""
    return tuple(pose for part, poses in PARTS.items() if part in parts for pose in poses)


def names(parts: Collection[str]) -> tuple[str, ...]:
    """The names of the D columns, three a pose: `leftHand_x`, `leftHand_y`, `leftHand_z`, …"""
    return column_names(position_parts(poses(parts)))


class Guide15(Representation):
    """The loader's own actions; of EgoDex, positions of these parts."""

    name = "guide15"
    frame = "world"
    rotation = "none"

    def __init__(self, loader_names: Sequence[str] = (), wrist_axes: WristAxes = "arkit") -> None:
        super().__init__(loader_names, wrist_axes)
        positions = position_parts([name.removesuffix("_x") for name in self.loader_names[::3]])
        if column_names(positions) == self.loader_names:  # a robot's joint angles are no positions
            self.parts = positions

    @property
    def names(self) -> tuple[str, ...]:
        return self.loader_names

    def state(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Positions in metres."""
        return trajectory["actions"][indices]
