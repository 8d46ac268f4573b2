"""What is done, what was skipped, what failed: an append-only file that a resumed run goes by."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from dataset_upload.console.logs import logger
from dataset_upload.errors import EpisodeError, UsageError
from dataset_upload.jobs import Job, Piece, SourceState
from dataset_upload.ledger_header import FORMAT, FORMAT_OF_ANOTHER_ORDER, Origin, check_first_line
from dataset_upload.shard import Shard

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
REOPENED = "reopened"  # was done, but is to be done again
MEASURED = "measured"  # no rule is against it, and it is to be done
FILTERED = "filtered: "  # how the reason begins where a rule is against an episode

# How much a power cut may cost: lines, seconds.
_LINES_BETWEEN_FLUSHES, _SECONDS_BETWEEN_FLUSHES = 64, 2.0


class Entry(NamedTuple):
    """What became of one episode."""

    key: str
    status: str  # done, skipped, failed, reopened or measured
    clip: int  # clip number: kept for good, whatever becomes of the episode
    source_bytes: int
    source_versions: tuple[int, ...]  # of each of its files: modification time in ns, or the CRC-32 in a zip
    reason: str | None = None  # of a skip or a failure
    message: str | None = None  # one line for people
    note: str | None = None  # what had to be mended, in one line
    clip_bytes: int | None = None
    clip_sha256: str | None = None
    clip_cpu: str | None = None  # the processor's extensions that the clip's encoder used, where its bytes tell
    drawn: bool | None = None  # True: the episode was not filmed
    task: str | None = None  # the name of its task; before 0.2 only its key told it
    seconds: float | None = None  # that the conversion took
    measures: tuple[tuple[str, Any], ...] = ()  # names and values of those that rules have asked for

    @property
    def source_state(self) -> SourceState:
        return (self.source_bytes, self.source_versions)

    @property
    def is_filtered(self) -> bool:
        """Whether a rule left it out, which every run decides again."""
        return self.status == SKIPPED and (self.reason or "").startswith(FILTERED)

    @property
    def task_name(self) -> str:
        """The name of its task."""
        return self.task if self.task is not None else self.key.split("/")[-2]

    @classmethod
    def of_error(cls, job: Job, error: EpisodeError) -> Entry:
        status = SKIPPED if error.reason.is_skip else FAILED
        reason, message = error.reason.value, str(error)
        return cls(job.key, status, job.number, *job.source_state, reason=reason, message=message)

    @classmethod
    def of_measures(cls, job: Job, measures: Mapping[str, Any]) -> Entry:
        task = job.episode.task_name
        return cls(job.key, MEASURED, job.number, *job.source_state, task=task, measures=tuple(measures.items()))

    @classmethod
    def of_piece(cls, job: Job, piece: Piece) -> Entry:
        return cls(
            job.key,
            DONE,
            job.number,
            *job.source_state,
            note=piece.note,
            clip_bytes=piece.media_bytes,
            clip_sha256=piece.media_sha256,
            clip_cpu=piece.encoder_cpu,
            drawn=piece.is_drawn or None,
            task=job.episode.task_name,
            seconds=round(piece.seconds, 3),
        )


class Contents(NamedTuple):
    """What a ledger says.

    Attributes:
        entries: the last line about each episode, by its key.
        cpus: what of processors its clips depend on, one a kind of processor.
        num_bytes: its length up to the last whole line.
    """

    entries: dict[str, Entry]
    cpus: list[str]
    num_bytes: int = 0


class Ledger:
    """A ledger that is written: JSON lines, the first the settings of the rows, then one an episode.

    The ledger of a dataset, or of a shard, which goes by what the others say, too.

    The last line about an episode counts. A line is handed to the operating system as it is written, so that it
    outlives this process; `flush`, when `is_flush_due`, makes it outlive a power cut. Each line but the first ends with
    a checksum: one that is torn or damaged is ignored, and its episode is converted again.

    Attributes:
        entries: the last word on each episode, by its key.
        numbered: those of them whose clip numbers all machines know: what the dataset's own ledger says.
        cpus: what of processors clips depend on, one a kind of processor.
        shard: whose ledger it is; None: the dataset's.
    """

    shard: Shard | None = None

    def __init__(
        self,
        path: Path,
        settings: dict[str, Any],
        defaults: Mapping[str, Any] = {},
        part: str | None = None,
        *,
        any_cpu: bool = False,
    ) -> None:
        """Open or create the ledger.

        Args:
            path: `<name>/ledger.jsonl`.
            settings, defaults, part: as an `Origin`'s.
            any_cpu: whether clips may be made on any kind of processor.

        Raises:
            UsageError: as `check_header`.
            OSError: it cannot be read or written.
        """
        self.entries, self.cpus, num_bytes = read_ledger(path, Origin(settings, defaults, part))
        self.numbered = self.entries
        self._path = path
        self._any_cpu = any_cpu
        self._last_flush = time.monotonic()
        self._num_unflushed = 0
        self._file = path.open("ab", buffering=0)
        self._file.truncate(num_bytes)
        if num_bytes > 0:
            self._keep_earlier_versions_away()
        else:
            self._write(_json({"format": FORMAT, "part": part, "settings": settings}) + b"\n")
            self.flush()

    def append(self, entry: Entry) -> None:
        """Write what became of an episode; what was measured of the same files stays known."""
        before = self.entries.get(entry.key)
        if not entry.measures and before is not None and before.source_state == entry.source_state:
            entry = entry._replace(measures=before.measures)
        known = {**entry._asdict(), "measures": dict(entry.measures) or None}
        fields = {name: value for name, value in known.items() if value is not None}
        self._write(_with_checksum(_json(fields)))
        self.entries[entry.key] = entry
        self._num_unflushed += 1

    def admit(self, cpu: str) -> None:
        """Write what of the processor clips depend on, unless it stands there.

        Raises:
            UsageError: clips were made on another kind of processor, and any is not as good.
        """
        if cpu in self.cpus:
            return
        before = self.known_cpus(cpu)
        if before and cpu not in before and not self._any_cpu:
            raise UsageError(
                f"clips are made on another kind of processor here, {cpu}, than those so far, {before[0]}: their bytes "
                "may differ, though they look alike; go on there, or give `any_cpu=true`"
            )
        if not before and any(self.with_status(DONE)):
            logger.info(f"{self._path} tells of no processor: its clips are taken to be of one like this, {cpu}")
        self._write(_with_checksum(_json({"cpu": cpu})))
        self.cpus.append(cpu)

    def known_cpus(self, cpu: str) -> list[str]:
        """What clips of the dataset depend on so far, before the first one of a processor is added."""
        return self.cpus

    @property
    def is_flush_due(self) -> bool:
        """Whether lines should be made durable: there are 64, or some, and the last flush is two seconds ago."""
        is_old = time.monotonic() - self._last_flush > _SECONDS_BETWEEN_FLUSHES
        return self._num_unflushed >= _LINES_BETWEEN_FLUSHES or (self._num_unflushed > 0 and is_old)

    def reopen(self, key: str) -> None:
        """Write that an episode is done no longer, before its clip is replaced: its row would not fit the new clip."""
        self.append(self.entries[key]._replace(status=REOPENED))

    def flush(self) -> None:
        """Make all lines durable."""
        os.fsync(self._file.fileno())
        self._last_flush = time.monotonic()
        self._num_unflushed = 0

    def is_settled(self, key: str, source_state: SourceState) -> bool:
        """Whether an episode needs no work: done or skipped from the files as they are now, or done from files of which
        some are out of reach now, deleted say, or on a disk that is not there; but rules always decide again."""
        entry = self.entries.get(key)
        if entry is None or entry.status not in (DONE, SKIPPED) or entry.is_filtered:
            return False
        _, versions = source_state
        is_out_of_reach = len(versions) < len(entry.source_versions)
        return entry.source_state == source_state or (entry.status == DONE and is_out_of_reach)

    def clip_numbers(self, keys: Sequence[str]) -> dict[str, int]:
        """Give each episode its clip number, for good.

        Args:
            keys: episodes in the order of selection. One without a number gets its place in that order, so that
                numbers depend neither on failures nor on what finishes first; or, where the source has grown and
                that number is taken, the next free one.
        """
        numbers = {key: entry.clip for key, entry in self.numbered.items()}
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
        return entries_digest(self.with_status(DONE))

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

    def _write(self, line: bytes) -> None:
        while line:  # a disk that is almost full takes a part
            line = line[self._file.write(line) :]

    def _keep_earlier_versions_away(self) -> None:
        """Raise the format's number, which earlier versions then refuse: they know tables of another order only."""
        old, new = (b'{"format":%d,' % number for number in (FORMAT_OF_ANOTHER_ORDER, FORMAT))
        with self._path.open("r+b") as file:
            if file.read(len(old)) == old:
                file.seek(0)
                file.write(new)  # as long as the old: the line is whole at any moment


