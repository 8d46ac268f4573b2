"""`xvla20`: wrists with a gripper each, for X-VLA (`ee6d`).

Per step, of the left hand, which is arm 1, then of the right one, arm 2: wrist xyz 3, wrist rotation 6, gripper 1
(columns 9 and 19). The gripper's number is 1 where it is closed (index and thumb tip touch) and 0 where it is open (85
mm apart or more), with what lies between, as a probability of being closed: X-VLA learns it by binary cross-entropy,
and its own readers write 1 for closed. Whoever wants labels takes those above 0.5. Frame of reference: the recording's
world. Unit: metres. Rotation: the first two columns of the matrix from wrist axes to world. Source: X-VLA's readers and
LeRobot's `xvla` action space. Users: X-VLA; RDT2 and others that act by two poses with a gripper, some of which count 1
as open.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions import Representation
from dataset_upload.actions.arkit import SIDES
from dataset_upload.actions.columns import Part, pose_parts
from dataset_upload.actions.gripper import openings
from dataset_upload.actions.poses import side_by_side, wrist_poses
from dataset_upload.actions.rotations import from_matrix
from dataset_upload.trajectory import Trajectory


class XVla20(Representation):
    """Wrist poses in the world, and how closed each hand is."""

    name = "xvla20"
    needs = frozenset({"hands"})
    has_wrist_rotations = True
    frame = "world, metres; grippers 1 (closed) to 0 (85 mm open)"
    rotation = "rot6d, first two columns"
    parts = tuple(
        part
        for side in SIDES
        for part in (*pose_parts(f"{side}Hand", "rot6d_columns"), Part(f"{side}Hand_closed", "number"))
    )

    def state(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Wrists in the world, grippers."""
        blocks = []
        for side in SIDES:
            wrists = wrist_poses(trajectory, side, indices, self.wrist_axes)
            closed = 1 - openings(trajectory, side, indices)
            blocks += [wrists[:, :3, 3], from_matrix(wrists[:, :3, :3], "rot6d_columns"), closed]
        return side_by_side(*blocks)
