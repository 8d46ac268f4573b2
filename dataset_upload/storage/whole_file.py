"""Files that are either whole or not there, also after a power cut."""

from __future__ import annotations

import hashlib
import os
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


def flush_folder(folder: Path) -> None:
    """Make what was renamed into a folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_media(path: Path) -> tuple[int, str]:
    """Make a file, or all files of a folder, outlive a power cut; returns their size in bytes and their SHA-256."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    num_bytes, digest = 0, hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            data = handle.read()
            os.fsync(handle.fileno())
        num_bytes += len(data)
        digest.update(data)
    return num_bytes, digest.hexdigest()
