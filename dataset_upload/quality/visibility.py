"""Where hands are in the picture."""

from __future__ import annotations

from typing import Any

from dataset_upload.quality.derived import TIPS, WRIST, Array, Derived
from dataset_upload.quality.measure import mean, measure

_WITHIN = "pinhole camera without distortion; a joint behind the camera is not within the picture"
_EGOMAN = "EgoMAN drops a clip whose hand is not visible in its last frame"


@measure("share of joints", (0, 1), source=_WITHIN)
def hands_in_frame(episode: Derived) -> Any:
    """How many of both hands' 50 joints, over all frames, lie within the picture."""
    return episode.inside.mean()


@measure("share of joints", (0, 1), source=_WITHIN, per_hand=True)
def in_frame(episode: Derived) -> Array:
    """How many of the hand's 25 joints, over all frames, lie within the picture."""
    return mean(episode.inside, (1, 2))


@measure("share of frames", (0, 1), source=_WITHIN, per_hand=True)
def whole_in_frame(episode: Derived) -> Array:
    """Frames in which all 25 joints lie within the picture."""
    return mean(episode.inside.all(axis=-1))


@measure("share of frames", (0, 1), source=_WITHIN, per_hand=True)
def wrist_in_frame(episode: Derived) -> Array:
    """Frames in which the wrist lies within the picture."""
    return mean(episode.inside[:, :, WRIST])


@measure("share of frames", (0, 1), source=_WITHIN, per_hand=True)
def fingertip_in_frame(episode: Derived) -> Array:
    """Frames in which at least one fingertip lies within the picture."""
    return mean(episode.inside[:, :, TIPS].any(axis=-1))


@measure("share of frames", (0, 1), per_hand=True)
def behind_camera(episode: Derived) -> Array:
    """Frames in which the wrist is not in front of the camera: its depth is 0 or less."""
    return mean(episode.seen_hands[:, :, WRIST, 2] <= 0)


@measure("share of joints", (0, 1), source=_EGOMAN, per_hand=True)
def first_in_frame(episode: Derived) -> Array:
    """How many of the hand's 25 joints lie within the picture in the first frame."""
    return mean(episode.inside[:, 0])


@measure("share of joints", (0, 1), source=_EGOMAN, per_hand=True)
def last_in_frame(episode: Derived) -> Array:
    """How many of the hand's 25 joints lie within the picture in the last frame."""
    return mean(episode.inside[:, -1])
