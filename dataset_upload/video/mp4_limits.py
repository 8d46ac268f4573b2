"""How much an MP4 file claims to hold, read before a decoder believes it.

A file of one kilobyte can claim a hundred million samples, and FFmpeg writes an index of them all when it opens the
file. So this looks at the claims first, box by box, reading a few bytes of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from dataset_upload.errors import EpisodeError, Reason

MAX_SAMPLES = 10_000_000  # 92 hours at 30 frames per second
MAX_PIXELS = 8192 * 8192  # of one frame

_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf")

# Where a box says what is looked for, in bytes after its header.
_SAMPLE_COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
_EDIT_COUNT = 4
_HANDLER = 8
_FRAME_SIZE = 40
_BYTES_NEEDED = 16 + 44  # the longest header, and up to the last of these


def check_claims(file: BinaryIO, name: str) -> None:
    """Refuse an MP4 file that claims more samples or larger frames than any episode has.

    Args:
        file: seekable; a file of another kind passes.
        name: what error messages call it.

    Raises:
        EpisodeError: TOO_LARGE.
    """
    samples, edits, in_video_track = 0, 1, False
    for kind, content in _boxes(file):
        if kind == b"trak":
            in_video_track = False
        elif kind == b"hdlr" and content[_HANDLER : _HANDLER + 4] == b"vide":
            in_video_track = True
        elif kind == b"stsd" and in_video_track:
            width, height = _integer(content, _FRAME_SIZE, 2), _integer(content, _FRAME_SIZE + 2, 2)
            if width * height > MAX_PIXELS:
                raise _too_large(f"frames of {width}x{height} pixels", MAX_PIXELS, name)
        elif kind == b"elst":
            edits = max(edits, _integer(content, _EDIT_COUNT, 4))
        elif kind in _SAMPLE_COUNTS:
            samples += _integer(content, _SAMPLE_COUNTS[kind], 4)
    if samples * edits > MAX_SAMPLES:  # every edit can play every sample again, and adds it to the index again
        raise _too_large(f"{samples * edits} samples", MAX_SAMPLES, name)


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Every box in file order, also inside those that hold others: (kind, first bytes after its header)."""
    position, ends = 0, [file.seek(0, 2)]
    while ends:
        if position + 8 > ends[-1]:
            position = ends.pop()
            continue
        file.seek(position)
        start = file.read(_BYTES_NEEDED)
        size, kind, header = _integer(start, 0, 4), start[4:8], 8
        if size == 0:  # up to the end of what holds it
            size = ends[-1] - position
        elif size == 1:  # too large for four bytes
            size, header = _integer(start, 8, 8), 16
        if size < header:  # no box, so nothing can be found after it here
            position = ends.pop()
            continue
        yield kind, start[header:]
        if kind in _PARENTS:
            ends.append(position + size)
            position += header
        else:
            position += size


def _integer(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "big")


def _too_large(claim: str, limit: int, name: str) -> EpisodeError:
    return EpisodeError(Reason.TOO_LARGE, f"Error: Video file claims {claim}, the limit is {limit}: {name}")
