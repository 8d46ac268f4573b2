"""The tables of an RFM dataset as they stand: which rows are in the files of which range. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import pyarrow as pa

from dataset_upload.console.logs import logger
from dataset_upload.errors import StoppedError
from dataset_upload.formats.rfm.layout import MAIN, range_of, shards
from dataset_upload.formats.rfm.shards import open_shard, rows_of
from dataset_upload.formats.rfm.table_files import TableFile, read_files
from dataset_upload.formats.statistics import ActionStatistics
from dataset_upload.ledger import Entry, entries_digest

Rows = dict[str, pa.RecordBatch]  # a trajectory's row of each table


class StoredTables:
    """The tables of a dataset, by the ends of their files.

    A range is None where files of no range are meant: those of earlier versions, which hold rows in another order.

    Attributes:
        paths: of the files of each table, in order.

    Args:
        folder: the dataset's.
        schemas: of each table, without `frames_video`.
        root: where the clips are that the main table's column `frames_video` is to name; None: it is to have none.
    """

    def __init__(self, folder: Path, schemas: Mapping[str, pa.Schema], root: str | None) -> None:
        self.paths = {table: shards(folder, table) for table in schemas}
        self._schemas = schemas
        self._root = root
        self._files: dict[tuple[str, int | None], list[TableFile]] = {}
        for table, paths in self.paths.items():
            for file in read_files(paths):
                self._files.setdefault((table, file.range), []).append(file)

    def files(self, table: str, number: int | None) -> list[Path]:
        """The files of a range, in order."""
        return [file.path for file in self._files.get((table, number), ())]

    def is_current(self, number: int, entries: Sequence[Entry]) -> bool:
        """Whether the files of a range are those that would be made of the rows of these entries."""
        digest = cache(lambda start, end: entries_digest(entries[start:end]))
        for table in self._schemas:
            end, root = 0, self._root if table == MAIN else None
            for file in self._files.get((table, number), ()):
                start, end = end, end + file.num_rows
                if file.rows != digest(start, end) or file.root != root:
                    return False
                if table == MAIN and file.statistics is None:
                    return False
            if end != len(entries) or (table, number) not in self._files:
                return False
        return True

    def keys(self, number: int | None) -> set[str]:
        """The episodes that have a row in a range's files; none if its tables do not match."""
        try:
            ids = [self._column(table, number, "id") for table in self._schemas]
            if not all(column.equals(ids[0]) for column in ids):
                return set()
            return set(self._column(MAIN, number, "source").to_pylist())
        except (pa.ArrowException, OSError, LookupError) as error:
            logger.warning(f"Warning: A table of {self.paths[MAIN][0].parent} is damaged: {error}")
            return set()

    def rows(self, number: int | None) -> Iterator[Rows]:
        """The rows of a range, in order. Raises StoppedError where a file is damaged."""
        streams = [rows_of(self.files(table, number)) for table in self._schemas]
        for batches in zip(*streams, strict=True):
            yield {
                table: pa.record_batch(batch.select(schema.names).columns, schema)
                for batch, (table, schema) in zip(batches, self._schemas.items(), strict=True)
            }

    def action_statistics(self) -> ActionStatistics:
        """Of the rows of all ranges. Raises StoppedError where a file does not tell them as it should."""
        statistics: ActionStatistics | None = None
        for file in read_files(self.paths[MAIN]):
            try:
                part = ActionStatistics.from_json(file.statistics or {})
                if statistics is None:
                    statistics = part
                else:
                    statistics.merge(part)
            except (ValueError, TypeError, LookupError, OSError) as error:
                raise StoppedError(f"{file.path} is damaged: delete it, then its rows are converted again") from error
        return statistics or ActionStatistics()

    def _column(self, table: str, number: int | None, name: str) -> pa.ChunkedArray:
        columns = [open_shard(path).read(columns=[name], use_threads=False)[0] for path in self.files(table, number)]
        return pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())


def by_range(entries: Iterable[Entry]) -> dict[int, list[Entry]]:
    """Entries by range, those of one in the order of clip numbers; ranges ascend."""
    in_order = sorted(entries, key=attrgetter("clip"))
    return {number: list(of_range) for number, of_range in groupby(in_order, lambda entry: range_of(entry.clip))}
