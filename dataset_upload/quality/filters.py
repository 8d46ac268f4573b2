"""Rules by which episodes are left out, and how many each removes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from dataset_upload.errors import UsageError

if TYPE_CHECKING:
    from dataset_upload.quality.measure import Measure, Value

Measured = Mapping[str, "Value"]

# Why just these thresholds: docs/quality.md.
PRESETS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "none": (),
    "light": (
        {"measure": "duration_s", "min": 1},
        {"measure": "hands_in_frame", "min": 0.5},
        {"measure": "both_still", "max": 0.9},
        {"measure": "jumps", "max": 5},
    ),
    "strict": (
        {"measure": "duration_s", "min": 2},
        {"measure": "hands_in_frame", "min": 0.75},
        {"measure": "both_still", "max": 0.5},
        {"measure": "jumps", "max": 0},
        {"measure": "left_held", "max": 0},
        {"measure": "right_held", "max": 0},
        {"measure": "text_certain", "is": True},
    ),
}
_BOUNDS = ("min", "max", "is")


@dataclass(frozen=True)
class Rule:
    """What one measure of an episode must be for it to stay.

    Attributes:
        measure: its name, as a catalogue's column has it.
        min, max: lowest and highest value that stays, in the measure's unit.
        equals: the only value that stays, `is` in a configuration.
    """

    measure: str
    min: float | None = None
    max: float | None = None
    equals: Value = None

    def keeps(self, value: Value) -> bool:
        """Whether an episode of this value stays. What cannot be told is neither too small nor too large."""
        if self.equals is not None:
            return value == self.equals
        if not isinstance(value, int | float):
            return True
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        """`jumps max 5`."""
        bounds = zip(_BOUNDS, (self.min, self.max, self.equals), strict=True)
        return " ".join([self.measure, *(f"{name} {_text(value)}" for name, value in bounds if value is not None)])


@dataclass(frozen=True)
class Yield:
    """What became of measured episodes by one rule.

    Attributes:
        rule: as it is written.
        tried: episodes that the rules before it kept.
        removed: those of them that it removed.
        kept: the others.
        removed_alone: how many of all it would remove if it were the only rule.
    """

    rule: str
    tried: int
    removed: int
    kept: int
    removed_alone: int


def make_rules(filters: Any) -> tuple[Rule, ...]:
    """Rules from what a configuration says: the name of a preset, or a list of such names and of mappings.

    Raises UsageError: what is wrong with which rule.
    """
    rules: list[Rule] = []
    for each in filters if isinstance(filters, list) else [filters]:
        if isinstance(each, str) and each in PRESETS:
            rules += map(_make_rule, PRESETS[each])
        elif isinstance(each, dict):
            rules.append(_make_rule(each))
        else:
            raise _refusal(
                f"{each!r} is neither {', '.join(PRESETS)} nor a rule; write rules as "
                "[{measure: hands_in_frame, min: 0.5}]"
            )
    return tuple(rules)


def names(rules: Iterable[Rule]) -> frozenset[str]:
    """The measures that rules ask for."""
    return frozenset(rule.measure for rule in rules)


def first_broken(rules: Iterable[Rule], measured: Measured) -> Rule | None:
    """The first rule by which an episode is left out; None: it stays."""
    return next((rule for rule in rules if not rule.keeps(measured[rule.measure])), None)


def yields(rules: Sequence[Rule], episodes: Iterable[Measured]) -> list[Yield]:
    """What each rule removes of these episodes, in order and alone; those not measured for all rules do not count."""
    if not rules:
        return []
    remaining = tried = [each for each in episodes if names(rules) <= each.keys()]
    result = []
    for rule in rules:
        kept = [each for each in remaining if rule.keeps(each[rule.measure])]
        alone = sum(not rule.keeps(each[rule.measure]) for each in tried)
        result.append(Yield(str(rule), len(remaining), len(remaining) - len(kept), len(kept), alone))
        remaining = kept
    return result


@cache
def _measures() -> dict[str, Measure]:
    """Every measure, by its columns."""
    from dataset_upload.quality.table import MEASURES  # only now: most runs have no rules

    return {column: each for each in MEASURES for column in each.columns}


def _make_rule(given: Mapping[Any, Any]) -> Rule:
    name = given.get("measure")
    if not isinstance(name, str):
        raise _refusal(f"{dict(given)} names no measure; write {{measure: hands_in_frame, min: 0.5}}")
    measures = _measures()
    if name not in measures:
        close = get_close_matches(name, measures, 1)
        meant = f"did you mean {close[0]}?" if close else "docs/quality.md lists them"
        raise _refusal(f"there is no measure {name}; {meant}")
    bounds = {key: value for key, value in given.items() if key != "measure"}
    if unknown := [key for key in bounds if key not in _BOUNDS]:
        raise _refusal(f"{name}: {unknown[0]} is none of {', '.join(_BOUNDS)}")
    if not bounds:
        raise _refusal(f"{name}: needs min, max or is")
    if "is" in bounds and len(bounds) > 1:
        raise _refusal(f"{name}: give either is, or min and max")
    for key, value in bounds.items():
        _check_bound(name, measures[name], key, value)
    if "min" in bounds and "max" in bounds and bounds["min"] > bounds["max"]:
        raise _refusal(f"{name}: min {_text(bounds['min'])} is over max {_text(bounds['max'])}: nothing would stay")
    return Rule(name, bounds.get("min"), bounds.get("max"), bounds.get("is"))


def _check_bound(name: str, measure: Measure, key: str, value: Any) -> None:
    """Raises UsageError where a measure has no such values."""
    if measure.kind in ("bool", "text"):
        possible: tuple[Any, ...] = (True, False) if measure.kind == "bool" else measure.range
        if key != "is":
            raise _refusal(f"{name}: is not a number; give is: {' or '.join(map(_text, possible))}")
        if type(value) is not type(possible[0]) or value not in possible:
            raise _refusal(f"{name}: {_text(value)} is none of {', '.join(map(_text, possible))}")
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refusal(f"{name}: {key} {_text(value)} is not a number")
    low, high = measure.range
    assert not isinstance(low, str) and not isinstance(high, str)  # only texts have these
    if not low <= value <= high:
        until = "" if high == math.inf else f" to {high}"
        raise _refusal(f"{name}: {key} {_text(value)} is outside its values, from {low}{until}")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _refusal(message: str) -> UsageError:
    return UsageError(message, "filters")
