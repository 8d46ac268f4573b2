"""How sure the tracker is of the hands; its values for the rest of the body hardly change and tell nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from dataset_upload.quality.derived import WRIST, Array, Derived
from dataset_upload.quality.measure import mean, measure

LOW, MIDDLING = 0.1, 0.5

_RELATIVE = "ARKit: a finger's value is relative to its wrist's; its lowest is 0.0032"


@measure("", (0, 1), source=_RELATIVE)
def confidence_mean(episode: Derived) -> Any:
    """Mean confidence over both hands' 50 joints and all frames, of what is known."""
    return _known_mean(episode.confidences.reshape(1, -1))[0]


@measure("", (0, 1), source=_RELATIVE, per_hand=True)
def finger_confidence_mean(episode: Derived) -> Array:
    """Mean confidence over the hand's 24 joints beside the wrist and all frames, of what is known."""
    return _known_mean(_fingers(episode))


@measure("share of values", (0, 1), per_hand=True)
def finger_confidence_under_0_1(episode: Derived) -> Array:
    """How many of the known confidences of the hand's 24 joints beside the wrist are under 0.1."""
    return _known_under(_fingers(episode), LOW)


@measure("share of values", (0, 1), per_hand=True)
def finger_confidence_under_0_5(episode: Derived) -> Array:
    """How many of the known confidences of the hand's 24 joints beside the wrist are under 0.5."""
    return _known_under(_fingers(episode), MIDDLING)


@measure("", (0, 1), source=_RELATIVE, per_hand=True)
def wrist_confidence_mean(episode: Derived) -> Array:
    """Mean confidence of the wrist over all frames, of what is known."""
    return _known_mean(episode.confidences[:, :, WRIST])


@measure("share of frames", (0, 1), per_hand=True)
def wrist_confidence_under_0_1(episode: Derived) -> Array:
    """How many of the known confidences of the wrist are under 0.1."""
    return _known_under(episode.confidences[:, :, WRIST], LOW)


@measure("share of frames", (0, 1), per_hand=True)
def wrist_confidence_under_0_5(episode: Derived) -> Array:
    """How many of the known confidences of the wrist are under 0.5."""
    return _known_under(episode.confidences[:, :, WRIST], MIDDLING)


@measure(
    "share of values",
    (0, 1),
    source="454 of the 3,243 episodes of EgoDex's test part have no confidences",
    per_hand=True,
)
def confidence_unknown(episode: Derived) -> Array:
    """How many confidences of the hand's 25 joints are not in the file."""
    return mean(np.isnan(episode.confidences), (1, 2))


def _fingers(episode: Derived) -> Array:
    """(2, T * 24)."""
    return np.delete(episode.confidences, WRIST, axis=2).reshape(2, -1)


def _known_mean(values: Array) -> Array:
    """(…, N) -> (…): mean of what is not NaN."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))


def _known_under(values: Array, limit: float) -> Array:
    return _ratio((values < limit).sum(axis=-1), (~np.isnan(values)).sum(axis=-1))


def _ratio(part: Array, whole: Array) -> Array:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
