"""`skeleton204`: where all 68 joints are that ARKit tracks.

Per step the xyz of hip, spine 1 to 7, neck 1 to 4, then of the left side shoulder, arm, forearm and the hand's 25
joints, then of the right side: `arkit.SKELETON`. Frame of reference: the recording's world. Unit: metres. No rotation.
Source: EgoDex's own transforms. Users: whoever retargets the whole body, or learns a representation of one's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions import Representation
from dataset_upload.actions.arkit import SKELETON
from dataset_upload.actions.columns import position_parts
from dataset_upload.actions.poses import side_by_side, skeletons
from dataset_upload.trajectory import Trajectory


class Skeleton204(Representation):
    """Positions of all joints in the world."""

    name = "skeleton204"
    needs = frozenset({"skeleton"})
    frame = "world, metres"
    rotation = "none"
    parts = position_parts(SKELETON)

    def state(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """All joints in the world."""
        return side_by_side(skeletons(trajectory, indices))
