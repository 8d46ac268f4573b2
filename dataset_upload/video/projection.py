"""Where things appear in a clip's frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    return pixels_of(to_camera(points, camera_to_world), intrinsics)


def to_camera(points: Array, camera_to_world: Array) -> Array:
    """World points (…, T, J, 3) in the coordinates of their frames' cameras (T, 4, 4): x right, y down, z forward."""
    rotation, position = camera_to_world[:, :3, :3], camera_to_world[:, None, :3, 3]
    seen: Array = (points - position) @ rotation  # the inverse rotation, applied to row vectors
    return seen


def pixels_of(seen: Array, intrinsics: Array) -> Array:
    """Where points (…, 3) in a camera's coordinates appear: pixels (…, 2), NaN where they are not in front of it."""
    depth = np.where(seen[..., 2:] > 0, seen[..., 2:], np.nan)
    pixels: Array = ((seen / depth) @ intrinsics.T)[..., :2]
    return pixels


def within(pixels: Array, frame_size: tuple[float, float]) -> NDArray[np.bool_]:
    """Whether pixels (…, 2) lie in a picture of this (width, height); NaN, behind the camera, does not."""
    inside: NDArray[np.bool_] = np.all((pixels >= 0) & (pixels <= frame_size), axis=-1)
    return inside


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
