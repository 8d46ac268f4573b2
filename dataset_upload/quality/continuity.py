"""Where the tracker slips: jumps, poses that are held, a first row that is its second."""

from __future__ import annotations

from typing import Any

import numpy as np

from dataset_upload.quality.derived import Derived, Flags
from dataset_upload.quality.measure import measure

HELD_ROWS = 8  # equal rows, and more: at 30 frames a second a quarter of a second

_REACT = "thresholds of the React pipeline: over 5 m/s or 15 rad/s is a teleport, 0.25 s without change a hold"


@measure("steps", kind="int", source=_REACT)
def jumps(episode: Derived) -> Any:
    """Jumps of both hands: steps at which a wrist or fingertip moves over 5 m/s or a wrist turns over 15 rad/s."""
    return sum(len(frames) for frames in episode.jump_frames)


@measure("steps", kind="int", source=_REACT, per_hand=True)
def hand_jumps(episode: Derived) -> list[int]:
    """Jumps of this hand; repeated rows are passed over, and the time that they take is counted to the next step."""
    return [len(frames) for frames in episode.jump_frames]


@measure("frame", kind="int", source=_REACT)
def first_jump(episode: Derived) -> Any:
    """The frame at which the first jump of either hand arrives; unknown where there is none."""
    return min((int(frames[0]) for frames in episode.jump_frames if len(frames)), default=None)


@measure("runs", kind="int", source=_REACT, per_hand=True)
def holds(episode: Derived) -> list[int]:
    """How often all 25 joints stay the same, to the last bit, for 8 rows or more."""
    return [sum(length >= HELD_ROWS for length in _run_lengths(hand)) for hand in episode.repeats]


@measure("share of frames", (0, 1), source=_REACT, per_hand=True)
def held(episode: Derived) -> list[float]:
    """Frames in runs of 8 or more equal rows."""
    return [
        sum(length for length in _run_lengths(hand) if length >= HELD_ROWS) / episode.num_frames
        for hand in episode.repeats
    ]


@measure("", (0, 1), kind="bool", source="so in 12 of 13 real episodes looked at, while their pictures differ")
def row0_repeated(episode: Derived) -> Any:
    """Whether the first row equals the second for every joint of both hands."""
    return bool(episode.repeats[:, 0].all()) if episode.num_frames > 1 else None


def _run_lengths(repeats: Flags) -> list[int]:
    """(S,) -> the numbers of rows in runs of equal rows."""
    starts = np.flatnonzero(np.append(True, ~repeats))
    lengths: list[int] = np.diff(np.append(starts, len(repeats) + 1)).tolist()
    return lengths
