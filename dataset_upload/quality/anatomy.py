"""Whether a tracked hand can be one: bones that keep their length, a sensible size, the right handedness."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from dataset_upload.actions.arkit import HAND_JOINTS
from dataset_upload.quality.derived import WRIST, Array, Derived
from dataset_upload.quality.measure import mean, measure

# The joint that each one but the wrist hangs on: the one before, at a finger's root the wrist.
_CHILDREN = [number for number in range(len(HAND_JOINTS)) if number != WRIST]
_PARENTS = [
    WRIST if joint.endswith("Metacarpal") or joint == "ThumbKnuckle" else number - 1
    for number, joint in enumerate(HAND_JOINTS)
    if number != WRIST
]
_MIDDLE = [position for position, number in enumerate(_CHILDREN) if HAND_JOINTS[number].startswith("MiddleFinger")]
_KNUCKLES = [HAND_JOINTS.index(f"{finger}FingerKnuckle") for finger in ("Index", "Middle", "Ring", "Little")]
_FORWARD = np.array([[1], [-1]])  # where fingers point along the wrist's X, left and right: its axes are mirrored


@measure("mm", source="under 0.001 in six real episodes: ARKit's hands are rigid", per_hand=True)
def bone_change_mm(episode: Derived) -> Any:
    """How much bones change: standard deviation of the length from a joint to the next, of that which changes most."""
    return 1000 * _bones(episode).std(axis=1).max(axis=-1)


@measure("m", source="adults' hands measure 0.16 to 0.21", per_hand=True)
def hand_length_m(episode: Derived) -> Any:
    """From the wrist to the tip of the middle finger, along the bones; the median over frames."""
    return np.median(_bones(episode)[:, :, _MIDDLE].sum(axis=-1), axis=1)


@measure("share of frames", (0, 1), source="so in every frame of six real episodes", per_hand=True)
def handedness(episode: Derived) -> Array:
    """Frames in which the wrist's axes are this hand's: on the left its fingers point along +X, and from the little to
    the index finger it is along -Z, on the right the other way round; low where hands are swapped or mirrored."""
    knuckles = episode.hands[:, :, _KNUCKLES] - episode.hands[:, :, [WRIST]]
    along = np.einsum("htji,htj->hti", episode.wrists, knuckles.mean(axis=2))[..., 0]
    across = np.einsum("htji,htj->hti", episode.wrists, knuckles[:, :, 0] - knuckles[:, :, -1])[..., 2]
    proper = np.linalg.det(episode.wrists) > 0
    return mean((along * _FORWARD > 0) & (across * _FORWARD < 0) & proper)


@lru_cache(maxsize=1)  # for all measures of an episode
def _bones(episode: Derived) -> Array:
    """(2, T, 24) metres."""
    bones: Array = np.linalg.norm(episode.hands[:, :, _CHILDREN] - episode.hands[:, :, _PARENTS], axis=-1)
    return bones
