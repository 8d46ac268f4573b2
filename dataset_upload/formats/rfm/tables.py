"""The tables of an RFM dataset, built in a stream from records, swapped in whole.

A finished record waits as a small file of its own under `.work/records/` until a build has put it into the tables. A
build streams: it merges the rows of the tables that are there with the waiting records, in episode order, into new
shards under `.work/`, and then swaps these in. A record is deleted only after that, and a swap that was interrupted is
finished by the next run, so at every instant each finished row is in one of the two places.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from dataset_upload.console.logs import logger
from dataset_upload.formats.rfm.layout import MAIN, SWAP, record_path, shards, table_folder
from dataset_upload.formats.rfm.schema import FRAMES_VIDEO
from dataset_upload.formats.rfm.shards import SHARD_NAMES, ShardWriter, open_shard, rows_of, stop_when_damaged
from dataset_upload.formats.statistics import ActionStatistics
from dataset_upload.storage.whole_file import flush_folder

Rows = dict[str, pa.RecordBatch]  # a trajectory's row of each table


class Tables:
    """The tables of one dataset, and the records that wait for them.

    Attributes:
        folder: the dataset's.
    """

    def __init__(self, folder: Path, work: Path, schemas: Mapping[str, pa.Schema], *, frames_video: bool) -> None:
        """Open the tables; a swap that was interrupted is finished first.

        Args:
            folder: as above.
            work: its folder for what is not finished.
            schemas: of each table, without `frames_video`.
            frames_video: whether the main table has the column `frames_video`, the clips' absolute paths.
        """
        self.folder = folder
        self._work = work
        self._schemas = schemas
        self._root = os.path.abspath(folder.parent)
        self._frames_video = frames_video
        self._finish_swap()

    def stored_keys(self) -> set[str]:
        """The episodes that have a row in every table; none if the tables do not match."""
        try:
            ids = [self._column(table, "id") for table in self._schemas]
            if not all(column.equals(ids[0]) for column in ids):
                return set()
            return set(self._column(MAIN, "source").to_pylist())
        except (pa.ArrowException, OSError) as error:
            logger.warning(f"Warning: A table of {self.folder} is damaged: {error}")
            return set()

    def record_numbers(self) -> set[int]:
        """The numbers of the pieces of which a record of every table waits for the next build."""
        waiting = [self._waiting(table) for table in self._schemas]
        return set.intersection(*waiting)

    def has_records(self) -> bool:
        """Whether any record waits for the next build."""
        return any(self._waiting(table) for table in self._schemas)

    def _waiting(self, table: str) -> set[int]:
        folders = (self._work / record_path(table, 0)).parents[1]
        return {int(path.stem) for path in folders.glob("*/*.arrow")}

    def build(self, episodes: Iterable[tuple[str, int]]) -> ActionStatistics:
        """Write the tables anew from the rows that they hold and the records that wait.

        Args:
            episodes: (key, number) of every row, in the order in which rows stand. Each is in the tables, where rows
                stand in the same order, or waits as a record, which then counts.

        Returns:
            The statistics of the action columns.
        """
        tables = self._work / "tables"
        shutil.rmtree(tables, ignore_errors=True)
        statistics = ActionStatistics()
        stored = self._stored_rows()
        with ExitStack() as stack:
            writers = {
                table: stack.enter_context(ShardWriter(tables / table_folder(table), self._schema_of_shards(table)))
                for table in self._schemas
            }
            for key, number in episodes:
                rows = self._read_records(number) or next(rows for rows in stored if _key(rows) == key)
                actions = _actions(rows)
                if self._frames_video:
                    path = pa.array([self._absolute_path(rows[MAIN])])
                    rows[MAIN] = rows[MAIN].append_column(FRAMES_VIDEO, path)
                for table, writer in writers.items():
                    writer.write(rows[table], len(actions))
                statistics.add(actions)
        tables.rename(self._work / SWAP)  # from here on the new tables count
        flush_folder(self._work)
        self._finish_swap()
        return statistics

    def _schema_of_shards(self, table: str) -> pa.Schema:
        schema = self._schemas[table]
        return schema.append(FRAMES_VIDEO) if table == MAIN and self._frames_video else schema

    def delete_records(self) -> None:
        """After a build, when all records are in the tables."""
        shutil.rmtree((self._work / record_path(MAIN, 0)).parents[2], ignore_errors=True)

    def has_frames_video_as_wanted(self) -> bool:
        """Whether the main table has `frames_video`, or not, as configured, with paths to where the clips are now."""
        row = next(rows_of(shards(self.folder)), None)
        if row is None:
            return True
        stored = row["frames_video"][0].as_py() if "frames_video" in row.schema.names else None
        return bool(stored == (self._absolute_path(row) if self._frames_video else None))

    def _absolute_path(self, row: pa.RecordBatch) -> str:
        return f"{self._root}/{row['frames'][0].as_py()}"

    def _read_records(self, number: int) -> Rows | None:
        """A trajectory's row of each table, where they wait as records."""
        rows = {}
        for table in self._schemas:
            path = self._work / record_path(table, number)
            if not path.exists():
                return None
            with stop_when_damaged(path), pa.OSFile(str(path)) as file:
                rows[table] = pa.ipc.open_file(file).get_batch(0)
        return rows

    def _column(self, table: str, name: str) -> pa.ChunkedArray:
        files = shards(self.folder, table)
        columns = [open_shard(shard).read(columns=[name], use_threads=False)[0] for shard in files]
        return pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())

    def _stored_rows(self) -> Iterator[Rows]:
        """The rows of the tables, in order."""
        streams = [rows_of(shards(self.folder, table)) for table in self._schemas]
        for batches in zip(*streams, strict=True):
            yield {
                table: pa.record_batch(batch.select(schema.names).columns, schema)
                for batch, (table, schema) in zip(batches, self._schemas.items(), strict=True)
            }

    def _finish_swap(self) -> None:
        """Put finished new shards in the place of the old ones, so that nobody ever reads old and new together.

        `.work/swap` holds the shards that are not yet in their place, and `shards.json` names them all. Whatever
        moment this was interrupted at, the next call goes on.
        """
        swap, swapped = self._work / SWAP, self._work / "swapped"
        shutil.rmtree(swapped, ignore_errors=True)
        if not swap.exists():
            return
        for table in self._schemas:
            waiting, place = swap / table_folder(table), self.folder / table_folder(table)
            names = json.loads((waiting / SHARD_NAMES).read_text())
            not_moved = [name for name in names if (waiting / name).exists()]
            place.mkdir(exist_ok=True)
            old = [shard for shard in shards(self.folder, table) if shard.name in not_moved or shard.name not in names]
            if [shard.name for shard in old] != names or len(names) > 1:
                for shard in old:
                    shard.unlink()
            for name in not_moved:
                (waiting / name).replace(place / name)
            flush_folder(place)
        swap.rename(swapped)
        shutil.rmtree(swapped)


def _key(rows: Rows) -> str:
    key: str = rows[MAIN]["source"][0].as_py()
    return key


def _actions(rows: Rows) -> NDArray[np.float32]:
    """(T, D) actions of a trajectory."""
    actions = rows[MAIN]["actions"].flatten()
    return actions.flatten().to_numpy().reshape(len(actions), -1)  # type: ignore[no-any-return]
