"""Members of a zip archive, read in place.

The central directory is read once, by the process that lists episodes, and handed on as `ZipMember`s: plain tuples of
offsets, so that each worker reads with handles of its own. Every member that is read whole is checked against its
CRC-32.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, BinaryIO, NamedTuple, cast

from dataset_upload.errors import EpisodeError, Reason, UsageError
from dataset_upload.storage.byte_source import ByteSource
from dataset_upload.storage.range_file import RangeFile, Ranges, Spool

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_MAX_LOCAL_HEADER_BYTES = _LOCAL_HEADER.size + 2 * 0xFFFF
_ENCRYPTED = 0x1
_TAIL_BYTES = 66 * 1024  # holds every record that leads to the directory, and a small directory as well
_MAX_DIRECTORY_BYTES = 2**30  # that of all of EgoDex takes about 80 MB
_MAX_RATIO = 100  # what deflate does to video and poses is far below; to zeros it does 1000
_ALWAYS_ALLOWED_BYTES = 32 * 2**20
_CHUNK_BYTES = 2**20


class ZipMember(NamedTuple):
    """Where a member lies: its local header and its data are within [start, end) of the archive."""

    source: ByteSource
    name: str
    start: int
    end: int
    compressed_size: int
    size: int
    method: int
    crc: int

    def __str__(self) -> str:
        return f"{self.source.redacted_location}/{self.name}"


def list_members(source: ByteSource) -> list[ZipMember]:
    """The files of an archive, in the order in which they lie there.

    Raises:
        UsageError: it is no zip archive, cannot be read, holds a name that tries to escape from a folder, or is
            compressed or encrypted in a way that cannot be read.
    """
    try:
        tail = _TailFirst(source)
        with zipfile.ZipFile(cast(BinaryIO, RangeFile(tail, 0, source.size))) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
            directory_start = archive.start_dir
        if entries and entries[0].header_offset < 0:
            raise zipfile.BadZipFile("its beginning is missing")
    except EpisodeError as error:
        raise UsageError(str(error)) from error
    except (zipfile.BadZipFile, struct.error, OSError, ValueError, NotImplementedError) as error:
        raise UsageError(f"{source.redacted_location} is not a complete zip archive ({error})") from error
    starts = [*(entry.header_offset for entry in entries), directory_start]
    return [
        _member(source, entry, next_start, directory_start)
        for entry, next_start in zip(entries, starts[1:], strict=True)
        if entry.filename and not entry.is_dir()
    ]


def is_stored(member: ZipMember) -> bool:
    """Whether a member lies uncompressed in its archive."""
    return member.method == zipfile.ZIP_STORED


def data_start(member: ZipMember, region: BinaryIO) -> int:
    """Where in its region a member's data begins. Raises EpisodeError if there is no member.

    Args:
        region: bytes [member.start, member.end) of the archive.
    """
    region.seek(0)
    header = region.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_SIGNATURE):
        raise _damaged(member, "no local header where the directory says")
    *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    start: int = _LOCAL_HEADER.size + name_length + extra_length
    if member.start + start + member.compressed_size > member.end:
        raise _damaged(member, "there is no room for it where the directory says")
    if is_stored(member) and member.size != member.compressed_size:
        raise _damaged(member, f"it has {member.compressed_size} bytes, the archive says {member.size}")
    return start


def open_stored(member: ZipMember) -> Callable[[], BinaryIO]:
    """Check an uncompressed member's CRC.

    Returns:
        What opens the member where it lies, any number of times.

    Raises:
        EpisodeError: the member is damaged.
    """
    start = member.start + data_start(member, member_region(member))
    end = start + member.size
    crc = 0
    for position in range(start, end, _CHUNK_BYTES):
        crc = zlib.crc32(member.source.read(position, min(position + _CHUNK_BYTES, end)), crc)
    _check_crc(member, crc)
    return partial(_open, member.source, start, end)


def unpack(member: ZipMember, region: BinaryIO) -> Callable[[], BinaryIO]:
    """Unpack a member into memory, or beyond 32 MB into an unnamed temporary file, checking its CRC.

    Args:
        region: bytes [member.start, member.end) of the archive.

    Returns:
        What opens the content, any number of times.

    Raises:
        EpisodeError: the member is damaged.
    """
    if member.size > max(_ALWAYS_ALLOWED_BYTES, _MAX_RATIO * member.compressed_size):
        what = f"{member.compressed_size} bytes claim to unpack to {member.size}"
        raise EpisodeError(Reason.TOO_LARGE, f"Error loading trajectory {member}: {what}")
    region.seek(data_start(member, region))
    content = Spool(member.size)
    crc = size = 0
    for chunk in _inflated(member, region):
        if size + len(chunk) > member.size:
            raise _damaged(member, f"it is longer than the {member.size} bytes that the archive says")
        content.write(size, chunk)
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
    if size < member.size:
        raise _damaged(member, f"it ends after {size} of {member.size} bytes")
    _check_crc(member, crc)
    return partial(_open, content, 0, size)


def member_region(member: ZipMember) -> BinaryIO:
    """Bytes [member.start, member.end) of the archive as a file."""
    return _open(member.source, member.start, member.end)


def _open(ranges: Ranges, start: int, end: int) -> BinaryIO:
    return cast(BinaryIO, RangeFile(ranges, start, end))


def _inflated(member: ZipMember, file: IO[bytes]) -> Iterator[bytes]:
    """A member's content in pieces of at most 1 MB."""
    remaining = member.compressed_size
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        while remaining and (chunk := file.read(min(remaining, _CHUNK_BYTES))):
            remaining -= len(chunk)
            if is_stored(member):
                yield chunk
                continue
            while chunk and not inflate.eof:
                yield inflate.decompress(chunk, _CHUNK_BYTES)
                chunk = inflate.unconsumed_tail
        yield inflate.flush()
    except zlib.error as error:
        raise _damaged(member, str(error)) from error


