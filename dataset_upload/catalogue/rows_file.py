"""Finished rows, in files that are only appended to: what a run that goes on need not do again.

A file's first line says which columns rows have, each other line holds a row. What a killed run has left of a last line
is cut off. Rows of other columns, of another version of this package say, count for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from dataset_upload import __version__
from dataset_upload.errors import UsageError
from dataset_upload.jobs import Job, SourceState
from dataset_upload.storage.locks import LockedError, exclusive_lock

Row = dict[str, Any]  # by column; one that is missing is null
Status = Literal["measured", "skipped", "failed"]  # skipped: there is nothing to measure; failed: to be tried again


class Place(NamedTuple):
    """Where a row lies."""

    path: Path
    offset: int
    status: Status
    reason: str | None  # why the episode cannot be converted, or not be measured


class RowsFile:
    """One file of rows, open to be added to."""

    def __init__(self, file: IO[bytes], columns: list[str]) -> None:
        self._file = file
        self._columns = columns

    def append(self, job: Job, row: Row, status: Status) -> None:
        """Add an episode's row, which outlives this process. Raises OSError."""
        values = [row.get(column) for column in self._columns]
        self._file.write(_line({"key": job.key, "state": job.source_state, "status": status, "row": values}))
        self._file.flush()


@contextmanager
def open_rows(path: Path, columns: list[str]) -> Iterator[RowsFile]:
    """Open a file of rows, or make it. Raises UsageError where another run has it open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive_lock(path, wait=False), path.open("r+b") as file:
            header = _header(columns)
            end = max((line.end for line in _lines(path, columns)), default=len(header))
            if file.readline() != header:
                file.seek(0)
                file.write(header)
            file.seek(end)
            file.truncate()
            yield RowsFile(file, columns)
    except LockedError as error:
        raise UsageError(f"another run is writing {path}; wait for it, or give each a --shard of its own") from error


def find_rows(folder: Path, columns: list[str], states: Mapping[str, SourceState]) -> dict[str, Place]:
    """Where rows are in a folder of such files, by the episode's key: those made of its files as they are now.

    Args:
        states: of the files of each episode, by its key.
    """
    places: dict[str, Place] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in _lines(path, columns):
            key, (num_bytes, versions) = line.content["key"], line.content["state"]
            if states.get(key) != (num_bytes, tuple(versions)):
                continue
            if key not in places or line.content["status"] != "failed":
                reason = line.content["row"][columns.index("reason")]
                places[key] = Place(path, line.offset, line.content["status"], reason)
    return places


def read_row(place: Place, columns: list[str]) -> Row:
    """The row at a place."""
    with place.path.open("rb") as file:
        file.seek(place.offset)
        return dict(zip(columns, json.loads(file.readline())["row"], strict=True))


class _Line(NamedTuple):
    offset: int
    end: int
    content: dict[str, Any]


def _lines(path: Path, columns: list[str]) -> Iterator[_Line]:
    """The whole lines after the first; none where that is of other columns."""
    with path.open("rb") as file:
        header = file.readline()
        if header != _header(columns):
            return
        offset = len(header)
        for raw in file:
            try:
                content = json.loads(raw)
            except ValueError:  # a power cut can leave anything
                return
            if not raw.endswith(b"\n"):
                return
            yield _Line(offset, offset + len(raw), content)
            offset += len(raw)


def _header(columns: list[str]) -> bytes:
    return _line({"version": __version__, "columns": columns})


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"  # ASCII: a name may be no UTF-8
