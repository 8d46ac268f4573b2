"""The report's measures: of the frames that a clip keeps, where `table.py` has those of all frames of an episode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataset_upload.stored_trajectory import SIDES, Array, ShownTrajectory, StoredTrajectory, has_camera, has_hands
from dataset_upload.video.projection import hand_pixels, within

JUMP_SPEED = 3.0  # metres a second between kept frames: working hands seldom pass 2, a tracker that slips does
STILL_RADIUS = 0.005  # metres: a wrist that stays in so small a ball rests, or its tracking is frozen
LEAST_IN_FRAME = 0.5  # of a hand's joints, over all frames


@dataclass(frozen=True)
class Measures:
    """Of one trajectory; pairs are for the left and the right hand, NaN where it has no hands.

    Attributes:
        paths: how far each wrist travels, metres, summed over the kept frames.
        top_speeds: fastest step of each wrist, metres a second.
        radii: largest distance of each wrist from its median place, metres.
        in_frame: share of each hand's joints, over all frames, that lie within the picture; NaN without camera, too.
        confidence: mean over frames and both hands; NaN where unknown.
        remarks: what is strange, in words.
    """

    paths: tuple[float, float]
    top_speeds: tuple[float, float]
    radii: tuple[float, float]
    in_frame: tuple[float, float]
    confidence: float
    remarks: tuple[str, ...]


def speeds(trajectory: ShownTrajectory) -> Array:
    """(2, T - 1) metres a second of the left and the right wrist between successive frames."""
    steps = np.linalg.norm(np.diff(trajectory.hands[:, :, 0], axis=1), axis=-1)
    pace: Array = steps / np.diff(trajectory.times)
    return pace


def measure(trajectory: StoredTrajectory, frame_size: tuple[int, int]) -> Measures:
    """Measure a trajectory whose clip has frames of `frame_size` (width, height)."""
    wrists = trajectory.hands[:, :, 0]
    inside = within(hand_pixels(trajectory), frame_size)
    can_be_seen = has_hands(trajectory) and has_camera(trajectory)
    known = np.isfinite(trajectory.confidences).any()

    top_speeds = _pair(speeds(trajectory).max(axis=1, initial=0.0))
    radii = _pair(np.linalg.norm(wrists - np.median(wrists, axis=1, keepdims=True), axis=-1).max(axis=1))
    in_frame = _pair(inside.mean(axis=(1, 2))) if can_be_seen else (np.nan, np.nan)
    return Measures(
        paths=_pair(np.linalg.norm(np.diff(wrists, axis=1), axis=-1).sum(axis=1)),
        top_speeds=top_speeds,
        radii=radii,
        in_frame=in_frame,
        confidence=float(np.nanmean(trajectory.confidences)) if known else np.nan,
        remarks=(
            *(f"{side} hand jumps" for side, speed in zip(SIDES, top_speeds, strict=True) if speed > JUMP_SPEED),
            *(f"{side} hand still" for side, radius in zip(SIDES, radii, strict=True) if radius < STILL_RADIUS),
            *(
                f"{side} hand out of frame"
                for side, share in zip(SIDES, in_frame, strict=True)
                if share < LEAST_IN_FRAME
            ),
        ),
    )


def _pair(values: Array) -> tuple[float, float]:
    left, right = values.tolist()
    return left, right
