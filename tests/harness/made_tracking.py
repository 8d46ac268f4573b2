"""Tracking whose truth is known: two rigid hands in front of a camera, moved as a test says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_upload.dataset_loaders.egodex.annotation import DEFAULT_INTRINSICS, DEFAULT_INTRINSICS_SIZE
from dataset_upload.mini_egodex.body import hand_axes, pose_hand
from dataset_upload.trajectory import Tracking

FPS = 30
JOINTS = 25
SIDES = ("left", "right")
# Wrists half a metre ahead of a camera at the origin that looks along +Z; y points down. Both hands point ahead.
LEFT, RIGHT = (-0.15, 0.0, 0.5), (0.15, 0.0, 0.5)

TEXTS: dict[str, Any] = {
    "llm_description": "Put the lid on.",
    "llm_description2": "Take the lid off.",
    "which_llm_description": 1,
    "llm_type": "reversible",
    "task_certain": True,
}


def made_tracking(
    frames: int = 90,
    *,
    left: Any = (0.0, 0.0, 0.0),
    right: Any = (0.0, 0.0, 0.0),
    camera: NDArray[np.float64] | None = None,
    confidences: NDArray[np.float64] | None = None,
    **changed: Any,
) -> Tracking:
    """Hands at rest, displaced by `left` and `right`, metres: (3,) throughout, or (frames, 3)."""
    hands, wrists = [], []
    for side, place, moved in zip(SIDES, (LEFT, RIGHT), (left, right), strict=True):
        wrist = np.broadcast_to(np.asarray(place) + np.asarray(moved), (frames, 3))
        ahead, up = np.broadcast_to([0.0, 0.0, 1.0], (frames, 3)), np.broadcast_to([0.0, -1.0, 0.0], (frames, 3))
        poses = pose_hand(side, wrist, hand_axes(side, ahead, up), np.full(frames, 0.5))
        hands.append(np.stack([pose[:, :3, 3] for pose in poses.values()], axis=1))
        wrists.append(poses[f"{side}Hand"][:, :3, :3])
    made: dict[str, Any] = {
        "fps": FPS,
        "frame_size": DEFAULT_INTRINSICS_SIZE,
        "intrinsics": DEFAULT_INTRINSICS,
        "camera_to_world": np.tile(np.eye(4), (frames, 1, 1)) if camera is None else camera,
        "hands": np.stack(hands),
        "wrists": np.stack(wrists),
        "confidences": np.ones((2, frames, JOINTS)) if confidences is None else confidences,
        "task": "Put the lid on.",
        "columns": TEXTS,
    }
    made |= changed
    arrays = {name: value.astype(np.float32) for name, value in made.items() if isinstance(value, np.ndarray)}
    return Tracking(**made | arrays)


def moving(frames: int, *, first: int, last: int, metres_a_second: float, axis: int = 0) -> NDArray[np.float64]:
    """(frames, 3) displacements at a constant speed between two frames, at rest before and after."""
    steps = np.zeros((frames, 3))
    steps[first + 1 : last + 1, axis] = metres_a_second / FPS
    return np.cumsum(steps, axis=0)


def turned(matrices: NDArray[np.floating[Any]], degrees: Any, axis: int = 1) -> NDArray[np.float64]:
    """Rotations, or camera poses, turned about an axis of their own by (frames,) degrees."""
    angle = np.radians(np.broadcast_to(degrees, len(matrices)))
    a, b = [other for other in range(3) if other != axis]
    turns = np.tile(np.eye(matrices.shape[-1]), (len(matrices), 1, 1))
    turns[:, a, a] = turns[:, b, b] = np.cos(angle)
    turns[:, a, b], turns[:, b, a] = -np.sin(angle), np.sin(angle)
    result: NDArray[np.float64] = matrices @ turns
    return result
