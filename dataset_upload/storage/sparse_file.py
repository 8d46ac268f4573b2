"""A long remote file of which only parts are fetched."""

from __future__ import annotations

from collections.abc import Iterable

from dataset_upload.storage.byte_source import ByteSource
from dataset_upload.storage.range_file import RangeFile, Spool

_LOOK_AHEAD = 256 * 1024  # fetched after a byte that nobody has announced: a header, the index at the end
_MAX_GAP = 128 * 1024  # two ranges as near as this cost less as one
_MAX_REQUEST = 8 * 2**20


class FetchedRanges:
    """Bytes [start, end) of a source, of which each is fetched when it is first read, and kept."""

    def __init__(self, source: ByteSource, start: int, end: int) -> None:
        self._source = source
        self._start = start
        self._size = end - start
        self._kept: list[tuple[int, int]] = []  # ascending, apart
        self._spool = Spool(self._size)

    def read(self, start: int, end: int) -> bytes:
        if self._missing(start, end):
            self._fetch(start, min(max(end, start + _LOOK_AHEAD), self._size))
        return self._spool.read(start, end)

    def prefetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch ranges [start, end) in few requests; everything, if they make up more than half of it."""
        ranges = _merged(ranges, _MAX_GAP)
        if sum(end - start for start, end in ranges) > self._size // 2:
            ranges = [(0, self._size)]
        for start, end in ranges:
            self._fetch(start, end)

    def _fetch(self, start: int, end: int) -> None:
        for gap_start, gap_end in self._missing(start, end):
            for position in range(gap_start, gap_end, _MAX_REQUEST):
                data = self._source.read(self._start + position, self._start + min(position + _MAX_REQUEST, gap_end))
                self._spool.write(position, data)
        self._kept = _merged([*self._kept, (start, end)], 0)

    def _missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that have not been fetched."""
        gaps = []
        for kept_start, kept_end in self._kept:
            if start < kept_start and kept_start < end:
                gaps.append((start, kept_start))
            if kept_start < end:
                start = max(start, kept_end)
        return [*gaps, (start, end)] if start < end else gaps


class SparseFile(RangeFile):
    """A file over FetchedRanges. A reader that knows what it will need says so: that costs few requests, not many."""

    _ranges: FetchedRanges

    def prefetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch ranges [start, end) of the file."""
        self._ranges.prefetch((self._start + start, self._start + end) for start, end in ranges)


def _merged(ranges: Iterable[tuple[int, int]], max_gap: int) -> list[tuple[int, int]]:
    """Ranges in ascending order, those up to `max_gap` apart joined."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + max_gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