def read_ledger(path: Path, origin: Origin) -> Contents:
    """Read all whole lines of a ledger, which need not exist. Raises UsageError: as `check_header`."""
    contents = Contents({}, [])
    if not path.exists():
        return contents
    with path.open("rb") as file:
        first = file.readline()
        if not first.endswith(b"\n"):
            return contents
        check_first_line(path, first, *origin)
        num_bytes = len(first)
        for number, (line, fact) in enumerate(_whole_lines(file), start=2):
            num_bytes += len(line)
            if isinstance(fact, Entry):
                contents.entries[fact.key] = fact
            elif fact is not None:
                contents.cpus.append(fact)
            else:
                logger.warning(f"Warning: {path}, line {number} is damaged; its episode is converted again")
    return contents._replace(num_bytes=num_bytes)


def read_entries(path: Path) -> dict[str, Entry]:
    """The last line about each episode, by its key; damaged lines are passed over. Raises OSError."""
    with path.open("rb") as file:
        file.readline()
        return {fact.key: fact for _, fact in _whole_lines(file) if isinstance(fact, Entry)}


def has_entries(path: Path) -> bool:
    """Whether a ledger says anything but its settings."""
    with path.open("rb") as file:
        file.readline()
        return bool(file.readline())


def rows_digest(rows: Iterable[tuple[int, str | None, str]]) -> str:
    """A fingerprint of rows, given as clip number, SHA-256 of the clip, and key, in any order."""
    lines = sorted(f"{clip} {sha256} {key}" for clip, sha256, key in rows)
    return hashlib.sha256("\0".join(lines).encode(errors="surrogateescape")).hexdigest()


