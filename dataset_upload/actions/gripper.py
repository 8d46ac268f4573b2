"""A hand as a parallel gripper: where it is, how it is turned, how far it is open."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions.arkit import Side
from dataset_upload.actions.poses import Array, hand_joints
from dataset_upload.trajectory import Trajectory

STROKE = 0.085  # metres between the jaws of an open gripper, of a Robotiq 2F-85

_JAWS = ("IndexFingerTip", "ThumbTip", "IndexFingerKnuckle", "ThumbIntermediateTip")
_LEAST_LENGTH = 1e-4  # metres


def openings(trajectory: Trajectory, side: Side, indices: NDArray[np.int64]) -> Array:
    """(n, 1) how far index and thumb tip are apart, 0: they touch, 1: `STROKE` or more. Raises EpisodeError."""
    index, thumb = np.moveaxis(hand_joints(trajectory, side, indices, _JAWS[:2]), 1, 0)
    widths: Array = np.linalg.norm(index - thumb, axis=1, keepdims=True)
    return np.clip(widths, 0, STROKE) / STROKE


def gripper_poses(trajectory: Trajectory, side: Side, indices: NDArray[np.int64]) -> Array:
    """(n, 4, 4) gripper to world: the gripper that fits a hand's index finger and thumb best.

    Its origin is halfway between the two tips, x points from thumb to index, z from the hand to the tips. With w the
    distance of the tips and l that of the midpoints of tips and of index knuckle and ThumbIntermediateTip, the rotation
    is the one (Kabsch) that brings (+-w/2, 0, 0) and (+-w/2, 0, -l) as near as can be to these four joints: the plus
    for the index finger. Raises EpisodeError: the trajectory has no hands.
    """
    jaws = hand_joints(trajectory, side, indices, _JAWS)
    index, thumb, index_base, thumb_base = np.moveaxis(jaws, 1, 0)
    origin = (index + thumb) / 2
    half = np.linalg.norm(index - thumb, axis=1) / 2
    length = np.maximum(np.linalg.norm(origin - (index_base + thumb_base) / 2, axis=1), _LEAST_LENGTH)
    gripper = np.zeros_like(jaws)
    gripper[:, :, 0] = half[:, None] * [1, -1, 1, -1]
    gripper[:, 2:, 2] = -length[:, None]
    poses = np.tile(np.eye(4), (len(indices), 1, 1))
    poses[:, :3, :3] = _kabsch(gripper, jaws)
    poses[:, :3, 3] = origin
    return poses


def _kabsch(points: Array, targets: Array) -> Array:
    """(n, 3, 3) proper rotations that bring (n, k, 3) points nearest to targets, both about their means."""
    points = points - points.mean(axis=1, keepdims=True)
    targets = targets - targets.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.swapaxes(points, 1, 2) @ targets)
    v, ut = np.swapaxes(vt, 1, 2), np.swapaxes(u, 1, 2)
    v[np.linalg.det(v @ ut) < 0, :, 2] *= -1
    rotations: Array = v @ ut
    return rotations
