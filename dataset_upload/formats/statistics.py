"""Statistics of the action columns, in one pass over any number of rows, in any number of parts."""

from __future__ import annotations

import base64
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Metres. Quantiles come from histograms of 1 mm bins: exact to the millimetre, the same in any order of rows, and a
# fixed 300 KiB a column. What lies outside counts into the outermost bins.
_BIN = 0.001
_LOWEST, _HIGHEST = -20.0, 20.0
_NUM_BINS = round((_HIGHEST - _LOWEST) / _BIN)
_QUANTILES = (0.01, 0.5, 0.99)

_MOST_COLUMNS = 1000  # that a text is believed to tell of


class ActionStatistics:
    """Mean, standard deviation and quantiles of (T, D) actions, one value a column, metres."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: NDArray[np.float64] | None = None  # (2, D) of values and of their squares
        self._histograms: NDArray[np.int64] | None = None  # (D, bins)

    def add(self, actions: NDArray[np.float32]) -> None:
        """Take in (T, D) actions: of one trajectory, or of several, one after the other."""
        values = actions.astype(np.float64)
        num_columns = values.shape[1]
        if self._sums is None:
            self._sums = np.zeros((2, num_columns))
            self._histograms = np.zeros((num_columns, _NUM_BINS), np.int64)
        assert self._histograms is not None
        self._count += len(values)
        self._sums += [values.sum(axis=0), (values**2).sum(axis=0)]
        bins = np.clip((values - _LOWEST) / _BIN, 0, _NUM_BINS - 1).astype(np.int64)
        np.add.at(self._histograms, (np.arange(num_columns), bins), 1)

    def merge(self, part: ActionStatistics) -> None:
        """Take in what another has taken in. The same parts in the same order give the same statistics.

        Raises:
            ValueError: that is of another number of columns.
        """
        if part._sums is None or part._histograms is None:
            return
        if self._sums is None or self._histograms is None:
            self._sums, self._histograms = np.zeros_like(part._sums), np.zeros_like(part._histograms)
        self._sums = self._sums + part._sums
        self._histograms += part._histograms
        self._count += part._count

    def to_json(self) -> dict[str, Any]:
        """Everything, in some 4 kB a column."""
        if self._sums is None or self._histograms is None:
            return {}
        histograms = pa.compress(self._histograms.astype("<i4").tobytes(), codec="zstd", asbytes=True)
        return {
            "count": self._count,
            "sums": self._sums.tolist(),
            "histograms": base64.b64encode(histograms).decode(),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """What `to_json` gave. Raises ValueError, TypeError, LookupError or OSError where it is anything else."""
        statistics = cls()
        if not stored:
            return statistics
        statistics._count = int(stored["count"])
        sums = np.array(stored["sums"], np.float64)
        if sums.ndim != 2 or len(sums) != 2 or sums.shape[1] > _MOST_COLUMNS:
            raise ValueError("sums of another shape")
        num_bytes = sums.shape[1] * _NUM_BINS * 4
        histograms = pa.decompress(
            base64.b64decode(stored["histograms"]), decompressed_size=num_bytes, codec="zstd", asbytes=True
        )
        statistics._sums = sums
        statistics._histograms = np.frombuffer(histograms, "<i4").reshape(-1, _NUM_BINS).astype(np.int64)
        return statistics

    def summary(self) -> dict[str, Any]:
        """`mean`, `std`, `q01`, `q50`, `q99`: a list of D metres each; empty without rows.

        Quantiles rather than extremes, because hand trackers jump. A quantile q is the inverse of the empirical
        distribution (NumPy's method "inverted_cdf"): the smallest value that at least a share q of all values does not
        exceed, as the middle of its bin of 1 mm.
        """
        if self._sums is None or self._histograms is None:
            return {}
        mean, mean_of_squares = self._sums / self._count
        summary = {"mean": mean, "std": np.sqrt(np.maximum(mean_of_squares - mean**2, 0.0))}
        wanted = np.array(_QUANTILES) * self._count
        bins = np.array([np.searchsorted(histogram.cumsum(), wanted) for histogram in self._histograms])  # (D, 3)
        for quantile, column in zip(_QUANTILES, bins.T, strict=True):
            summary[f"q{round(quantile * 100):02d}"] = _LOWEST + (column + 0.5) * _BIN
        return {name: [round(float(value), 4) for value in values] for name, values in summary.items()}
