"""How the head moves, and with it the camera."""

from __future__ import annotations

from typing import Any

import numpy as np

from dataset_upload.quality.derived import Array, Derived, turned
from dataset_upload.quality.measure import mean, measure, quantile
from dataset_upload.video.projection import pixels_of, to_camera


@measure("deg/s", source="over 8 real episodes the median frame has 3")
def head_turn_mean(episode: Derived) -> Any:
    """Mean speed at which the camera turns from frame to frame."""
    return mean(_turn(episode))


@measure("deg/s")
def head_turn_top(episode: Derived) -> Any:
    """Turning speed of the camera that 5 % of its steps pass."""
    return quantile(_turn(episode), 0.95)


@measure("m/s")
def head_speed_mean(episode: Derived) -> Any:
    """Mean speed at which the camera moves from frame to frame."""
    return mean(_speed(episode))


@measure("m/s")
def head_speed_top(episode: Derived) -> Any:
    """Speed of the camera that 5 % of its steps pass."""
    return quantile(_speed(episode), 0.95)


@measure("share of image motion", (0, 1))
def camera_share(episode: Derived) -> Any:
    """The camera's part in how the hands move in the picture: to the next frame, a point that stays where a joint is in
    the world moves by c pixels, the joint itself from there by h; the median of c / (c + h) over all joints and frames
    within the picture."""
    before, after = episode.hand_pixels[:, :-1], episode.hand_pixels[:, 1:]
    stayed = pixels_of(to_camera(episode.hands[:, :-1], episode.camera[1:]), episode.intrinsics)
    camera, hand = np.linalg.norm(stayed - before, axis=-1), np.linalg.norm(after - stayed, axis=-1)
    both = camera + hand
    counts = episode.inside[:, :-1] & episode.inside[:, 1:] & (both > 0)
    return np.median(camera[counts] / both[counts]) if counts.any() else np.nan


def _turn(episode: Derived) -> Array:
    """(S,) degrees a second."""
    rotation = episode.camera[:, :3, :3]
    return np.degrees(turned(rotation[:-1], rotation[1:])) * episode.fps


def _speed(episode: Derived) -> Array:
    """(S,) metres a second."""
    speed: Array = np.linalg.norm(np.diff(episode.camera[:, :3, 3], axis=0), axis=-1) * episode.fps
    return speed
