"""Seekable files over anything that is read by ranges of bytes."""

from __future__ import annotations

import io
import os
import tempfile
from typing import Any, Protocol

from dataset_upload.errors import StoppedError

_MAX_IN_MEMORY = 32 * 2**20


class Ranges(Protocol):
    """What is read by ranges: a ByteSource, a Spool, …"""

    def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end), all of them."""


class RangeFile(io.RawIOBase):
    """Bytes [start, end) of something as a seekable file; any number of them read the same thing independently."""

    def __init__(self, ranges: Ranges, start: int, end: int) -> None:
        self._ranges = ranges
        self._start = start
        self._size = end - start
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        data = self._ranges.read(self._start + self._position, self._start + end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class Spool:
    """Bytes kept in memory or, from 32 MB on, in an unnamed temporary file, which is gone when this is."""

    def __init__(self, size: int) -> None:
        """
        Args:
            size: how many bytes there will be; those never written take no space.
        """
        # No `with`: it is open as long as somebody reads. It has no name, so that nothing is left of it even by a kill.
        self._file = io.BytesIO() if size <= _MAX_IN_MEMORY else tempfile.TemporaryFile(buffering=0)  # noqa: SIM115

    def write(self, position: int, data: bytes | memoryview) -> None:
        """Raises StoppedError if the disk is full."""
        try:
            self._file.seek(position)
            while data:
                data = memoryview(data)[self._file.write(data) :]
        except OSError as error:
            raise StoppedError(f"Cannot write a file in {tempfile.gettempdir()}: {error.strerror}") from error

    def read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)

    def __del__(self) -> None:
        self._file.close()
