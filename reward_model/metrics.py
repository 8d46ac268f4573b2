"""The numbers that reward models are judged by."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def ranks_of(values: ArrayLike) -> Array:
    """(n,) -> (n,) ranks from 0; equal values share the mean of their ranks."""
    _, group, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    mean_rank: Array = np.cumsum(counts) - (counts + 1) / 2
    return mean_rank[group]


def pearson(a: ArrayLike, b: ArrayLike) -> float:
    """Linear correlation of two (n,) series, -1 to 1; 0 where one of them is constant."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 1e-12 else 0.0


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation of two (n,) series, -1 to 1. Of predicted progress and frame order it is called VOC."""
    return pearson(ranks_of(a), ranks_of(b))


def wins(better: float, worse: float) -> float:
    """1 where the better one scores higher, a half where both score the same."""
    return float(better > worse) + float(better == worse) / 2


def top_1(scores: ArrayLike, truth: int) -> float:
    """1 where the highest score is the truth's; shared out among equals."""
    scores = np.asarray(scores)
    highest = scores == scores.max()
    return float(highest[truth] / highest.sum())


def balanced_accuracy(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Mean of the accuracies on (n,) true and on false ones; NaN where there are none of a kind."""
    guess, real = np.asarray(predicted, bool), np.asarray(truth, bool)
    if real.all() or not real.any():
        return float("nan")
    return float((guess[real].mean() + (~guess)[~real].mean()) / 2)
