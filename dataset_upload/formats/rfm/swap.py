"""New files of tables, put in the place of the old ones, so that nobody ever reads old and new together.

`.work/swap` holds the files that are not yet in their place, and `shards.json` names all that a table is to have.
Whatever moment a swap is interrupted at, `finish_swap` goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dataset_upload.formats.rfm.layout import SWAP, shards, table_folder
from dataset_upload.formats.rfm.shards import SHARD_NAMES, name_shards
from dataset_upload.storage.whole_file import flush_folder


def prepare_swap(files: Mapping[str, Sequence[Path]], work: Path, building: Path) -> None:
    """Make it so that from here on these files count.

    Args:
        files: of each table, in order: new ones, which lie in their table's folder in `building`, and such as are in
            their place and stay, whatever they will be called.
        work: the dataset's folder for what is not finished.
        building: in `work`; becomes the swap.
    """
    for table, wanted in files.items():
        folder = building / table_folder(table)
        folder.mkdir(parents=True, exist_ok=True)
        name_shards(folder, [path if path.parent == folder else _second_name(path, folder) for path in wanted])
    building.rename(work / SWAP)
    flush_folder(work)


def _second_name(path: Path, folder: Path) -> Path:
    """A file of another folder under one more name in this one; a copy where the file system knows no such names."""
    second = folder / f"kept-{path.name}"
    try:
        os.link(path, second)
    except OSError:
        shutil.copy2(path, second)
        with second.open("rb") as file:
            os.fsync(file.fileno())
    return second


def finish_swap(folder: Path, work: Path, tables: Iterable[str]) -> None:
    """Put what waits in the swap into its place; no-op if there is nothing."""
    swap, swapped = work / SWAP, work / "swapped"
    shutil.rmtree(swapped, ignore_errors=True)
    if not swap.exists():
        return
    for table in tables:
        waiting, place = swap / table_folder(table), folder / table_folder(table)
        names = json.loads((waiting / SHARD_NAMES).read_text())
        new = [name for name in names if _is_new(waiting / name, place / name)]
        place.mkdir(exist_ok=True)
        old = [shard for shard in shards(folder, table) if shard.name in new or shard.name not in names]
        if [shard.name for shard in old] != new or len(new) > 1:
            for shard in old:
                shard.unlink()
        for name in new:
            (waiting / name).replace(place / name)
        flush_folder(place)
    swap.rename(swapped)
    shutil.rmtree(swapped)


def _is_new(waiting: Path, place: Path) -> bool:
    """Whether a file waits, and is not the one that is there."""
    return waiting.exists() and not (place.exists() and waiting.samefile(place))
