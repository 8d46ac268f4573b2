"""A table's Parquet files: written in shards of bounded size, read one row at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

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


class Describer(Protocol):
    """Tells what is in a file that is being written."""

    def add(self, group: pa.Table) -> None:
        """Take note of the file's next rows."""

    def take(self) -> dict[str, str]:
        """What the file, which ends here, says of itself; the next one begins."""


class FilesWriter:
    """Writes rows to files of at most 500 MB each.

    Attributes:
        files: those written so far, in order: `<start>00000`, `<start>00001`, …
    """

    def __init__(self, start: Path, schema: pa.Schema, describer: Describer | None = None) -> None:
        start.parent.mkdir(parents=True, exist_ok=True)
        self.files: list[Path] = []
        self._start = start
        self._schema = schema
        self._describer = describer
        self._rows: list[pa.RecordBatch] = []
        self._num_frames = 0
        self._file: BinaryIO | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, row: pa.RecordBatch, num_frames: int) -> None:
        self._rows.append(row)
        self._num_frames += num_frames
        if len(self._rows) == _ROWS_PER_GROUP or self._num_frames >= _FRAMES_PER_GROUP:
            self._write_rows()

    def close(self) -> None:
        """Write what is left; there is a file then, even without rows."""
        if self._rows:
            self._write_rows()
        elif not self.files:  # a table without rows is still a table; readers stumble over an empty row group
            self._start_file()
        self._finish_file()

    def _write_rows(self) -> None:
        rows = pa.Table.from_batches(self._rows, self._schema).combine_chunks()
        num_groups = min(len(rows), 1 + rows.nbytes // _BYTES_PER_GROUP)  # several only where clips lie in the rows
        rows_per_group = -(-len(rows) // num_groups)
        for start in range(0, len(rows), rows_per_group):
            self._write_row_group(rows.slice(start, rows_per_group))
        self._rows.clear()
        self._num_frames = 0

    def _write_row_group(self, group: pa.Table) -> None:
        if self._file is None or self._file.tell() + group.nbytes > _SHARD_BYTES:
            self._start_file()
        assert self._writer is not None
        self._writer.write_table(group)
        if self._describer is not None:
            self._describer.add(group)

    def _start_file(self) -> None:
        self._finish_file()
        self.files.append(self._start.with_name(f"{self._start.name}{len(self.files):05d}"))
        self._file = self.files[-1].open("wb")
        self._writer = parquet_writer(self._file, self._schema)

    def _finish_file(self) -> None:
        if self._writer is None or self._file is None:
            return
        if self._describer is not None:
            self._writer.add_key_value_metadata(self._describer.take())
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


class ShardWriter(FilesWriter):
    """Writes rows to `folder/train-<i>-of-<n>.parquet`, each at most 500 MB, and their names to `shards.json`."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        folder.mkdir(parents=True)
        super().__init__(folder / "_", schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            name_shards(self._start.parent, self.files)


def name_shards(folder: Path, files: Sequence[Path]) -> None:
    """Give a table's files, which lie in `folder` and are all that it has, their names; these go to `shards.json`."""
    names = shard_names(len(files))
    for file, name in zip(files, names, strict=True):
        file.rename(folder / name)
    write_whole(folder / SHARD_NAMES, json.dumps(names))


def parquet_writer(file: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    """Writes a table's file, as all are written.

    Floats have no dictionary, as hardly two of them are alike, and are split into their bytes, as the first ones are:
    that takes a third of the time and two thirds of the space.
    """
    columns = dict(column for field in schema for column in _columns(field.name, field.type))
    floats = [name for name, kind in columns.items() if pa.types.is_floating(kind)]
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=[name for name in columns if name not in floats],
        use_byte_stream_split=floats,
        write_page_checksum=True,
    )


def _columns(name: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """A field's columns, as Parquet names them: there are several where it is a struct."""
    if pa.types.is_list(kind):
        yield from _columns(f"{name}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _columns(f"{name}.{field.name}", field.type)
    else:
        yield name, kind


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
        for group in groups_of(shard):
            (batch,) = group.to_batches()
            yield from (batch.slice(row, 1) for row in range(batch.num_rows))


def groups_of(shard: Path) -> Iterator[pa.Table]:
    """The row groups of a shard, each in one piece. Raises StoppedError where it is damaged."""
    with stop_when_damaged(shard):
        file = open_shard(shard)
    for number in range(file.num_row_groups):
        with stop_when_damaged(shard):
            group = file.read_row_group(number, use_threads=False)  # which take 50 MB and save no time
        yield group.combine_chunks()


@contextmanager
def stop_when_damaged(path: Path) -> Iterator[None]:
    """Raises StoppedError where Arrow cannot make sense of one of our files."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise StoppedError(f"{path} is damaged: delete it, then its rows are converted again") from error
