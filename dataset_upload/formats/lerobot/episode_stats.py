"""Statistics of one episode, as LeRobot keeps them for each: of what its frames hold, and of its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataset_upload.formats.lerobot.features import INDICES, Feature

if TYPE_CHECKING:
    import av

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)

_PICTURES = 16  # of an episode, evenly spaced, that statistics of pixels are made of

Stats = dict[str, Any]  # by name: (D,) numbers, or nested lists (3, 1, 1) of pictures; `count` has a single one


def of_episode(features: Sequence[Feature]) -> list[Feature]:
    """The features that an episode has statistics of by itself."""
    return [feature for feature in features if feature.name not in INDICES and not feature.is_bulky]


def stats_fields(features: Sequence[Feature], camera: str) -> list[tuple[str, pa.DataType]]:
    """The columns of these statistics in the table of episodes; `camera` is the name of the video."""
    numbers = pa.list_(pa.float64())
    pixels = pa.list_(pa.list_(numbers))
    kinds = {camera: pixels} | {feature.name: numbers for feature in of_episode(features)}
    return [
        (f"stats/{feature}/{name}", pa.list_(pa.int64()) if name == "count" else kind)
        for feature, kind in kinds.items()
        for name in NAMES
    ]


def number_stats(values: NDArray[Any]) -> Stats:
    """Of (n, D) numbers, a column each."""
    numbers = values.astype(np.float64).reshape(len(values), -1)
    summary = {
        "min": numbers.min(axis=0),
        "max": numbers.max(axis=0),
        "mean": numbers.mean(axis=0),
        "std": numbers.std(axis=0),
        **dict(zip(QUANTILES, np.quantile(numbers, list(QUANTILES.values()), axis=0), strict=True)),
    }
    return {name: value.tolist() for name, value in summary.items()} | {"count": [len(numbers)]}


class PixelStats:
    """Of the red, green and blue of some pictures, 0 to 1."""

    def __init__(self) -> None:
        self._histogram = np.zeros((3, 256), np.int64)

    def watch(self, pictures: Iterable[av.VideoFrame], count: int) -> Iterator[av.VideoFrame]:
        """Pass on `count` pictures, and take in some of them."""
        wanted = set(np.linspace(0, count - 1, min(count, _PICTURES), dtype=int).tolist())
        for number, picture in enumerate(pictures):
            if number in wanted:
                pixels = picture.to_ndarray(format="rgb24", threads=1).reshape(-1, 3)
                for channel in range(3):
                    self._histogram[channel] += np.bincount(pixels[:, channel], minlength=256)
            yield picture

    def stats(self) -> Stats:
        """(3, 1, 1) each; `count` is that of pixels."""
        count = int(self._histogram[0].sum())
        levels = np.arange(256) / 255
        cumulative = self._histogram.cumsum(axis=1)
        mean = self._histogram @ levels / count
        summary = {
            "min": levels[(cumulative > 0).argmax(axis=1)],
            "max": levels[(cumulative == count).argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(self._histogram @ levels**2 / count - mean**2, 0)),
            **{name: levels[(cumulative >= share * count).argmax(axis=1)] for name, share in QUANTILES.items()},
        }
        return {name: value.reshape(3, 1, 1).tolist() for name, value in summary.items()} | {"count": [count]}


def as_columns(stats: Mapping[str, Stats]) -> dict[str, Any]:
    """Statistics by feature, as columns of a row of the table of episodes."""
    return {f"stats/{feature}/{name}": value for feature, each in stats.items() for name, value in each.items()}


def united(stats: Iterable[Stats]) -> Stats:
    """Of all episodes together: exact but for quantiles, which are their mean, weighted by counts."""
    total: Stats = {}
    count = 0
    sums: dict[str, NDArray[np.float64]] = {}
    for each in stats:
        weight = each["count"][0]
        part = {name: np.array(each[name], np.float64) for name in NAMES if name != "count"}
        weighted = {name: part[name] * weight for name in ("mean", *QUANTILES)}
        weighted["square"] = (part["std"] ** 2 + part["mean"] ** 2) * weight
        if not sums:
            total, sums = {"min": part["min"], "max": part["max"]}, weighted
        else:
            total = {"min": np.minimum(total["min"], part["min"]), "max": np.maximum(total["max"], part["max"])}
            sums = {name: sums[name] + value for name, value in weighted.items()}
        count += weight
    means = {name: value / count for name, value in sums.items()}
    std = np.sqrt(np.maximum(means.pop("square") - means["mean"] ** 2, 0))
    summary = {"min": total["min"], "max": total["max"], "mean": means["mean"], "std": std, **means}
    return {name: value.tolist() for name, value in summary.items()} | {"count": [count]}
