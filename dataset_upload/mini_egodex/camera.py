"""The pinhole camera that films a mini EgoDex, written from the dataset's definition alone.

World: metres, y up. Camera: OpenCV's axes (+x right, +y down, +z forward); `camera_to_world` takes camera
coordinates to the world. Pixels: (0, 0) is the picture's top left corner, (width, height) the opposite one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def intrinsics(size: tuple[int, int]) -> Array:
    """EgoDex's (3, 3) camera matrix in pixels, scaled from 1920x1080 to `size` (width, height)."""
    width, height = size
    focal, scale_x, scale_y = 736.6339, width / 1920, height / 1080
    return np.array([[focal * scale_x, 0, 960 * scale_x], [0, focal * scale_y, 540 * scale_y], [0, 0, 1]])


def to_camera(points_world: npt.ArrayLike, camera_to_world: npt.ArrayLike) -> Array:
    """World points (..., N, 3) in the coordinates (..., N, 3) of cameras (..., 4, 4), in metres."""
    points, camera = np.asarray(points_world, np.float64), np.asarray(camera_to_world, np.float64)
    to_camera = np.linalg.inv(camera)
    seen: Array = points @ np.swapaxes(to_camera[..., :3, :3], -1, -2) + to_camera[..., None, :3, 3]
    return seen


def project(points_world: npt.ArrayLike, camera_to_world: npt.ArrayLike, intrinsics: npt.ArrayLike) -> Array:
    """Pixels (..., N, 2), as (u, v), of world points (..., N, 3) in metres; NaN for points behind the camera.

    `camera_to_world` is (4, 4), or (..., 4, 4) to give each leading index of the points its own camera;
    `intrinsics` is (3, 3).
    """
    seen = to_camera(points_world, camera_to_world)
    depth = np.where(seen[..., 2:] > 0, seen[..., 2:], np.nan)
    pixels: Array = ((seen / depth) @ np.asarray(intrinsics, np.float64).T)[..., :2]
    return pixels


def look_at(position: Array, target: Array, roll: Array) -> Array:
    """Camera-to-world (T, 4, 4) at `position` (T, 3), facing `target` (T, 3), rolled by (T,) radians."""
    forward = unit(target - position)
    level = unit(np.cross(forward, [0.0, 1.0, 0.0]))
    down = np.cross(forward, level)
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    camera = np.tile(np.eye(4), (len(position), 1, 1))
    camera[:, :3, 0] = cos * level + sin * down
    camera[:, :3, 1] = cos * down - sin * level
    camera[:, :3, 2] = forward
    camera[:, :3, 3] = position
    return camera


def unit(vectors: npt.ArrayLike) -> Array:
    """`vectors` (..., 3) scaled to length one."""
    vectors = np.asarray(vectors, np.float64)
    scaled: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled
