"""Xet storage, as far as uploading goes: chunks arrive in xorbs, and shards say how chunks make up files.

A xorb is a run of chunks, each behind 8 bytes: version 0, compressed length (3 bytes), compression (0 none, 1 LZ4,
2 LZ4 over four interleaved groups of bytes), length (3 bytes). A shard is a header and then records of 48 bytes:
for each file one with its hash, flags and number of segments; its segments (xorb, flags, length, first chunk, chunk
after the last); if flagged, one verification a segment and one record with the file's SHA-256; at the end a hash of
ones. What follows, the xorbs' own lists of chunks, is not needed to rebuild files. Integers are little-endian.
"""

from __future__ import annotations

import hashlib
import struct

import pyarrow as pa

SHARD_TAG = b"HFRepoMetaData\0UigEj{\x81W\x83\xa5\xbd\xd9\\\xcd\xd1J\xa9"
HEADER_BYTES = 48
RECORD_BYTES = 48
END_OF_FILES = b"\xff" * 32
WITH_VERIFICATION, WITH_SHA256 = 1 << 31, 1 << 30


class XetError(ValueError):
    """An upload that is not what it claims to be."""


class XetStore:
    """Keeps chunks; rebuilds files from them and checks their SHA-256.

    Attributes:
        objects: finished files by SHA-256, shared with whoever serves them.
        xorbs: the chunks of each xorb, by its hash.
    """

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.xorbs: dict[str, list[bytes]] = {}

    def add_xorb(self, xorb_hash: str, body: bytes) -> bool:
        """Take in a xorb; returns whether it is new. Raises XetError where it cannot be read."""
        is_new = xorb_hash not in self.xorbs
        self.xorbs[xorb_hash] = read_chunks(body)
        return is_new

    def add_shard(self, body: bytes) -> None:
        """Rebuild the files of a shard. Raises XetError where chunks are missing or the bytes are not the file's."""
        for segments, sha256 in read_files(body):
            content = b"".join(self._segment(*segment) for segment in segments)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise XetError(f"the chunks do not make up a file of SHA-256 {sha256}")
            self.objects[sha256] = content

    def _segment(self, xorb_hash: str, length: int, first: int, end: int) -> bytes:
        if xorb_hash not in self.xorbs:
            raise XetError(f"xorb {xorb_hash} was never uploaded")
        content = b"".join(self.xorbs[xorb_hash][first:end])
        if len(content) != length:
            raise XetError(f"chunks {first} to {end} of xorb {xorb_hash} are not {length} bytes")
        return content


def read_chunks(xorb: bytes) -> list[bytes]:
    """The chunks of a xorb, decompressed."""
    chunks = []
    position = 0
    while position < len(xorb) and xorb[position : position + 7] != b"XETBLOB":  # where an optional footer begins
        header = xorb[position : position + 8]
        stored, length = (int.from_bytes(header[at : at + 3], "little") for at in (1, 5))
        position += 8
        chunk = decompress(xorb[position : position + stored], header[4], length)
        if header[0] != 0 or len(chunk) != length:
            raise XetError("not a xorb")
        chunks.append(chunk)
        position += stored
    return chunks


def decompress(data: bytes, compression: int, length: int) -> bytes:
    """A chunk as it was before compression."""
    if compression == 0:
        return data
    plain: bytes = pa.decompress(data, decompressed_size=length, codec="lz4", asbytes=True)  # LZ4 frames
    if compression == 1:
        return plain
    groups = bytearray(length)
    start = 0
    for group in range(4):
        count = (length - group + 3) // 4
        groups[group::4] = plain[start : start + count]
        start += count
    return bytes(groups)


def read_files(shard: bytes) -> list[tuple[list[tuple[str, int, int, int]], str]]:
    """The files of a shard: for each its segments (xorb, bytes, first chunk, end) and its SHA-256."""
    if not shard.startswith(SHARD_TAG):
        raise XetError("not a shard")
    records = [shard[at : at + RECORD_BYTES] for at in range(HEADER_BYTES, len(shard), RECORD_BYTES)]
    files = []
    position = 0
    while records[position][:32] != END_OF_FILES:
        flags, count = struct.unpack_from("<II", records[position], 32)
        if not flags & WITH_SHA256:
            raise XetError("a file without its SHA-256")
        segments = []
        for record in records[position + 1 : position + 1 + count]:
            _, length, first, end = struct.unpack_from("<IIII", record, 32)
            segments.append((hash_text(record[:32]), length, first, end))
        position += 1 + count * (2 if flags & WITH_VERIFICATION else 1)
        files.append((segments, hash_text(records[position][:32])))
        position += 1
    return files


def hash_text(raw: bytes) -> str:
    """How a hash is written: as four 64-bit numbers in hexadecimal."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))
