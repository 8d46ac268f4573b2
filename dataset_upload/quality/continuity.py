"""Where the tracker slips: jumps, poses that are held, a first row that is its second."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_upload.quality.derived import ENDS, Derived, Flags, turned
from dataset_upload.quality.measure import measure

JUMP_SPEED = 5.0  # metres a second, of a wrist or a fingertip
JUMP_TURN = 15.0  # radians a second, of a wrist; fingertips pass it when fingers are bent
HELD_ROWS = 8  # equal rows, and more: at 30 frames a second a quarter of a second

_REACT = "thresholds of the React pipeline: over 5 m/s or 15 rad/s is a teleport, 0.25 s without change a hold"


@measure("steps", kind="int", source=_REACT)
def jumps(episode: Derived) -> Any:
    """Jumps of both hands: steps at which a wrist or fingertip moves over 5 m/s or a wrist turns over 15 rad/s."""
    return sum(len(frames) for frames in _jump_frames(episode))


@measure("steps", kind="int", source=_REACT, per_hand=True)
def hand_jumps(episode: Derived) -> list[int]:
    """Jumps of this hand; repeated rows are passed over, and the time that they take is counted to the next step."""
    return [len(frames) for frames in _jump_frames(episode)]


@measure("frame", kind="int", source=_REACT)
def first_jump(episode: Derived) -> Any:
    """The frame at which the first jump of either hand arrives; unknown where there is none."""
    return min((int(frames[0]) for frames in _jump_frames(episode) if len(frames)), default=None)


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


@lru_cache(maxsize=1)  # for all measures of an episode
def _jump_frames(episode: Derived) -> list[NDArray[np.intp]]:
    """The frames at which jumps arrive, for each hand."""
    return [_jumps_of(*hand, episode.fps) for hand in zip(episode.hands, episode.wrists, episode.repeats, strict=True)]


def _jumps_of(hand: Any, wrist: Any, repeats: Flags, fps: float) -> NDArray[np.intp]:
    # A run of equal rows stands for its first, from which time runs on; at the very start for its last, as nothing is
    # known of before.
    rows = np.flatnonzero(np.append(True, ~repeats))
    rows[0] = rows[1] - 1 if len(rows) > 1 else 0
    seconds = np.diff(rows) / fps
    ends = hand[rows][:, ENDS]
    moved = np.linalg.norm(np.diff(ends, axis=0), axis=-1).max(axis=1, initial=0.0)
    angle = turned(wrist[rows[:-1]], wrist[rows[1:]])
    jumps: NDArray[np.intp] = rows[1:][(moved > JUMP_SPEED * seconds) | (angle > JUMP_TURN * seconds)]
    return jumps


def _run_lengths(repeats: Flags) -> list[int]:
    """(S,) -> the numbers of rows in runs of equal rows."""
    starts = np.flatnonzero(np.append(True, ~repeats))
    lengths: list[int] = np.diff(np.append(starts, len(repeats) + 1)).tolist()
    return lengths
