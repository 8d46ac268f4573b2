"""The tables of an RFM dataset while a run writes it: rows in the order of clip numbers, made range by range.

A finished record waits as a small file of its own under `.work/records/` until a build has put it into the tables. A
range is a fixed number of clip numbers, whose rows have files of their own, which say what they hold. A build writes
only those ranges anew whose rows have changed: it merges the rows of their files with the waiting records, in a
stream, under `.work/`, and then swaps the new files in. A record is deleted only after that, and a swap that was
interrupted is finished by the next run, so at every instant each finished row is in one of the two places.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.ipc

from dataset_upload.console.interrupts import until_interrupted
from dataset_upload.console.logs import logger
from dataset_upload.console.progress import progress
from dataset_upload.errors import StoppedError
from dataset_upload.formats.rfm.layout import MAIN, RECORDS, record_path, table_folder
from dataset_upload.formats.rfm.schema import FRAMES_VIDEO
from dataset_upload.formats.rfm.shards import FilesWriter, stop_when_damaged
from dataset_upload.formats.rfm.stored_tables import Rows, StoredTables, by_range
from dataset_upload.formats.rfm.swap import finish_swap, prepare_swap
from dataset_upload.formats.rfm.table_files import RangeDescriber
from dataset_upload.formats.statistics import ActionStatistics
from dataset_upload.ledger import Entry

_THREADS = 2  # each holds some 100 MB; more would wait for each other, as only Arrow's work is done at once


class _Sources(NamedTuple):
    """Where a build finds its rows.

    Attributes:
        waiting: the numbers of records that wait.
        stored: the tables as they are.
        put_back: a folder with records of those rows in `stored` that no range's files hold.
    """

    waiting: set[int]
    stored: StoredTables
    put_back: Path


class Tables:
    """The tables of one dataset, and the records that wait for them. Opening them changes nothing.

    Args:
        folder: the dataset's.
        work: its folder for what is not finished.
        schemas: of each table, without `frames_video`.
        frames_video: whether the main table has the column `frames_video`, the clips' absolute paths.
    """

    def __init__(self, folder: Path, work: Path, schemas: Mapping[str, pa.Schema], *, frames_video: bool) -> None:
        self._folder = folder
        self._work = work
        self._schemas = schemas
        self._root = os.path.abspath(folder.parent) if frames_video else None

    def recover(self) -> None:
        """Finish a swap that was interrupted. Only for a run that has the dataset for itself."""
        finish_swap(self._folder, self._work, self._schemas)

    def present(self, entries: Iterable[Entry]) -> set[str]:
        """The keys of those of these episodes that have a row in every table, or a record of every one."""
        stored, waiting = self._stored(), self.record_numbers()
        of_no_range = stored.keys(None)
        present: set[str] = set()
        for number, of_range in by_range(entries).items():
            if stored.is_current(number, of_range):
                present.update(entry.key for entry in of_range)
            else:
                keys = stored.keys(number) | of_no_range
                present.update(entry.key for entry in of_range if entry.key in keys or entry.clip in waiting)
        return present

    def record_numbers(self) -> set[int]:
        """The numbers of the pieces of which a record of every table waits for the next build."""
        return set.intersection(*map(self._waiting, self._schemas))

    def _waiting(self, table: str) -> set[int]:
        records = self._work / RECORDS / table
        folders = os.listdir(records) if records.exists() else []
        names = (name for folder in folders for name in os.listdir(records / folder))
        return {int(name.removesuffix(".arrow")) for name in names if name.endswith(".arrow")}

    def delete_records(self) -> None:
        """After a build, when all records are in the tables."""
        shutil.rmtree(self._work / RECORDS, ignore_errors=True)

    def build(self, entries: Iterable[Entry]) -> ActionStatistics:
        """Write those ranges anew whose rows are not those of these entries, or for which records wait.

        Args:
            entries: of every row that the tables are to have. Each is in the tables or waits as a record, which then
                counts.

        Returns:
            The statistics of the action columns. These, and the bytes of the tables, depend on nothing but the rows.
        """
        sources = _Sources(self.record_numbers(), self._stored(), self._work / "put_back")
        ranges = by_range(entries) or {0: []}  # a table without rows is still a table
        stale = {
            number: of_range
            for number, of_range in ranges.items()
            if not sources.waiting.isdisjoint(entry.clip for entry in of_range)
            or not sources.stored.is_current(number, of_range)
        }
        building = self._work / "tables"
        shutil.rmtree(building, ignore_errors=True)
        new = self._write_ranges(building, stale, sources) if stale else {}
        wanted = {
            table: [
                path
                for number in ranges
                for path in (new[number][table] if number in new else sources.stored.files(table, number))
            ]
            for table in self._schemas
        }
        if wanted != sources.stored.paths:
            prepare_swap(wanted, self._work, building)
            self.recover()
        shutil.rmtree(sources.put_back, ignore_errors=True)
        return self._stored().action_statistics()

    def _stored(self) -> StoredTables:
        return StoredTables(self._folder, self._schemas, self._root)

    def _write_ranges(
        self, building: Path, ranges: Mapping[int, Sequence[Entry]], sources: _Sources
    ) -> dict[int, dict[str, list[Path]]]:
        """Write ranges of each table, several at once; returns the files of each, by range and table."""
        self._put_back(ranges, sources)

        def write(number: int) -> dict[str, list[Path]]:
            return self._write_range(building, number, ranges[number], sources)

        with ThreadPoolExecutor(_THREADS) as pool:
            files = progress(pool.map(write, ranges), "Writing tables", total=len(ranges), unit="range")
            return dict(zip(ranges, files, strict=True))

    def _write_range(
        self, building: Path, number: int, entries: Sequence[Entry], sources: _Sources
    ) -> dict[str, list[Path]]:
        """Write a range of each table; returns the files of each, in order."""
        writers = {}
        for table, schema in self._schemas.items():
            is_main, start = table == MAIN, building / table_folder(table) / f"{number:05d}-"
            root = self._root if is_main else None
            written = schema if root is None else schema.append(FRAMES_VIDEO)
            describer = RangeDescriber(number, entries, has_actions=is_main, root=root)
            writers[table] = FilesWriter(start, written, describer)
        for rows in self._rows(number, entries, sources):
            if self._root is not None:
                clip = pa.array([f"{self._root}/{rows[MAIN]['frames'][0].as_py()}"])
                rows[MAIN] = rows[MAIN].append_column(FRAMES_VIDEO, clip)
            num_frames = len(rows[MAIN]["actions"][0])
            for table, writer in writers.items():
                writer.write(rows[table], num_frames)
        for writer in writers.values():
            writer.close()
        return {table: writer.files for table, writer in writers.items()}

    def _rows(self, number: int, entries: Sequence[Entry], sources: _Sources) -> Iterator[Rows]:
        """The rows of a range: from records, else from its files, else from those that were put back."""
        keys, stored = sources.stored.keys(number), sources.stored.rows(number)
        for entry in until_interrupted(entries):
            if entry.clip in sources.waiting:
                rows = self._read_records(self._work / RECORDS, entry.clip)
                if rows is not None and _key(rows) != entry.key:  # copied from a run that numbered otherwise
                    path = self._work / RECORDS / record_path(MAIN, entry.clip)
                    raise StoppedError(f"{path} is of {_key(rows)}, not of {entry.key}: delete it, then run again")
            elif entry.key in keys:
                rows = next((rows for rows in stored if _key(rows) == entry.key), None)
            else:
                rows = self._read_records(sources.put_back, entry.clip)
            if rows is None:
                files = ", ".join(map(str, sources.stored.files(MAIN, number)))
                raise StoppedError(f"{entry.key} has no row where it belongs in {files}: delete it, then run again")
            yield rows

    def _read_records(self, folder: Path, number: int) -> Rows | None:
        """A trajectory's row of each table, where they lie as records."""
        rows = {}
        for table in self._schemas:
            path = folder / record_path(table, number)
            if not path.exists():
                return None
            with stop_when_damaged(path), pa.OSFile(str(path)) as file:
                rows[table] = pa.ipc.open_file(file).get_batch(0)
        return rows

    def _put_back(self, ranges: Mapping[int, Sequence[Entry]], sources: _Sources) -> None:
        """Make records of the rows in files of no range, as earlier versions wrote them.

        They are in these files, too, until the swap, so it does not matter when this is interrupted.
        """
        shutil.rmtree(sources.put_back, ignore_errors=True)
        keys = sources.stored.keys(None)
        if not keys:
            return
        logger.info(f"The rows of {self._folder} are brought into the order of clip numbers, once")
        numbers = {entry.key: entry.clip for entries in ranges.values() for entry in entries}
        for rows in progress(sources.stored.rows(None), "Reordering rows", total=len(keys), unit="row"):
            if (number := numbers.get(_key(rows))) is not None:
                for table, row in rows.items():
                    path = sources.put_back / record_path(table, number)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, row.schema) as ipc:
                        ipc.write_batch(row)


def _key(rows: Rows) -> str:
    key: str = rows[MAIN]["source"][0].as_py()
    return key
