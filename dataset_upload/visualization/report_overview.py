"""What a report's page shows of a dataset before it knows any single trajectory: histograms, extremes, tasks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_upload.quality import clip
from dataset_upload.visualization.report_columns import Columns

_RANKED = 6
_MOST_BINS = 24

# By the name of the column: +1 where low values are strange, -1 where high ones are.
_RANKINGS = {"topSpeed": -1, "radius": 1, "leastInFrame": 1, "convertSeconds": -1}

_HISTOGRAMS = ("seconds", "clipBytes", "path", "meanInFrame", "confidence")


def overview(columns: Columns) -> dict[str, Any]:
    """Everything about all rows together, as the page wants it."""
    return {
        "rows": columns.num_rows,
        "columnFiles": columns.num_files,
        "someHaveHands": columns.some_have_hands,
        "limits": {
            "jumpSpeed": clip.JUMP_SPEED,
            "stillRadius": clip.STILL_RADIUS,
            "leastInFrame": clip.LEAST_IN_FRAME,
        },
        "sourceSeconds": _sum(columns.column("seconds")),
        "histograms": {name: histogram(columns.column(name)) for name in _HISTOGRAMS},
        "rankings": {name: _ranking(columns, name, sign) for name, sign in _RANKINGS.items()},
        "tasks": _tasks(columns),
    }


def histogram(values: NDArray[Any]) -> dict[str, Any]:
    """How values are distributed.

    Returns:
        `unknown`, how many are NaN; of the others, if there are any, `low`, `high`, `median`; and, if they differ, how
        many there are in each of equal bins from `low` to `end`.
    """
    known = np.sort(values[np.isfinite(values)].astype(np.float64))
    told: dict[str, Any] = {"unknown": len(values) - len(known)}
    if not len(known):
        return told
    low, high = float(known[0]), float(known[-1])
    told |= {"low": low, "high": high, "median": float(np.median(known))}
    if low < high:
        # A few far-off values would squeeze all others into one bar: beyond the 98 % quantile the last bar takes them.
        usual = float(known[math.ceil(0.98 * (len(known) - 1))])
        end = usual if usual > low and high - low > 1.5 * (usual - low) else high
        bins = min(_MOST_BINS, max(4, math.ceil(2 * math.sqrt(len(known)))))
        places = np.minimum((known - low) / (end - low) * bins, bins - 1).astype(int)
        told |= {"end": end, "counts": np.bincount(places, minlength=bins).tolist()}
    return told


def _sum(values: NDArray[Any]) -> float:
    return float(values[np.isfinite(values)].sum(dtype=np.float64))


def _ranking(columns: Columns, name: str, sign: int) -> list[dict[str, Any]]:
    """The most extreme trajectories, with their value."""
    values = columns.column(name)
    ranked = np.isfinite(values)
    if name == "leastInFrame":
        ranked &= values < 1
    rows = np.flatnonzero(ranked)
    rows = rows[np.argsort(sign * values[rows], kind="stable")[:_RANKED]]
    return [{**columns.named(row), "value": float(values[row])} for row in rows.tolist()]


def _tasks(columns: Columns) -> list[dict[str, Any]]:
    """The folders, those with most trajectories first; each with the number of its first one, whose picture it has."""
    folders, first, counts = np.unique(columns.column("folder"), return_index=True, return_counts=True)
    names, numbers = columns.texts["folder"].after(0), columns.column("number")
    order = np.argsort(-counts, kind="stable").tolist()
    return [{"folder": names[folders[i]], "count": int(counts[i]), "number": int(numbers[first[i]])} for i in order]
