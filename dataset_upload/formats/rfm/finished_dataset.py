"""A finished RFM dataset, read one trajectory at a time; nothing is read before it is asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataset_upload.formats.finished_dataset import FinishedDataset
from dataset_upload.formats.rfm import dataset_info
from dataset_upload.formats.rfm.layout import CONVERSION, HANDS, MAIN, TABLES, clip_number, shards, tables_with
from dataset_upload.ledger import DONE, entries_digest
from dataset_upload.stored_trajectory import SIDES, Array, StoredTrajectory
from dataset_upload.video.plain_decoding import decode_clip

NUM_JOINTS = 25


class RfmTrajectory(StoredTrajectory):
    """One row of the main table with its row of the sidecar."""

    @property
    def clip_number(self) -> int:
        """The clip's number in its dataset."""
        frames = self.row["frames"]
        number = clip_number(frames if isinstance(frames, str) else frames[0])
        if number is None:
            raise ValueError(f"{frames} is no place for a clip")
        return number

    @property
    def clip(self) -> list[Path]:
        """Where the MP4 lies, or the JPEGs, in order. A dataset that was pushed packed has none of these files."""
        frames = self.row["frames"]
        return [self.root / path for path in (frames if isinstance(frames, list) else [frames])]

    def clip_contents(self) -> list[bytes]:
        """The MP4, or the JPEGs, in order. Raises OSError."""
        packed = [self.row["video"]] if "video" in self.row else self.row.get("images", [])
        if packed and all(file["bytes"] for file in packed):
            return [file["bytes"] for file in packed]
        return super().clip_contents()

    @cached_property
    def times(self) -> Array:
        """(T,) seconds from the first frame of the source video."""
        return np.array(self.row["timestamps"], np.float64)

    @cached_property
    def camera_to_world(self) -> Array:
        """(T, 4, 4) camera poses, metres; camera axes x right, y down, z forward."""
        return self._array("camera_to_world", (len(self.times), 4, 4))

    @cached_property
    def intrinsics(self) -> Array:
        """(3, 3) camera matrix, pixels of the clip's frames."""
        return self._array("intrinsics", (3, 3))

    @cached_property
    def hands(self) -> Array:
        """(2, T, 25, 3) joints of the left and the right hand, metres, world frame."""
        return np.stack([self._array(f"{side}_hand", (len(self.times), NUM_JOINTS, 3)) for side in SIDES])

    @cached_property
    def confidences(self) -> Array:
        """(2, T) how sure the tracker is of the left and the right hand, 0 to 1; NaN where unknown."""
        return self._array("confidences", (len(self.times), 2))[:, :2].T

    def _array(self, column: str, shape: tuple[int, ...]) -> Array:
        """A column as numbers; where the trajectory has none, NaN of this shape."""
        values = self.row.get(column)
        return np.full(shape, np.nan) if values is None else np.array(values, np.float64)

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The clip's (H, W, 3) RGB frames, one at a time. Raises OSError."""
        return decode_clip(self.clip_contents())


class RfmDataset(FinishedDataset):
    """One dataset of an output folder."""

    @cached_property
    def description(self) -> dict[str, Any]:
        """What `conversion.json` says. Raises OSError where there is none that can be read."""
        description = dataset_info.read(self.folder)
        if description is None:
            raise FileNotFoundError(2, "missing or damaged", str(self.folder / CONVERSION))
        return description

    def ledger_digest(self) -> str:
        """The fingerprint of the rows that the ledger calls done, as conversion.json has it. Raises OSError."""
        return entries_digest(entry for entry in self.ledger.values() if entry.status == DONE)

    @property
    def uses_video(self) -> bool:
        """Whether a clip is one MP4; else it is JPEGs."""
        return bool(self.description["settings"]["use_video"])

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of its tables; a dataset without hands has no sidecar. Raises OSError as `description`."""
        return tables_with(self.description["hand_joints"])

    def shards(self, table: str = MAIN) -> list[Path]:
        """The files of a table, in order."""
        return shards(self.folder, table)

    def table_files(self) -> list[Path]:
        """The files of all tables."""
        return [file for table in self.tables for file in self.shards(table)]

    def __len__(self) -> int:
        """The number of rows of the main table."""
        return sum(pq.ParquetFile(shard).metadata.num_rows for shard in self.shards())

    def column(self, name: str, table: str = MAIN) -> list[Any]:
        """A column's values, of all rows."""
        columns = [pq.ParquetFile(shard).read(columns=[name])[0] for shard in self.shards(table)]
        return [value for column in columns for value in column.to_pylist()]

    def trajectories(self, numbers: Sequence[int] | None = None) -> Iterator[RfmTrajectory]:
        """The trajectories of these rows, which must ascend; of all rows if not given."""
        wanted = range(len(self)) if numbers is None else numbers
        hands = self._rows(HANDS, wanted)
        for number, row in zip(wanted, self._rows(MAIN, wanted), strict=True):
            yield RfmTrajectory(number, {**next(hands, {}), **row}, self.root)

    @cached_property
    def _num_rows(self) -> dict[Path, int]:
        """Of each shard, so that not all need to be opened for every few rows."""
        return {shard: pq.read_metadata(shard).num_rows for table in TABLES for shard in self.shards(table)}

    def _rows(self, table: str, wanted: Sequence[int]) -> Iterator[dict[str, Any]]:
        """These rows of a table, as far as it has them; only the row groups that hold one are read."""
        start = 0
        for shard in self.shards(table):
            end = start + self._num_rows[shard]
            if _between(wanted, start, end):
                yield from _rows_of_shard(shard, start, wanted)
            start = end


def _rows_of_shard(shard: Path, start: int, wanted: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The wanted rows of a shard whose first row has the number `start`."""
    file = pq.ParquetFile(shard)
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        if here := _between(wanted, start, end):
            rows = file.read_row_group(group, use_threads=False)
            yield from (rows.slice(number - start, 1).to_pylist()[0] for number in here)
        start = end


def _between(numbers: Sequence[int], start: int, end: int) -> Sequence[int]:
    """Those of ascending numbers that are at least `start` and less than `end`."""
    return numbers[bisect_left(numbers, start) : bisect_left(numbers, end)]
