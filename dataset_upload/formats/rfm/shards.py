"""A table's Parquet files: written in shards of bounded size, read one row at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_upload.errors import StoppedError
from dataset_upload.formats.rfm.layout import shard_names, shards
from dataset_upload.formats.rfm.schema import FRAMES_VIDEO
from dataset_upload.storage.whole_file import write_whole

SHARD_NAMES = "shards.json"  # beside shards that are not yet in their place: the names of all of them

pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps 50 MB for itself that Python could have

_ROWS_PER_GROUP, _FRAMES_PER_GROUP, _BYTES_PER_GROUP = 250, 8_000, 100_000_000
_SHARD_BYTES = 500_000_000


class ShardWriter:
    """Writes rows to `folder/train-<i>-of-<n>.parquet`, each at most 500 MB, and their names to `shards.json`."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._schema = schema
        self._rows: list[pa.RecordBatch] = []
        self._num_frames = 0
        self._files: list[BinaryIO] = []
        self._writer: pq.ParquetWriter | None = None

    def write(self, row: pa.RecordBatch, num_frames: int) -> None:
        self._rows.append(row)
        self._num_frames += num_frames
        if len(self._rows) == _ROWS_PER_GROUP or self._num_frames >= _FRAMES_PER_GROUP:
            self._write_rows()

    def _write_rows(self) -> None:
        rows = pa.Table.from_batches(self._rows, self._schema).combine_chunks()
        num_groups = min(len(rows), 1 + rows.nbytes // _BYTES_PER_GROUP)  # several only where clips lie in the rows
        rows_per_group = -(-len(rows) // num_groups)
        for start in range(0, len(rows), rows_per_group):
            self._write_row_group(rows.slice(start, rows_per_group))
        self._rows.clear()
        self._num_frames = 0

    def _write_row_group(self, group: pa.Table) -> None:
        if self._writer is None or self._files[-1].tell() + group.nbytes > _SHARD_BYTES:
            self._start_shard()
        assert self._writer is not None
        self._writer.write_table(group)

    def _start_shard(self) -> None:
        self._finish_shard()
        self._files.append((self._folder / f"{len(self._files):05d}").open("wb"))
        self._writer = pq.ParquetWriter(self._files[-1], self._schema, compression="zstd", write_page_checksum=True)

    def _finish_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._files[-1].flush()
            os.fsync(self._files[-1].fileno())
            self._files[-1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            return
        if self._rows:
            self._write_rows()
        elif not self._files:  # a table without rows is still a table; readers stumble over an empty row group
            self._start_shard()
        self._finish_shard()
        names = shard_names(len(self._files))
        for number, name in enumerate(names):
            (self._folder / f"{number:05d}").rename(self._folder / name)
        write_whole(self._folder / SHARD_NAMES, json.dumps(names))


def open_shard(shard: Path) -> pq.ParquetFile:
    """A table's file, whose pages are compared with their checksums as they are read."""
    return pq.ParquetFile(shard, page_checksum_verification=True)


def stored_schema(folder: Path) -> pa.Schema:
    """The columns of the main table in a dataset's folder, of whatever version it is, as others may have them."""
    shard = shards(folder)[0]
    with stop_when_damaged(shard):
        stored = open_shard(shard).schema_arrow
    fields = (pa.field(field.name, _as_written(field.type)) for field in stored)
    return pa.schema([field for field in fields if field.name != FRAMES_VIDEO.name])


def _as_written(stored: pa.DataType) -> pa.DataType:
    """A type before Parquet has renamed what is in lists: only so the same rows are written as the same bytes."""
    return pa.list_(_as_written(stored.value_type)) if pa.types.is_list(stored) else stored


def has_frames_video(folder: Path) -> bool:
    """Whether the main table in a dataset's folder has the column that is for this machine only."""
    shard = shards(folder)[0]
    with stop_when_damaged(shard):
        return FRAMES_VIDEO.name in open_shard(shard).schema_arrow.names


def stored_rows(folder: Path) -> Iterator[pa.RecordBatch]:
    """The rows of the main table in a dataset's folder, in order, each a batch of one of the `stored_schema`."""
    schema = stored_schema(folder)
    return (pa.record_batch(row.select(schema.names).columns, schema) for row in rows_of(shards(folder)))


def rows_of(files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """The rows of shards, in order, each a batch of one. Raises StoppedError where one is damaged."""
    for shard in files:
        with stop_when_damaged(shard):
            file = open_shard(shard)
        for group in range(file.num_row_groups):
            with stop_when_damaged(shard):
                table = file.read_row_group(group, use_threads=False)  # which take 50 MB and save no time
                (batch,) = table.combine_chunks().to_batches()
            yield from (batch.slice(row, 1) for row in range(batch.num_rows))


@contextmanager
def stop_when_damaged(path: Path) -> Iterator[None]:
    """Raises StoppedError where Arrow cannot make sense of one of our files."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise StoppedError(f"{path} is damaged: delete it, then its rows are converted again") from error
