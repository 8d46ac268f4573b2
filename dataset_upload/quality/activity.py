"""What the hands do: how far and fast they move, which one works, when nothing happens."""

from __future__ import annotations

from typing import Any

import numpy as np

from dataset_upload.quality.derived import STILL_SPEED, WINDOW_S, Array, Derived
from dataset_upload.quality.measure import mean, measure, quantile

MOST_OF_IT = 2 / 3  # of both hands' motion: then one works and the other helps or rests

# VITRA trims motion under 1 mm a frame, which is as much.
_STILL = f"still: wrist and fingertips move, on average, less than {100 * STILL_SPEED:g} cm/s over {WINDOW_S:g} s"


@measure("s")
def duration_s(episode: Derived) -> Any:
    """Frames divided by the frame rate."""
    return episode.num_frames / episode.fps


@measure("frames", (1, np.inf), kind="int")
def frames(episode: Derived) -> Any:
    """Rows of the poses."""
    return episode.num_frames


@measure("m", per_hand=True)
def path_m(episode: Derived) -> Any:
    """How far the wrist travels: the sum of all its steps."""
    return episode.wrist_steps.sum(axis=-1)


@measure("m/s", per_hand=True)
def speed_mean(episode: Derived) -> Array:
    """Mean speed of the wrist from frame to frame."""
    return mean(episode.wrist_steps * episode.fps)


@measure("m/s", per_hand=True)
def speed_top(episode: Derived) -> Array:
    """Speed of the wrist that 1 % of its steps pass: the fastest one may be a slip of the tracker."""
    return quantile(episode.wrist_steps * episode.fps, 0.99)


@measure("share of frames", (0, 1), source=_STILL, per_hand=True)
def still(episode: Derived) -> Array:
    """Frames in which the hand is still."""
    return mean(~episode.moving)


@measure("share of frames", (0, 1), source=_STILL)
def both_still(episode: Derived) -> Any:
    """Frames in which both hands are still."""
    return (~episode.moving).all(axis=0).mean()


@measure("share of motion", (0, 1), source=_STILL)
def left_share_of_motion(episode: Derived) -> Any:
    """How much of both hands' motion is the left one's: the sums of pace over frames in which a hand is not still."""
    left, right = np.where(episode.moving, episode.pace, 0).sum(axis=1)
    return left / (left + right) if left + right else np.nan


@measure("", ("left", "right", "both", "none"), kind="text", source=_STILL)
def working_hand(episode: Derived) -> Any:
    """The hand that does over two thirds of the motion; else both; none where both are still throughout."""
    left = left_share_of_motion.function(episode)
    if np.isnan(left):
        return "none"
    return "left" if left > MOST_OF_IT else "right" if 1 - left > MOST_OF_IT else "both"


@measure("share of frames", (0, 1), source=_STILL)
def hands_overlap(episode: Derived) -> Any:
    """Frames in which both hands move, of those in which at least one does; unknown where none ever does."""
    either = episode.moving.any(axis=0).sum()
    return episode.moving.all(axis=0).sum() / either if either else np.nan


@measure("s", source=_STILL)
def idle_head_s(episode: Derived) -> Any:
    """How long both hands are still at the beginning: what could be trimmed; all of it where nothing ever moves."""
    return _leading_still(episode.moving) / episode.fps


@measure("s", source=_STILL)
def idle_tail_s(episode: Derived) -> Any:
    """Likewise at the end; 0 where nothing ever moves."""
    return _leading_still(episode.moving[:, ::-1]) / episode.fps if episode.moving.any() else 0.0


def _leading_still(moving: Any) -> int:
    """(2, T) -> the number of frames before the first in which either moves."""
    either = moving.any(axis=0)
    return int(either.argmax()) if either.any() else len(either)
