"""Statistics of the action columns, in one pass over any number of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Metres. Quantiles come from histograms of 1 mm bins: exact to the millimetre, the same in any order of rows, and a
# fixed 300 KiB a column. What lies outside counts into the outermost bins.
_BIN = 0.001
_LOWEST, _HIGHEST = -20.0, 20.0
_QUANTILES = (0.01, 0.5, 0.99)


class ActionStatistics:
    """Mean, standard deviation and quantiles of (T, D) actions, one value a column, metres."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: NDArray[np.float64] | None = None
        self._sum_of_squares: NDArray[np.float64] | None = None
        self._histogram: NDArray[np.int64] | None = None

    def add(self, actions: NDArray[np.float32]) -> None:
        """Take in one trajectory's (T, D) actions."""
        values = actions.astype(np.float64)
        num_columns = values.shape[1]
        if self._sum is None:
            self._sum = np.zeros(num_columns)
            self._sum_of_squares = np.zeros(num_columns)
            self._histogram = np.zeros((num_columns, round((_HIGHEST - _LOWEST) / _BIN)), np.int64)
        assert self._sum_of_squares is not None and self._histogram is not None
        self._count += len(values)
        self._sum += values.sum(axis=0)
        self._sum_of_squares += (values**2).sum(axis=0)
        bins = np.clip((values - _LOWEST) / _BIN, 0, self._histogram.shape[1] - 1).astype(np.int64)
        np.add.at(self._histogram, (np.arange(num_columns), bins), 1)

    def summary(self) -> dict[str, Any]:
        """`mean`, `std`, `q01`, `q50`, `q99`: a list of D metres each; empty without rows.

        Quantiles rather than extremes, because hand trackers jump. A quantile q is the inverse of the empirical
        distribution (NumPy's method "inverted_cdf"): the smallest value that at least a share q of all values does not
        exceed, as the middle of its bin of 1 mm.
        """
        if self._sum is None or self._sum_of_squares is None or self._histogram is None:
            return {}
        mean = self._sum / self._count
        variance = np.maximum(self._sum_of_squares / self._count - mean**2, 0.0)
        summary = {"mean": mean, "std": np.sqrt(variance)}
        cumulative = self._histogram.cumsum(axis=1)
        for quantile in _QUANTILES:
            bins = (cumulative < quantile * self._count).sum(axis=1)
            summary[f"q{round(quantile * 100):02d}"] = _LOWEST + (bins + 0.5) * _BIN
        return {name: [round(float(value), 4) for value in values] for name, values in summary.items()}
