"""What a table's file says of itself, in Parquet's key-value metadata: its range of clip numbers, and its rows.

Which files are as they should be can be told by their ends, without reading a row; and nothing that is kept elsewhere
can get out of step with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_upload.console.logs import logger
from dataset_upload.formats.statistics import ActionStatistics
from dataset_upload.ledger import Entry, entries_digest

_KEY = "dataset_upload"


@dataclass(frozen=True)
class TableFile:
    """A table's file.

    Attributes:
        path: where it lies.
        num_rows: how many it has.
        range: the range that all of its rows belong to; None: the file does not tell, as those of earlier versions.
        rows: the digest of its rows.
        root: where the clips lie that its column `frames_video` names; None: it has no such column.
        statistics: of its column `actions`, as `ActionStatistics.to_json` has them; None: it does not tell.
    """

    path: Path
    num_rows: int
    range: int | None = None
    rows: str = ""
    root: str | None = None
    statistics: dict[str, Any] | None = None


class RangeDescriber:
    """Has files of one range say what they hold; see `shards.Describer`.

    Args:
        number: the range's.
        entries: of the rows, in their order.
        has_actions: whether the files have the column `actions`.
        root: as in `TableFile`.
    """

    def __init__(self, number: int, entries: Sequence[Entry], *, has_actions: bool, root: str | None) -> None:
        self._number = number
        self._entries = entries
        self._has_actions = has_actions
        self._root = root
        self._start = self._end = 0
        self._statistics = ActionStatistics()

    def add(self, group: pa.Table) -> None:
        self._end += len(group)
        if self._has_actions:
            frames = group["actions"].combine_chunks().flatten()
            self._statistics.add(frames.flatten().to_numpy().reshape(len(frames), -1))

    def take(self) -> dict[str, str]:
        said = {
            "range": self._number,
            "rows": entries_digest(self._entries[self._start : self._end]),
            "root": self._root,
            "statistics": self._statistics.to_json() if self._has_actions else None,
        }
        self._start, self._statistics = self._end, ActionStatistics()
        return {_KEY: json.dumps({name: value for name, value in said.items() if value is not None})}


def read_files(paths: Iterable[Path]) -> Iterator[TableFile]:
    """Files of a table by their ends; one that is damaged there is left out, which is said."""
    for path in paths:
        try:
            metadata = pq.read_metadata(path)
        except (pa.ArrowException, OSError) as error:
            logger.warning(f"Warning: A table of {path.parent} is damaged: {error}")
            continue
        yield TableFile(path, metadata.num_rows, **_told((metadata.metadata or {}).get(_KEY.encode(), b"")))


def _told(text: bytes) -> dict[str, Any]:
    """What a file says of itself, by the names of `TableFile`; nothing where that makes no sense."""
    try:
        said = json.loads(text)
        told = {name: said.get(name) for name in ("range", "rows", "root", "statistics")}
    except (ValueError, AttributeError, RecursionError):
        return {}
    kinds = (int, str, str | None, dict | None)
    return told if all(map(isinstance, told.values(), kinds)) else {}


def without_root(metadata: dict[bytes, bytes]) -> dict[str, str]:
    """What a file says of itself, for one that is the same but for the column `frames_video`."""
    said = {name: value for name, value in json.loads(metadata.get(_KEY.encode(), b"{}")).items() if name != "root"}
    return {_KEY: json.dumps(said)} if said else {}
