"""`egodex48`: the EgoDex paper's action, wrists and fingertips of both hands.

Per step, of the left hand, then the right one: wrist xyz 3, wrist rotation 6, xyz of the five fingertips 15, from thumb
to little finger. Frame of reference: the recording's world. The paper gives a chunk of actions in the camera of its
first step; a stored row belongs to many chunks, so that is what `chunks.to_chunk` does. Unit: metres. Rotation: the
first two columns of the matrix from wrist axes to world. Source: arXiv 2505.11709, section 4. Users: the paper's
policies, H-RDT, Psi0, Daft.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions import Representation
from dataset_upload.actions.arkit import FINGERTIPS, SIDES, of_hand
from dataset_upload.actions.columns import pose_parts, position_parts
from dataset_upload.actions.poses import hand_joints, side_by_side, wrist_poses
from dataset_upload.actions.rotations import from_matrix
from dataset_upload.trajectory import Trajectory


class EgoDex48(Representation):
    """Wrist poses and fingertips of both hands."""

    name = "egodex48"
    needs = frozenset({"hands"})
    has_wrist_rotations = True
    frame = "world, metres"
    rotation = "rot6d, first two columns"
    parts = tuple(
        part
        for side in SIDES
        for part in (*pose_parts(f"{side}Hand", "rot6d_columns"), *position_parts(of_hand(side, FINGERTIPS)))
    )

    def state(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Wrists and fingertips in the world."""
        blocks = []
        for side in SIDES:
            wrists = wrist_poses(trajectory, side, indices, self.wrist_axes)
            fingertips = hand_joints(trajectory, side, indices, FINGERTIPS)
            blocks += [wrists[:, :3, 3], from_matrix(wrists[:, :3, :3], "rot6d_columns"), fingertips]
        return side_by_side(*blocks)
