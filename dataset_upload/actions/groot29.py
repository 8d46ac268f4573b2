"""`groot29`: both hands as parallel grippers, and the head, for GR00T.

Per step: left gripper pose 9, left opening 1, right gripper pose 9, right opening 1, head (the camera) 9. A pose is xyz
3 and the first two ROWS of its rotation 6, as GR00T has it. The gripper is not the wrist: `gripper.gripper_poses` tells
what it is. An opening is 0 where index and thumb tip touch, 1 where they are 85 mm apart or more. Frame of reference:
the recording's world; GR00T makes actions relative as it loads them. Unit: metres. Source: public forks of GR00T N1.7
for EgoDex and HD-EPIC (the joints, the fit, the stroke), GR00T itself (rows). Users: these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions import Representation
from dataset_upload.actions.arkit import SIDES
from dataset_upload.actions.columns import Part, pose_parts
from dataset_upload.actions.gripper import gripper_poses, openings
from dataset_upload.actions.poses import Array, camera_poses, side_by_side
from dataset_upload.actions.rotations import from_matrix
from dataset_upload.trajectory import Trajectory


class Groot29(Representation):
    """Grippers and head in the world."""

    name = "groot29"
    needs = frozenset({"camera", "hands"})
    frame = "world, metres; openings 0 (closed) to 1 (85 mm)"
    rotation = "rot6d, first two rows; gripper axes: x from thumb to index, z from the hand to the fingertips"
    parts = (
        *(
            part
            for side in SIDES
            for part in (*pose_parts(f"{side}Gripper", "rot6d_rows"), Part(f"{side}Gripper_opening", "number"))
        ),
        *pose_parts("camera", "rot6d_rows"),
    )

    def state(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Grippers and head in the world."""
        blocks = []
        for side in SIDES:
            blocks += [_numbers(gripper_poses(trajectory, side, indices)), openings(trajectory, side, indices)]
        return side_by_side(*blocks, _numbers(camera_poses(trajectory, indices)))


def _numbers(poses: Array) -> Array:
    """(n, 9): xyz, then the first two rows of the rotation."""
    return np.concatenate([poses[:, :3, 3], from_matrix(poses[:, :3, :3], "rot6d_rows")], axis=1)
