"""Files that are either whole or not there, also after a power cut."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def write_flushed(path: Path | str, content: bytes) -> None:
    """Write a file that outlives a power cut as soon as its folder does. Raises OSError, which names the file."""
    try:
        with open(path, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # of a full disk names no file
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_whole(path: Path, text: str) -> None:
    """Write a text file under a temporary name beside its place, then rename it there; no-op if it says so already."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    temporary = path.with_name(f".{path.name}.tmp")
    write_flushed(temporary, text.encode("utf-8"))
    temporary.replace(path)
    flush_folder(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside a file's place, which takes that place as the block ends, and is gone where it fails."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make what was renamed into a folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_media(path: Path, *, flush: bool) -> bytes | dict[str, bytes]:
    """The content of a file, or those of a folder's files by their names; `flush`: make them outlive a power cut."""
    if not path.is_dir():
        return _read(path, flush)
    return {file.name: _read(file, flush) for file in sorted(path.iterdir())}


def _read(path: Path, flush: bool) -> bytes:
    with path.open("rb") as file:
        if flush:
            os.fsync(file.fileno())
        return file.read()


def size_and_sha256(media: bytes | Mapping[str, bytes]) -> tuple[int, str]:
    """Bytes, and the hash of the contents one after the other in the order of their names."""
    files = [media] if isinstance(media, bytes) else [media[name] for name in sorted(media)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file)
    return sum(map(len, files)), digest.hexdigest()