def entries_digest(entries: Iterable[Entry]) -> str:
    """A fingerprint of the rows that entries tell of."""
    return rows_digest((entry.clip, entry.clip_sha256, entry.key) for entry in entries)


_CHECKSUM = b',"crc32":'


def _whole_lines(file: BinaryIO) -> Iterator[tuple[bytes, Entry | str | None]]:
    """The lines about episodes and processors, and what each says, None if it is damaged. A torn end is left out."""
    for line in file:
        if line.endswith(b"\n"):
            yield line, _parse(line)


_KNOWN_FIELDS = frozenset(Entry._fields)
# What many entries have in common is kept once: a large ledger takes a third less memory so.
_SHARED_FIELDS = ("status", "reason", "clip_cpu", "task")
_decode = json.JSONDecoder().raw_decode


def _parse(line: bytes) -> Entry | str | None:
    text, _, checksum = line.rpartition(_CHECKSUM)
    if checksum != b'"%08x"}\n' % zlib.crc32(text):
        return None
    try:
        fields, _ = _decode(text.decode() + "}")
        if isinstance(cpu := fields.get("cpu"), str):
            return cpu
        fields["source_versions"] = tuple(fields["source_versions"])
        if "measures" in fields:
            fields["measures"] = tuple((sys.intern(name), value) for name, value in fields["measures"].items())
        for name in _SHARED_FIELDS:
            if name in fields:
                fields[name] = sys.intern(fields[name])
        if not fields.keys() <= _KNOWN_FIELDS:
            fields = {name: value for name, value in fields.items() if name in _KNOWN_FIELDS}
        entry = Entry(**fields)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):  # written by hand
        return None
    return entry if isinstance(entry.key, str) and isinstance(entry.clip, int) else None


def _with_checksum(json_object: bytes) -> bytes:
    text = json_object.removesuffix(b"}")
    return b'%b%b"%08x"}\n' % (text, _CHECKSUM, zlib.crc32(text))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
