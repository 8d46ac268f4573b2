"""`guide15`: where hands, index fingertips and camera are, at most 15 columns.

Per step the positions of left hand, right hand, left and right index fingertip, and camera, xyz each. Frame of
reference: the recording's world. Unit: metres. No rotation. Source: the guide that dataset_upload implements; the RFM
training pipeline reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions import Representation
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
    return tuple(f"{pose}_{axis}" for pose in poses(parts) for axis in "xyz")


class Guide15(Representation):
    """The loader's own actions; of EgoDex, positions of these parts."""

    name = "guide15"
    frame = "world"
    rotation = "none"

    def __init__(self, loader_names: Sequence[str]) -> None:
        super().__init__(loader_names)
        self.names = self.loader_names

    def state(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Positions in metres."""
        return trajectory["actions"][indices]
