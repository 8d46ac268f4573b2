"""What an MP4 file claims to hold, read before a decoder believes it.

A file of one kilobyte can claim a hundred million samples, and FFmpeg writes an index of them all when it opens the
file. Which of its boxes FFmpeg looks for claims in, and in what nesting, is its own affair: so this reads everything
but the media data, and finds a claim wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from dataset_upload.errors import EpisodeError, Reason

MAX_SAMPLES = 500_000  # 4.6 hours at 30 frames per second
MAX_SAMPLE_BYTES = 32 * 2**20  # read into memory at once
_MAX_HEADER_BYTES, _MAX_HEADER_BYTES_PER_SAMPLE = 2**20, 48  # of tables a sample takes 12 to 44 bytes

_START_BYTES = 16  # of a box: its size, its name, its size if that takes more than four bytes
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid")
# Boxes by which claims could come from places that are not read here: fragments of a video, each with an index of its
# own, tables of where these lie, and a compressed index.
_ELSEWHERE = re.compile(b"moof|sidx|mfra|cmov")


def check_claims(file: BinaryIO, name: str) -> None:
    """Refuse what is no plain MP4 file, or claims more or larger samples than any episode has.

    Args:
        file: seekable.
        name: what error messages call it.

    Raises:
        EpisodeError: UNREADABLE_VIDEO, TOO_LARGE.
    """
    header = _header(file, name)
    if found := _ELSEWHERE.search(header):
        kind = "a compressed index" if found[0] == b"cmov" else "fragments"
        raise EpisodeError(
            Reason.UNREADABLE_VIDEO,
            f"Error: Video file has {kind}, which is not supported; copy it with `ffmpeg -i IN -c copy OUT`: {name}",
        )
    samples = sum(_integer(header, box + 12) for box in _boxes(header, b"stsz|stz2"))
    edits = max((_integer(header, box + 8) for box in _boxes(header, b"elst")), default=1)
    samples *= max(1, edits)  # every edit can play every sample again, and adds it to the index again
    if samples > MAX_SAMPLES:
        raise _too_large(f"claims {samples} samples", MAX_SAMPLES, name)
    largest = max((_largest_sample(header, box) for box in _boxes(header, b"stsz")), default=0)
    if largest > MAX_SAMPLE_BYTES:
        raise _too_large(f"claims a sample of {largest} bytes", MAX_SAMPLE_BYTES, name)
    limit = _MAX_HEADER_BYTES + _MAX_HEADER_BYTES_PER_SAMPLE * samples
    if len(header) > limit:
        raise _too_large(f"has {len(header)} bytes around its {samples} samples", limit, name)


def _header(file: BinaryIO, name: str) -> bytes:
    """All top-level boxes of a file, of those of media data only their first bytes."""
    limit = _MAX_HEADER_BYTES + _MAX_HEADER_BYTES_PER_SAMPLE * MAX_SAMPLES
    header = bytearray()
    position, end = 0, file.seek(0, 2)
    while position + 8 <= end:
        file.seek(position)
        start = file.read(_START_BYTES)
        size, kind = _integer(start, 0), start[4:8]
        if position == 0 and kind not in _FIRST_BOXES:
            raise EpisodeError(
                Reason.UNREADABLE_VIDEO, f"Error: Could not open video file: {name} (it is not an MP4 file)"
            )
        if size == 1:  # too large for four bytes
            size = int.from_bytes(start[8:16], "big")
        if size == 0:  # up to the end
            size = end
        if size < 8:  # no box, so nothing can be found after it
            break
        size = min(size, end - position)
        wanted = min(size, _START_BYTES) if kind == b"mdat" else size
        if len(header) + wanted > limit:
            raise _too_large(f"has over {limit} bytes beside its media data", limit, name)
        file.seek(position)
        header += file.read(wanted)
        position += size
    return bytes(header)


def _boxes(header: bytes, kinds: bytes) -> Iterator[int]:
    """Where boxes of these kinds have their names."""
    return (found.start() for found in re.finditer(kinds, header))


def _largest_sample(header: bytes, box: int) -> int:
    """The size of the largest sample that a box of sample sizes tells of, in bytes."""
    if same := _integer(header, box + 8):
        return same
    table = header[box + 16 : box + 16 + 4 * _integer(header, box + 12)]
    return int(np.frombuffer(table, ">u4", len(table) // 4).max(initial=0))


def _integer(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "big")


def _too_large(what: str, limit: int, name: str) -> EpisodeError:
    return EpisodeError(Reason.TOO_LARGE, f"Error: Video file {what}, the limit is {limit}: {name}")
