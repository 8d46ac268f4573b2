"""Poses of a trajectory, as representations need them: float64, metres, axes to world unless said otherwise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions.arkit import HAND_JOINTS, Side
from dataset_upload.actions.wrist_axes import WristAxes
from dataset_upload.errors import EpisodeError, Reason
from dataset_upload.trajectory import HandPoses, Trajectory

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_RIGHT_TO_CANONICAL = np.diag([-1.0, 1.0, -1.0])


def camera_poses(trajectory: Trajectory, indices: Indices) -> Array:
    """(n, 4, 4) camera to world at these frames. Raises EpisodeError where the trajectory has none."""
    poses = trajectory.get("camera_to_world")
    if poses is None:
        raise _missing(trajectory, "camera poses")
    return poses[indices].astype(np.float64)


def wrist_poses(trajectory: Trajectory, side: Side, indices: Indices, axes: WristAxes) -> Array:
    """(n, 4, 4) wrist to world at these frames. Raises EpisodeError where the trajectory has none."""
    hands = _hands(trajectory)
    rotations = hands["left_wrist_rotation" if side == "left" else "right_wrist_rotation"][indices]
    poses = np.tile(np.eye(4), (len(indices), 1, 1))
    is_turned = side == "right" and axes == "canonical"
    poses[:, :3, :3] = rotations.astype(np.float64) @ (_RIGHT_TO_CANONICAL if is_turned else np.eye(3))
    poses[:, :3, 3] = hand_joints(trajectory, side, indices, ("Hand",))[:, 0]
    return poses


def hand_joints(trajectory: Trajectory, side: Side, indices: Indices, names: tuple[str, ...]) -> Array:
    """(n, len(names), 3) positions of a hand's joints, named without their side. Raises EpisodeError: it has none."""
    joints = _hands(trajectory)["left_hand" if side == "left" else "right_hand"]
    if joints.shape[1] != len(HAND_JOINTS):
        raise _missing(trajectory, f"hands of ARKit's {len(HAND_JOINTS)} joints")
    return joints[indices][:, [HAND_JOINTS.index(name) for name in names]].astype(np.float64)


def skeletons(trajectory: Trajectory, indices: Indices) -> Array:
    """(n, 68, 3) positions of all joints, in the order of `arkit.SKELETON`. Raises EpisodeError: it has none."""
    skeleton = trajectory.get("skeleton")
    if skeleton is None:
        raise _missing(trajectory, "joints of the whole body")
    return skeleton[indices].astype(np.float64)


def next_of(indices: Indices) -> Indices:
    """For each of the frames the next one; for the last one itself."""
    return np.append(indices[1:], indices[-1:])


def inverse(poses: Array) -> Array:
    """The inverse of (…, 4, 4) poses: world to axes."""
    turned = np.swapaxes(poses[..., :3, :3], -1, -2)
    inverted = np.zeros_like(poses)
    inverted[..., :3, :3] = turned
    inverted[..., :3, 3] = -(turned @ poses[..., :3, 3:])[..., 0]
    inverted[..., 3, 3] = 1
    return inverted


def positions_in(poses: Array, positions: Array) -> Array:
    """(n, k, 3) positions in the world, as seen from (n, 4, 4) poses."""
    relative: Array = (positions - poses[:, None, :3, 3]) @ poses[:, :3, :3]  # each row times R: R^T times it
    return relative


def side_by_side(*blocks: Array) -> NDArray[np.float32]:
    """Blocks of n rows each, whatever their shape, as (n, D)."""
    return np.concatenate([block.reshape(len(block), -1) for block in blocks], axis=1).astype(np.float32)


def _hands(trajectory: Trajectory) -> HandPoses:
    hands = trajectory.get("hands")
    if hands is None:
        raise _missing(trajectory, "hands")
    return hands


def _missing(trajectory: Trajectory, what: str) -> EpisodeError:
    message = f"Error loading trajectory {trajectory['source']}: it has no {what}, which its actions are to be made of"
    return EpisodeError(Reason.MISSING_JOINT, message)
