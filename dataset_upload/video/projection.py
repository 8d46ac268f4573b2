"""Where things appear in a clip's frames."""

from __future__ import annotations

import numpy as np

from dataset_upload.stored_trajectory import Array, StoredTrajectory


def project(points: Array, camera_to_world: Array, intrinsics: Array) -> Array:
    """Where world points appear.

    Args:
        points: (T, J, 3), metres, world frame.
        camera_to_world: (T, 4, 4).
        intrinsics: (3, 3).

    Returns:
        (T, J, 2) pixels (u, v), origin at the frame's top-left corner; NaN for points that are not in front of the
        camera.
    """
    rotation, position = camera_to_world[:, :3, :3], camera_to_world[:, None, :3, 3]
    seen = (points - position) @ rotation  # the inverse rotation, applied to row vectors
    depth = np.where(seen[..., 2:] > 0, seen[..., 2:], np.nan)
    pixels: Array = ((seen / depth) @ intrinsics.T)[..., :2]
    return pixels


def hand_pixels(trajectory: StoredTrajectory) -> Array:
    """(2, T, 25, 2) pixels, in the clip's frames, of the left and the right hand; NaN without hands or camera."""
    camera = (trajectory.camera_to_world, trajectory.intrinsics)
    return np.stack([project(hand, *camera) for hand in trajectory.hands])


def true_aspect(width: int, height: int, intrinsics: Array) -> float:
    """Width over height that a clip of this size must be shown at, so that nothing looks squeezed.

    `stretch` makes a square of 16:9; the focal lengths still tell how much wider than high a pixel has become. Where
    they are unknown, all NaN, pixels are taken for squares.
    """
    if np.isnan(intrinsics).all():
        return width / height
    if not (intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0):
        raise ValueError("its intrinsics have no focal length")
    return float(width / intrinsics[0, 0] / (height / intrinsics[1, 1]))
