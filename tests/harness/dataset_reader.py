"""A finished dataset, read without our own code or the `datasets` library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray


class Dataset:
    """Every row of a dataset's tables, and its clips where they lie.

    Attributes:
        rows: of the main table, in order.
        hands: the rows of the sidecar, by id.
    """

    def __init__(self, output_dir: Path, name: str = "egodex_test") -> None:
        self.output_dir = output_dir
        self.folder = output_dir / name
        self.rows = _read_rows(self.folder)
        self.hands = {row["id"]: row for row in _read_rows(self.folder / "hands")}

    def row(self, source: str) -> dict[str, Any]:
        """The row of an episode key."""
        (row,) = (row for row in self.rows if row["source"] == source)
        return row

    def clip(self, row: Mapping[str, Any]) -> list[NDArray[np.uint8]]:
        """The (H, W, 3) RGB frames of a row's clip."""
        paths = [row["frames"]] if isinstance(row["frames"], str) else row["frames"]
        return [frame for path in paths for frame in decode_all(self.output_dir / path)]


def _read_rows(folder: Path) -> list[dict[str, Any]]:
    shards = sorted(folder.glob("train-*.parquet"))
    rows: list[dict[str, Any]] = [row for shard in shards for row in pq.ParquetFile(shard).read().to_pylist()]
    return rows


def decode_all(video: Path) -> list[NDArray[np.uint8]]:
    """All frames, (H, W, 3) RGB, of a video or picture, decoded from start to end."""
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]  # type: ignore[misc]
