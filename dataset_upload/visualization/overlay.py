"""Hand skeletons drawn on a clip's frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dataset_upload.stored_trajectory import Array, StoredTrajectory
from dataset_upload.video.encoding import write_rgb_mp4
from dataset_upload.video.projection import hand_pixels, true_aspect
from dataset_upload.visualization.skeleton import FINGERS, FINGERTIPS, LEFT_RGB, RIGHT_RGB

VIDEO_HEIGHT = 360
_CRF = 20
_SMOOTH = 2  # Pillow's lines are jagged: everything is drawn twice as large, then reduced
_CASING_RGB, _TIP_RING_RGB = (16, 18, 24), (255, 255, 255)


def overlays(trajectory: StoredTrajectory, height: int, *, only: set[int] | None = None) -> Iterator[Image.Image]:
    """A clip's frames at their true aspect, with both hands' skeletons.

    Args:
        trajectory: whose clip to decode.
        height: of the pictures in pixels; even. Their width is even, too.
        only: numbers of the frames to draw; None: all.
    """
    pixels = hand_pixels(trajectory)
    last = max(only) if only else None
    for number, frame in enumerate(trajectory.frames()):
        if only is None or number in only:
            yield draw_hands(frame, pixels[:, number], trajectory.intrinsics, height)
        if number == last:
            return


def draw_hands(frame: NDArray[np.uint8], hands: Array, intrinsics: Array, height: int) -> Image.Image:
    """One frame (H, W, 3), at its true aspect and this height, with hands (2, 25, 2), pixels of the frame, on it."""
    frame_height, frame_width = frame.shape[:2]
    width = 2 * round(height * true_aspect(frame_width, frame_height, intrinsics) / 2)
    large = (width * _SMOOTH, height * _SMOOTH)
    picture = Image.fromarray(frame).resize(large, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for points, rgb in zip(hands * np.divide(large, (frame_width, frame_height)), (LEFT_RGB, RIGHT_RGB), strict=True):
        _draw_hand(draw, points, rgb, line_width=large[1] / 170)
    return picture.reduce(_SMOOTH)


def write_overlay(trajectory: StoredTrajectory, path: Path) -> None:
    """An MP4 of the clip with both skeletons, that browsers play, at the speed at which it really happened."""
    frames = (np.asarray(picture) for picture in overlays(trajectory, VIDEO_HEIGHT))
    write_rgb_mp4(frames, path, fps=_real_rate(trajectory.times), crf=_CRF)


def _draw_hand(draw: ImageDraw.ImageDraw, points: Array, rgb: tuple[int, int, int], line_width: float) -> None:
    """Bones over a dark casing, dots at the joints, ringed ones at the fingertips; points (25, 2), NaN left out."""
    bones = [[tuple(points[joint]) for joint in finger if np.isfinite(points[joint]).all()] for finger in FINGERS]
    for width, colour in ((2.2 * line_width, _CASING_RGB), (line_width, rgb)):
        for bone in filter(None, bones):
            draw.line(bone, fill=colour, width=max(round(width), 1), joint="curve")
    for joint, (x, y) in enumerate(points):
        if np.isfinite((x, y)).all():
            is_tip = joint in FINGERTIPS
            radius, ring = line_width * (1.7 if is_tip else 1.1), round(line_width / 2) if is_tip else 0
            box = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(box, fill=rgb, outline=_TIP_RING_RGB, width=ring)


def _real_rate(times: Array) -> int:
    """Frames a second, 1 to 60, at which a clip takes as long as what it shows."""
    if len(times) < 2 or times[-1] <= 0:
        return 30
    return int(np.clip(round((len(times) - 1) / times[-1]), 1, 60))
