"""The skeletons of both hands in the pixels of a clip."""

from __future__ import annotations

import numpy as np

from dataset_upload.formats.finished_dataset import Array, StoredTrajectory

# The joints of each finger from the wrist to the tip, as positions in the sidecar's 25 points.
FINGERS = (
    (0, 1, 2, 3, 4),
    (0, 5, 6, 7, 8, 9),
    (0, 10, 11, 12, 13, 14),
    (0, 15, 16, 17, 18, 19),
    (0, 20, 21, 22, 23, 24),
)
FINGERTIPS = tuple(finger[-1] for finger in FINGERS)

LEFT_RGB, RIGHT_RGB = (38, 166, 255), (255, 140, 26)  # told apart by the colour-blind as well, and from skin


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
    """(2, T, 25, 2) pixels, in the clip's frames, of the left and the right hand."""
    camera = (trajectory.camera_to_world, trajectory.intrinsics)
    return np.stack([project(hand, *camera) for hand in trajectory.hands])


def true_aspect(width: int, height: int, intrinsics: Array) -> float:
    """Width over height that a clip of this size must be shown at, so that nothing looks squeezed.

    `stretch` makes a square of 16:9; the focal lengths still tell how much wider than high a pixel has become.
    """
    if not (intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0):
        raise ValueError("its intrinsics have no focal length")
    return float(width / intrinsics[0, 0] / (height / intrinsics[1, 1]))
