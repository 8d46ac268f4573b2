"""Where everything of an RFM dataset lies, in an output folder as in a repo of the Hub.

README.md                             the card of all datasets
NAME/README.md                        makes the dataset's own folder loadable
NAME/train-00000-of-00001.parquet     the main table, rows in the order of clip numbers; a file for each 4000 numbers
NAME/hands/train-….parquet            the sidecar
NAME/conversion.json                  how it was made
NAME/batch_0000/trajectory_0000.mp4   clips, 1000 a folder; or a folder of JPEGs each
NAME/.work/records/TABLE/0000/0000.arrow   finished rows that are not in a table yet
NAME/.work/swap/…                     finished tables that are being put into their places
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

CARD = "README.md"
CARD_LOCK = ".card.lock"
CONVERSION = "conversion.json"
SWAP, RECORDS = "swap", "records"  # in .work

MAIN, HANDS = "main", "hands"
TABLES = (MAIN, HANDS)
_SIDECAR = f"_{HANDS}"  # ends the name of a sidecar's config

_CLIPS_PER_FOLDER = 1000
_CLIPS_PER_RANGE = 4 * _CLIPS_PER_FOLDER
_CLIP = re.compile(r"[^/]+/batch_(\d{4,})/trajectory_(\d{4,})(\.mp4|/frame_\d{4,}\.jpg)")
_CLIP_FOLDER = re.compile(r"[^/]+/batch_\d+/.+")
_TABLE = re.compile(r"[^/]+/(hands/)?train-\d+-of-\d+\.parquet")
_MAIN_TABLE = re.compile(r"[^/]+/train-\d+-of-\d+\.parquet")


def table_folder(table: str) -> str:
    """The folder of a table's shards, in the dataset's: "" or "hands"."""
    return "" if table == MAIN else table


def table_pattern(table: str) -> str:
    """What matches a table's shards, in the dataset's folder."""
    return "train-*.parquet" if table == MAIN else f"{table}/train-*.parquet"


def config_name(dataset_name: str, table: str) -> str:
    """The name by which `load_dataset` finds a table."""
    return dataset_name if table == MAIN else f"{dataset_name}_{table}"


def is_sidecar(config_name: str) -> bool:
    """Whether a config's name is that of a sidecar."""
    return config_name.endswith(_SIDECAR)


def shards(folder: Path, table: str = MAIN) -> list[Path]:
    """The files of a dataset's table, in order."""
    return sorted(folder.glob(table_pattern(table)))


def shard_names(count: int) -> list[str]:
    """The names of a table's files, if there are so many."""
    return [f"train-{number:05d}-of-{count:05d}.parquet" for number in range(count)]


def has_tables(folder: Path) -> bool:
    """Whether a folder is that of a dataset with tables."""
    return any(folder.glob(table_pattern(MAIN)))


def is_dataset(folder: Path) -> bool:
    """Whether a folder is that of a dataset that was finished once."""
    return (folder / CONVERSION).is_file() or has_tables(folder)


def clip_path(number: int, *, use_video: bool) -> str:
    """Where a clip lies in its dataset's folder: a file, or a folder of JPEGs."""
    suffix = ".mp4" if use_video else ""
    return f"batch_{number // _CLIPS_PER_FOLDER:04d}/trajectory_{number:04d}{suffix}"


def clip_number(path: str) -> int | None:
    """The number of a clip by the path of its MP4 or of one of its JPEGs in the output folder; None: no such path."""
    parts = _CLIP.fullmatch(path)
    if parts is None or int(parts[1]) != int(parts[2]) // _CLIPS_PER_FOLDER:
        return None
    return int(parts[2])


def range_of(number: int) -> int:
    """The range that a clip number belongs to: the rows of one range have files of their own in each table."""
    return number // _CLIPS_PER_RANGE


def clip_folders(folder: Path) -> list[Path]:
    """The folders of a dataset that hold clips."""
    return sorted(folder.glob("batch_*"))


def is_clip(path: str) -> bool:
    """Whether a path in an output folder or a repo is that of a clip, or of a part of one."""
    return _CLIP_FOLDER.fullmatch(path) is not None


def is_table(path: str) -> bool:
    """Whether a path in an output folder or a repo is that of a table."""
    return _TABLE.fullmatch(path) is not None


def is_main_table(path: str) -> bool:
    """Whether a path in an output folder or a repo is that of the main table."""
    return _MAIN_TABLE.fullmatch(path) is not None


def record_path(table: str, number: int) -> str:
    """Where a record lies in a folder of records."""
    return f"{table}/{number // _CLIPS_PER_FOLDER:04d}/{number:04d}.arrow"


def tables_with(hand_joints: Sequence[str]) -> tuple[str, ...]:
    """The tables of a dataset whose trajectories have hands of these points, or none."""
    return TABLES if hand_joints else (MAIN,)
