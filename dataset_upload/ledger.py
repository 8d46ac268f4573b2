"""What is done, what was skipped, what failed: an append-only file that a resumed run goes by."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from dataset_upload.errors import EpisodeError, UsageError
from dataset_upload.logs import logger

if TYPE_CHECKING:
    from dataset_upload.conversion import Conversion, Job

DONE, SKIPPED, FAILED = "done", "skipped", "failed"

_SECONDS_BETWEEN_FLUSHES = 2.0


class Entry(NamedTuple):
    """What became of one episode."""

    key: str
    status: str  # done, skipped or failed
    clip: int  # clip number: kept for good, whatever becomes of the episode
    source_bytes: int
    source_mtime_ns: int
    reason: str | None = None  # of a skip or a failure
    message: str | None = None  # one line for people
    note: str | None = None  # what had to be mended, in one line
    clip_bytes: int | None = None
    clip_sha256: str | None = None
    seconds: float | None = None  # that the conversion took

    @property
    def source_state(self) -> tuple[int, int]:
        return (self.source_bytes, self.source_mtime_ns)

    @classmethod
    def of_error(cls, job: Job, error: EpisodeError) -> Entry:
        status = SKIPPED if error.reason.is_skip else FAILED
        reason, message = error.reason.value, str(error)
        return cls(job.key, status, job.clip_number, *job.source_state, reason=reason, message=message)

    @classmethod
    def of_conversion(cls, job: Job, conversion: Conversion) -> Entry:
        return cls(
            job.key,
            DONE,
            job.clip_number,
            *job.source_state,
            note=conversion.note,
            clip_bytes=conversion.clip_bytes,
            clip_sha256=conversion.clip_sha256,
            seconds=round(conversion.seconds, 3),
        )


class Ledger:
    """The ledger of one dataset: JSON lines, the first the settings of the rows, then one an episode.

    The last line about an episode counts. A line is handed to the operating system as it is written, so that it
    outlives this process, and every two seconds the lines are made to outlive a power cut. A line that one has torn
    is ignored: its episode is converted again.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Open or create the ledger.

        Args:
            path: `<name>/ledger.jsonl`.
            settings: what decides the bytes of the result.

        Raises:
            UsageError: the ledger's rows were made with other settings, or its first line is damaged.
        """
        self.entries: dict[str, Entry] = {}
        self._path = path
        self._fingerprint = fingerprint(settings)
        self._last_flush = time.monotonic()
        if path.exists():
            kept_bytes, stored_settings = self._read()
            if stored_settings is not None and stored_settings != settings:
                raise UsageError(_difference(path.parent, stored_settings, settings))
            os.truncate(path, kept_bytes)
        else:
            kept_bytes = 0
        self._file = path.open("ab", buffering=0)
        if kept_bytes == 0:
            self._write({"settings": settings})
            self.flush()

    def append(self, entry: Entry) -> None:
        """Write what became of an episode."""
        fields = {name: value for name, value in entry._asdict().items() if value is not None}
        self._write({**fields, "config": self._fingerprint})
        self.entries[entry.key] = entry
        if time.monotonic() - self._last_flush > _SECONDS_BETWEEN_FLUSHES:
            self.flush()

    def flush(self) -> None:
        """Make all lines durable."""
        os.fsync(self._file.fileno())
        self._last_flush = time.monotonic()

    def is_settled(self, key: str, source_state: tuple[int, int]) -> bool:
        """Whether an episode needs no work: done or skipped, from the files as they are now."""
        entry = self.entries.get(key)
        return entry is not None and entry.status != FAILED and entry.source_state == source_state

    def clip_numbers(self, keys: Sequence[str]) -> dict[str, int]:
        """Give each episode its clip number, for good.

        Args:
            keys: episodes in the order of selection. One without a number gets its place in that order, so that
                numbers depend neither on failures nor on what finishes first; or, where the source has grown and
                that number is taken, the next free one.
        """
        numbers = {key: entry.clip for key, entry in self.entries.items()}
        taken = set(numbers.values())
        next_free = max([len(keys), *(number + 1 for number in taken)])
        for position, key in enumerate(keys):
            if key in numbers:
                continue
            if position in taken:
                position, next_free = next_free, next_free + 1
            numbers[key] = position
            taken.add(position)
        return {key: numbers[key] for key in keys}

    def rows_digest(self) -> str:
        """A fingerprint of the rows that the ledger says are done."""
        rows = sorted((entry.key, entry.clip, entry.clip_sha256) for entry in self.with_status(DONE))
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def with_status(self, status: str) -> Iterator[Entry]:
        return (entry for entry in self.entries.values() if entry.status == status)

    def count_reasons(self, status: str) -> dict[str, int]:
        """Number of entries of a status by reason, most frequent first."""
        return dict(Counter(entry.reason or status for entry in self.with_status(status)).most_common())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.flush()
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        data = (json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
        self._file.write(data)

    def _read(self) -> tuple[int, dict[str, Any] | None]:
        """Read all whole lines; returns how many bytes they take, and the settings they begin with."""
        kept_bytes, settings = 0, None
        with self._path.open("rb") as file:
            for line_number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                kept_bytes += len(line)
                try:
                    fields = json.loads(line)
                    if line_number == 1:
                        settings = fields["settings"]
                    elif fields.pop("config") == fingerprint(settings):
                        entry = Entry(**fields)
                        self.entries[entry.key] = entry
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    if line_number == 1:
                        raise UsageError(
                            f"{self._path} does not begin with the dataset's settings; restore it from a backup, or "
                            "give --output.overwrite=true to convert everything again"
                        ) from error
                    logger.warning(
                        f"Warning: {self._path}, line {line_number} is damaged: its episode is converted again"
                    )
        return kept_bytes, settings


def fingerprint(settings: dict[str, Any] | None) -> str:
    """A short name for one set of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def _difference(folder: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> str:
    differences = ", ".join(
        f"--output.{name}={json.dumps(stored.get(name))} there, {json.dumps(wanted.get(name))} now"
        for name in sorted({*stored, *wanted})
        if stored.get(name) != wanted.get(name)
    )
    return (
        f"{folder} was made with other settings ({differences}); give --output.overwrite=true to replace it, "
        "or another --dataset.dataset_name"
    )
