"""`cosmos57` and `cosmos57_framewise`: camera, wrists and fingertips, absolute, or as motions from step to step.

Per step: camera 9, right wrist 9, five right fingertips 15 from thumb to little finger, left wrist 9, left fingertips
15. A pose is xyz 3 and the first two columns of its rotation 6. Unit: metres. Camera axes: x right, y down, z forward.

`cosmos57`. Frame of reference: the recording's world; wrist axes as asked for. Users: forks of GR00T N1.5.

`cosmos57_framewise`, action at t: of camera and wrists the motion T_t^-1 T_t+1, from the pose at step t to that at the
next step; the fingertips of t+1 in the wrist of t+1. At the last step the identity, fingertips in their own wrist.
Wrist axes are always turned to x from thumb to little finger, z from wrist to fingertips, hence y out of the right palm
and out of the back of the left hand. Its state is absolute, with these axes, so that state times motion is the next
state. How far a motion goes depends on the frame rate: Cosmos takes 15 a second. Source: NVIDIA's cosmos-framework, its
reader of hand poses. Users: Cosmos 3's action-conditioned models; they add the normalisation and pad to 64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions import Representation
from dataset_upload.actions.arkit import FINGERTIPS, Side, of_hand
from dataset_upload.actions.columns import Part, column_names, pose_parts, position_parts
from dataset_upload.actions.poses import (
    Array,
    Indices,
    camera_poses,
    hand_joints,
    inverse,
    next_of,
    positions_in,
    side_by_side,
    wrist_poses,
)
from dataset_upload.actions.rotations import from_matrix
from dataset_upload.trajectory import Trajectory

_SIDES: tuple[Side, Side] = ("right", "left")

# From wrist axes with the fingers along +X and little finger to index along -Z to those of Cosmos.
_CANONICAL_TO_COSMOS = np.array([[0.0, 0, 1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


class Cosmos57(Representation):
    """Camera, wrists and fingertips in the world."""

    name = "cosmos57"
    needs = frozenset({"camera", "hands"})
    has_wrist_rotations = True
    frame = "world, metres"
    rotation = "rot6d, first two columns"
    parts = (
        *pose_parts("camera", "rot6d_columns"),
        *(
            part
            for side in _SIDES
            for part in (*pose_parts(f"{side}Hand", "rot6d_columns"), *position_parts(of_hand(side, FINGERTIPS)))
        ),
    )

    def state(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Camera, wrists and fingertips in the world."""
        blocks = [_numbers(camera_poses(trajectory, indices))]
        for side in _SIDES:
            wrists = self._wrists(trajectory, side, indices)
            blocks += [_numbers(wrists), hand_joints(trajectory, side, indices, FINGERTIPS)]
        return side_by_side(*blocks)

    def _wrists(self, trajectory: Trajectory, side: Side, indices: Indices) -> Array:
        return wrist_poses(trajectory, side, indices, self.wrist_axes)


class Cosmos57Framewise(Cosmos57):
    """Motions of camera and wrists from step to step, fingertips in the wrist."""

    name = "cosmos57_framewise"
    has_wrist_rotations = False  # none to choose from
    stored_in = "none"
    rotation = "rot6d, first two columns; wrist axes: x from thumb to little finger, z from wrist to fingertips"

    @property
    def action_frame(self) -> str:
        return "camera and wrists: their own pose at the same step, T_t^-1 T_t+1; fingertips: the wrist at t+1; metres"

    @property
    def action_parts(self) -> tuple[Part, ...]:
        return (
            *pose_parts("camera_motion", "rot6d_columns"),
            *(
                part
                for side in _SIDES
                for part in (
                    *pose_parts(f"{side}Hand_motion", "rot6d_columns"),
                    *position_parts([f"{tip}_in_{side}Hand" for tip in of_hand(side, FINGERTIPS)]),
                )
            ),
        )

    @property
    def action_names(self) -> tuple[str, ...]:
        return column_names(self.action_parts)

    def action(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Motions to the next of these frames; at the last of them none."""
        following = next_of(indices)
        blocks = [_motions(camera_poses(trajectory, indices), camera_poses(trajectory, following))]
        for side in _SIDES:
            wrists, next_wrists = (self._wrists(trajectory, side, frames) for frames in (indices, following))
            fingertips = hand_joints(trajectory, side, following, FINGERTIPS)
            blocks += [_motions(wrists, next_wrists), positions_in(next_wrists, fingertips)]
        return side_by_side(*blocks)

    def at_each_frame(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The motions."""
        return self.action(trajectory, indices)

    def _wrists(self, trajectory: Trajectory, side: Side, indices: Indices) -> Array:
        wrists: Array = wrist_poses(trajectory, side, indices, "canonical") @ _CANONICAL_TO_COSMOS
        return wrists


def _motions(poses: Array, next_poses: Array) -> Array:
    """(n, 9): from pose to pose; the last has none."""
    motions = inverse(poses) @ next_poses
    motions[-1:] = np.eye(4)
    return _numbers(motions)


def _numbers(poses: Array) -> Array:
    """(n, 9): xyz, then the first two columns of the rotation."""
    return np.concatenate([poses[:, :3, 3], from_matrix(poses[:, :3, :3], "rot6d_columns")], axis=1)
