"""New files of a dataset, put into their places all together, whatever moment that is interrupted at.

`.work/swap` holds the new files that are not in their place yet, and `files.json` names all that the dataset then has.
Pieces are deleted only when the files that hold them are in their places.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from dataset_upload.dataset_folder import WORK
from dataset_upload.formats.lerobot.layout import INFO, NEW, SWAP
from dataset_upload.storage.whole_file import flush_folder, write_flushed

_FILES = "files.json"
_FOLDERS = ("data", "videos", "meta")


def begin_swap(folder: Path, files: Iterable[str], pieces: Iterable[Path]) -> None:
    """From here on what lies in `.work/new` counts.

    Args:
        folder: of the dataset.
        files: all that it then has.
        pieces: files that are of no use any more then.
    """
    states = {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in pieces}
    plan = json.dumps({"files": sorted(files), "pieces": states})
    write_flushed(folder / NEW / _FILES, plan.encode(errors="surrogateescape"))
    for file in _files_in(folder / NEW):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    for path in _folders_in(folder / NEW):
        flush_folder(path)
    (folder / NEW).rename(folder / SWAP)
    flush_folder(folder / WORK)


def finish_swap(folder: Path) -> None:
    """Put the new files into their places, if there are any, and delete what they replace.

    As long as that takes there is no info.json, so that nobody reads old and new together.
    """
    swap, swapped = folder / SWAP, folder / WORK / "swapped"
    shutil.rmtree(swapped, ignore_errors=True)
    if not swap.exists():
        return
    plan = json.loads((swap / _FILES).read_bytes())
    if (swap / INFO).exists():
        (folder / INFO).unlink(missing_ok=True)
    waiting = [path.relative_to(swap).as_posix() for path in _files_in(swap) if path.name != _FILES]
    for path in waiting:
        (folder / path).unlink(missing_ok=True)  # a reader that has it open keeps the old one whole
    for path in sorted(waiting, key=lambda path: path == INFO):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (swap / path).replace(folder / path)
    wanted = set(plan["files"])
    for top in _FOLDERS:
        for file in list(_files_in(folder / top)):
            if file.relative_to(folder).as_posix() not in wanted:
                file.unlink()
        for place in [*_folders_in(folder / top)][::-1]:
            flush_folder(place) if any(place.iterdir()) else place.rmdir()
    flush_folder(folder)
    for name, mtime_ns in plan["pieces"].items():
        path = folder / name
        if path.exists() and path.stat().st_mtime_ns == mtime_ns:  # and not one that came later
            path.unlink()
    for place in [*_folders_in(folder / WORK / "waiting")][::-1]:
        if not any(place.iterdir()):
            place.rmdir()
    swap.rename(swapped)
    shutil.rmtree(swapped)


def _files_in(folder: Path) -> Iterator[Path]:
    for path, _, names in os.walk(folder):
        yield from (Path(path) / name for name in sorted(names))


def _folders_in(folder: Path) -> Iterator[Path]:
    """A folder and all below it, outer ones first."""
    yield from (Path(path) for path, _, _ in os.walk(folder))
