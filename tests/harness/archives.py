"""Zip archives for the tests, as EgoDex's are and as they should not be."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def pack(folder: Path, archive: Path, method: int = STORED, *, root: str | None = None) -> Path:
    """Zip a part's folder below a root folder, by default of its own name; "" for none."""
    root = folder.name if root is None else root
    with zipfile.ZipFile(archive, "w", method) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, Path(root, path.relative_to(folder)))
    return archive


def write_zip(archive: Path, members: Mapping[str, bytes], method: int = STORED) -> Path:
    with zipfile.ZipFile(archive, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return archive


def add_hole(archive: Path, name: str, size: int) -> None:
    """Append a stored member of so many zeros that takes no room on the disk; its CRC is wrong."""
    with zipfile.ZipFile(archive, "a") as file:
        assert file.fp is not None
        hole = zipfile.ZipInfo(name)
        hole.file_size, hole.compress_size, hole.CRC = size, size, 0
        hole.header_offset = file.start_dir
        file.fp.seek(file.start_dir)
        file.fp.write(hole.FileHeader(zip64=True))
        file.fp.seek(size, 1)
        file.start_dir = file.fp.tell()
        file.filelist.append(hole)
        file.NameToInfo[name] = hole
        file._didModify = True  # type: ignore[attr-defined]  # or the directory would not be written
