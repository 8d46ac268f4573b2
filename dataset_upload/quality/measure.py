"""What a measure is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dataset_upload.actions.arkit import SIDES
from dataset_upload.quality.derived import Array, Derived

Value = float | int | bool | str | None  # None: it cannot be told
Kind = Literal["float", "int", "bool", "text"]


@dataclass(frozen=True)
class Measure:
    """One number, or one of each hand, of an episode.

    Attributes:
        name: of the measure; each hand's column is `left_NAME` and `right_NAME`.
        unit: of its values; "" where they have none.
        kind: of its values.
        range: lowest and highest possible value; or all values, of texts.
        definition: what is measured, one sentence.
        source: where threshold or definition come from; "" where there is nothing to be chosen.
        function: measures it: a value, or two where `per_hand`; NaN or None where it cannot be told.
        per_hand: whether each hand has its own.
    """

    name: str
    unit: str
    kind: Kind
    range: tuple[float, float] | tuple[str, ...]
    definition: str
    source: str
    function: Callable[[Derived], Any]
    per_hand: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its values."""
        return tuple(f"{side}_{self.name}" for side in SIDES) if self.per_hand else (self.name,)

    def values(self, episode: Derived) -> list[Value]:
        """Its values, in the order of `columns`."""
        measured = self.function(episode)
        return [_plain(value, self.kind) for value in (measured if self.per_hand else (measured,))]


def measure(
    unit: str,
    range: tuple[float, float] | tuple[str, ...] = (0, math.inf),
    *,
    kind: Kind = "float",
    source: str = "",
    per_hand: bool = False,
) -> Callable[[Callable[[Derived], Any]], Measure]:
    """Make a function a measure of its name, defined by its docstring; `Measure` explains the arguments."""

    def make(function: Callable[[Derived], Any]) -> Measure:
        definition = " ".join((function.__doc__ or "").split())
        return Measure(function.__name__, unit, kind, range, definition, source, function, per_hand)

    return make


def mean(values: Any, axis: int | tuple[int, ...] = -1) -> Array:
    """Mean over some axes, of flags the share that is set; NaN where there is nothing."""
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan)
    result: Array = values.mean(axis=axis)
    return result


def quantile(values: Array, at: float) -> Array:
    """(…, N) -> (…): the value that a share `at` stays under; NaN where there is nothing."""
    result: Array = np.quantile(values, at, axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
    return result


def _plain(value: Any, kind: Kind) -> Value:
    """As a plain Python value, floats with the 24 bits that tables keep; None where it cannot be told."""
    if value is None or (kind == "float" and not np.isfinite(np.float32(value))):
        return None
    if kind == "float":
        return float(np.float32(value))
    return int(value) if kind == "int" else bool(value) if kind == "bool" else str(value)
