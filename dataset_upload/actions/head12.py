"""`head12`: where the wrists are as the camera sees them.

Per step, of the left hand, then the right one: wrist xyz 3, then yaw, pitch, roll 3. Frame of reference: the camera at
the same step, its axes x right, y down, z forward. The action at t is the next step's pose in the camera of t, so that
motions of the head are not taken for motions of the hands. A chunk of actions belongs in the camera of its first step,
which is what `chunks.to_chunk` does: rows taken as they are stored are each in another camera, and are wrong by what
the head has moved meanwhile. Units: metres, radians. Rotation: intrinsic z-y-x, R = Rz(yaw) Ry(pitch) Rx(roll), from
wrist axes to camera. Source: EgoMimic's actions of human hands. Users: EgoMimic and EgoVerse (which add grippers),
HumanEgo, Qwen-RobotManip; the positions alone: six columns, as others use them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions import Representation
from dataset_upload.actions.arkit import SIDES
from dataset_upload.actions.columns import pose_parts
from dataset_upload.actions.poses import Indices, camera_poses, inverse, next_of, side_by_side, wrist_poses
from dataset_upload.actions.rotations import from_matrix
from dataset_upload.trajectory import Trajectory


class Head12(Representation):
    """Wrist poses in the camera."""

    name = "head12"
    needs = frozenset({"camera", "hands"})
    has_wrist_rotations = True
    stored_in = "camera"
    frame = "the camera at the same step (x right, y down, z forward), metres"
    rotation = "yaw, pitch, roll in radians, intrinsic z-y-x"
    parts = tuple(part for side in SIDES for part in pose_parts(f"{side}Hand_in_camera", "euler_zyx"))

    def state(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Wrists in the camera of the same frame."""
        return self._wrists(trajectory, indices, indices)

    def action(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The next frame's wrists in the camera of this one; the last frame's own."""
        return self._wrists(trajectory, next_of(indices), indices)

    def _wrists(self, trajectory: Trajectory, frames: Indices, camera_frames: Indices) -> NDArray[np.float32]:
        to_camera = inverse(camera_poses(trajectory, camera_frames))
        blocks = []
        for side in SIDES:
            wrists = to_camera @ wrist_poses(trajectory, side, frames, self.wrist_axes)
            blocks += [wrists[:, :3, 3], from_matrix(wrists[:, :3, :3], "euler_zyx")]
        return side_by_side(*blocks)
