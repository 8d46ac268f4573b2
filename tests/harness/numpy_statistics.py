"""What exact statistics are compared with: NumPy's, of all rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_upload.formats.lerobot.episode_stats import QUANTILES


def numpy_statistics(rows: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """By name (D,) numbers, of (n, D) rows; without the count."""
    numbers = rows.astype(np.float64)
    extremes = {"min": numbers.min(axis=0), "max": numbers.max(axis=0)}
    moments = {"mean": numbers.mean(axis=0), "std": numbers.std(axis=0)}
    return extremes | moments | {name: np.quantile(numbers, share, axis=0) for name, share in QUANTILES.items()}
