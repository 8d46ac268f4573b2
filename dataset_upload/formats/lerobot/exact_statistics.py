"""Exact statistics of every column of the table of frames, in three passes over its files and flat memory.

Quantiles are NumPy's (`linear`), of all rows together, not a mean of those of episodes. A float32 becomes an integer
that sorts as it does; each pass fixes the next bits of every value that is looked for, by a histogram of these bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_upload.formats.lerobot.episode_stats import QUANTILES, Stats

_BITS = (11, 11, 10)  # that each pass fixes, from the highest on

Batch = dict[str, NDArray[Any]]  # by feature: (n, D) float32 or int64 numbers of some rows


def exact_statistics(batches: Callable[[], Iterable[Batch]]) -> dict[str, Stats]:
    """The statistics of each feature.

    Args:
        batches: gives all rows, in the same order at each call.
    """
    columns: dict[str, _Columns] = {}
    for number, _ in enumerate(_BITS):
        for name, values in _features(batches()):
            columns.setdefault(name, _Columns(values.shape[1], values.dtype)).add(values, number)
        for each in columns.values():
            each.end_pass(number)
    return {name: each.summary() for name, each in columns.items()}


def _features(batches: Iterable[Batch]) -> Iterator[tuple[str, NDArray[Any]]]:
    for batch in batches:
        yield from batch.items()


class _Columns:
    """The D columns of a feature."""

    def __init__(self, num_columns: int, dtype: Any) -> None:
        self._is_float = np.issubdtype(dtype, np.floating)
        self._count = 0
        self._sum = np.zeros(num_columns)
        self._squares = np.zeros(num_columns)  # of distances from the mean, which the first pass finds
        self._low, self._high = np.full(num_columns, np.inf), np.full(num_columns, -np.inf)
        # Of each value that is looked for, in each column: its first bits, and its rank among those that begin so.
        self._prefixes = np.zeros((1, num_columns), np.uint32)
        self._ranks = np.zeros((1, num_columns), np.int64)
        self._histograms = self._empty(0)

    def _empty(self, number: int) -> NDArray[np.uint32]:
        return np.zeros((*self._prefixes.shape, 1 << _BITS[number]), np.uint32)

    def add(self, values: NDArray[Any], number: int) -> None:
        """Take in (n, D) values in a pass."""
        keys = self._keys(values)
        if number == 0:
            self._count += len(values)
            self._sum += values.sum(axis=0, dtype=np.float64)
            self._low = np.minimum(self._low, values.min(axis=0))
            self._high = np.maximum(self._high, values.max(axis=0))
        elif number == 1:
            self._squares += ((values - self._sum / self._count) ** 2).sum(axis=0)
        below = sum(_BITS[number + 1 :])
        size = 1 << _BITS[number]
        bits = (keys >> np.uint32(below)) & np.uint32(size - 1)
        places = bits.astype(np.int64) + size * np.arange(values.shape[1])
        first = (keys >> np.uint32(below)) >> np.uint32(_BITS[number])
        for histogram, prefix in zip(self._histograms, self._prefixes, strict=True):
            chosen = places[first == prefix] if number else places.ravel()
            histogram += np.bincount(chosen, minlength=histogram.size).reshape(histogram.shape).astype(np.uint32)

    def end_pass(self, number: int) -> None:
        """Fix the next bits of what is looked for."""
        if number == 0:
            wanted = _ranks(self._count)
            self._prefixes = np.repeat(self._prefixes, len(wanted), axis=0)
            self._histograms = np.broadcast_to(self._histograms, (len(wanted), *self._histograms.shape[1:]))
            self._ranks = np.repeat(np.array(wanted)[:, None], self._prefixes.shape[1], axis=1)
        for histogram, ranks, prefix in zip(self._histograms, self._ranks, self._prefixes, strict=True):
            cumulative = histogram.cumsum(axis=1, dtype=np.int64)
            bits = (cumulative <= ranks[:, None]).sum(axis=1)
            reached = np.take_along_axis(cumulative, np.maximum(bits - 1, 0)[:, None], 1)[:, 0]
            ranks -= np.where(bits > 0, reached, 0)
            prefix[:] = (prefix << np.uint32(_BITS[number])) | bits.astype(np.uint32)
        if number + 1 < len(_BITS):
            self._histograms = self._empty(number + 1)

    def summary(self) -> Stats:
        ordered = dict(zip(_ranks(self._count), self._values(self._prefixes), strict=True))
        exact = {
            "min": self._low,
            "max": self._high,
            **{name: _interpolated(ordered, share * (self._count - 1)) for name, share in QUANTILES.items()},
        }
        sums = {"mean": self._sum / self._count, "std": np.sqrt(self._squares / self._count)}
        return {
            **{name: [float(value) for value in values] for name, values in exact.items()},
            **{name: [_short(value) for value in values] for name, values in sums.items()},
        } | {"count": [self._count]}

    def _keys(self, values: NDArray[Any]) -> NDArray[np.uint32]:
        """Integers that sort as the values do: of counts these themselves, which stay below 2**32."""
        if not self._is_float:
            return values.astype(np.uint32)
        bits = (values.astype(np.float32) + np.float32(0)).view(np.uint32)  # -0 becomes 0
        return np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))

    def _values(self, keys: NDArray[np.uint32]) -> NDArray[np.float64]:
        if not self._is_float:
            return keys.astype(np.float64)
        bits = np.where(keys >> np.uint32(31), keys & np.uint32((1 << 31) - 1), ~keys).astype(np.uint32)
        return bits.view(np.float32).astype(np.float64)


def _ranks(count: int) -> list[int]:
    """The places, in ascending order of values, that quantiles lie at or between."""
    places = [share * (count - 1) for share in QUANTILES.values()]
    return sorted({min(int(place) + step, count - 1) for place in places for step in (0, 1)})


def _interpolated(ordered: dict[int, NDArray[np.float64]], place: float) -> NDArray[np.float64]:
    low = int(place)
    high = min(low + 1, max(ordered))
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _short(value: float) -> float:
    """Nine digits tell every float32 from others; what follows depends on the order in which a processor adds."""
    return float(f"{value:.9g}")
