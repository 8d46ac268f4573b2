"""Ranges of bytes of one large file, wherever it lies: on disk, behind http(s), or where fsspec reaches."""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from typing import BinaryIO, NamedTuple, cast

from dataset_upload.errors import EpisodeError, Reason, StoppedError, UsageError
from dataset_upload.redaction import redact
from dataset_upload.storage import fsspec_source, http_source

_fetched_bytes = 0
_fetched_lock = threading.Lock()


class ByteSource(NamedTuple):
    """A file that ranges are read from; picklable, holds nothing open.

    Attributes:
        location: a path, or a URL.
        size: bytes.
        version: what tells this version of the file from others of the same size: its ETag, its time; "" if unknown.
    """

    location: str
    size: int
    version: str

    @property
    def redacted_location(self) -> str:
        """The location as messages may show it, also where something follows it."""
        return redact(self.location)

    @property
    def is_local(self) -> bool:
        return "://" not in self.location

    @property
    def is_http(self) -> bool:
        return self.location.startswith(("http://", "https://"))

    def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end).

        Raises:
            EpisodeError: they cannot be read, after many attempts where that makes sense.
            StoppedError: the file has changed since `open_source`, or is gone.
        """
        if self.is_local:
            return _read_local(self, start, end)
        if self.is_http:
            data = http_source.read(self.location, start, end, http_source.HttpFile(self.size, self.version))
        else:
            data = fsspec_source.read(self.location, start, end)
        _count_fetched(len(data))
        return data


def open_source(location: str) -> ByteSource:
    """Look a file up. Raises UsageError if it cannot be read, or its server serves no ranges."""
    source = ByteSource(location, 0, "")
    try:
        if source.is_local:
            return _describe(location, os.stat(location))
        if source.is_http:
            return ByteSource(location, *http_source.probe(location))
        return ByteSource(location, fsspec_source.size(location), "")
    except (EpisodeError, StoppedError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{location} cannot be read ({error.strerror})") from error
    except ValueError:  # whose text may quote a part of the password
        raise UsageError(f"{location} is not a URL") from None


def take_fetched_bytes() -> int:
    """How many bytes this process has fetched from elsewhere since it was last asked."""
    global _fetched_bytes
    with _fetched_lock:
        taken, _fetched_bytes = _fetched_bytes, 0
    return taken


def _count_fetched(num_bytes: int) -> None:
    global _fetched_bytes
    with _fetched_lock:
        _fetched_bytes += num_bytes


def _describe(path: str, status: os.stat_result) -> ByteSource:
    return ByteSource(path, status.st_size, str(status.st_mtime_ns))


@lru_cache(maxsize=16)
def _local_file(source: ByteSource) -> BinaryIO:
    """A local file, opened once in each process; it is closed when the cache has no more room for it."""
    file = open(source.location, "rb", buffering=0)  # noqa: SIM115
    if _describe(source.location, os.fstat(file.fileno())) != source:
        raise StoppedError(f"{source.location} has changed while it was being read")
    return cast(BinaryIO, file)


def _read_local(source: ByteSource, start: int, end: int) -> bytes:
    try:
        file = _local_file(source)
        data = os.pread(file.fileno(), end - start, start)  # no position that a forked process could move
    except OSError as error:
        raise EpisodeError(Reason.UNREADABLE_SOURCE, f"Error reading {source.location}: {error.strerror}") from error
    if len(data) < end - start:
        raise StoppedError(f"{source.location} has been cut short while it was being read")
    return data