class _TailFirst:
    """An archive as zipfile reads it: in many little steps at the end, then the directory at one go."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._tail_start = max(0, source.size - _TAIL_BYTES)
        self._tail = source.read(self._tail_start, source.size)

    def read(self, start: int, end: int) -> bytes:
        if start >= self._tail_start:
            return self._tail[start - self._tail_start : end - self._tail_start]
        if end - start > _MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its directory is over 1 GiB")
        return self._source.read(start, end)


def _member(source: ByteSource, entry: zipfile.ZipInfo, next_start: int, directory_start: int) -> ZipMember:
    if entry.filename.startswith("/") or ".." in entry.filename.split("/") or "\\" in entry.filename:
        raise UsageError(
            f"{source.redacted_location} holds a member named {entry.filename!r}, which leads out of a "
            "folder; this is no EgoDex archive"
        )
    if entry.flag_bits & _ENCRYPTED or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UsageError(
            f"{source.redacted_location} holds {entry.filename} encrypted or compressed by method "
            f"{entry.compress_type}; unpack it and give the folder"
        )
    # Only the local header itself says how long it is. The next member bounds it, unless one of the two lies, or
    # there is a hole between them.
    end = entry.header_offset + _MAX_LOCAL_HEADER_BYTES + entry.compress_size
    if next_start >= entry.header_offset + _LOCAL_HEADER.size + len(entry.filename) + entry.compress_size:
        end = min(end, next_start)
    return ZipMember(
        source=source,
        name=entry.filename,
        start=entry.header_offset,
        end=min(end, directory_start),
        compressed_size=entry.compress_size,
        size=entry.file_size,
        method=entry.compress_type,
        crc=entry.CRC,
    )


def _check_crc(member: ZipMember, crc: int) -> None:
    if crc != member.crc:
        raise _damaged(member, f"its CRC-32 is {crc:08x}, the archive says {member.crc:08x}")


def _damaged(member: ZipMember, how: str) -> EpisodeError:
    return EpisodeError(Reason.UNREADABLE_SOURCE, f"Error loading trajectory {member}: damaged in the archive: {how}")
