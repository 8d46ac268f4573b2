"""A finished dataset, where it was made or as it comes from the Hub, read one trajectory at a time.

    dataset = open_dataset("egodex_dataset", "egodex_test")
    for trajectory in dataset.trajectories(dataset.spread(3)):
        trajectory.task, trajectory.hands.shape  # 'Pick up …', (2, 32, 25, 3)

Nothing is read before it is asked for, so that a damaged dataset can be opened as well, and looked into.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataset_upload.errors import UsageError
from dataset_upload.formats.rfm import dataset_info
from dataset_upload.ledger import DONE, Entry, read_entries, rows_digest

Array = NDArray[np.float64]

SIDES = ("left", "right")


@dataclass(frozen=True)
class StoredTrajectory:
    """One row of the main table with its row of the sidecar. T is the number of frames of the clip.

    Attributes:
        number: of the row, from 0.
        row: every column of both tables, as plain Python values.
        root: the output folder, which the clip's path is relative to.
    """

    number: int
    row: dict[str, Any]
    root: Path

    @property
    def source(self) -> str:
        """The episode, `<task>/<n>`."""
        return str(self.row["source"])

    @property
    def task(self) -> str:
        """What is done, in words."""
        return str(self.row["task"])

    @property
    def clip_number(self) -> int:
        """The clip's number in its dataset."""
        (folder_or_file,) = {part for path in self.clip for part in path.parts if part.startswith("trajectory_")}
        return int(Path(folder_or_file).stem.removeprefix("trajectory_"))

    @property
    def clip(self) -> list[Path]:
        """Where the MP4 lies, or the JPEGs, in order. A dataset that was pushed packed has none of these files."""
        frames = self.row["frames"]
        return [self.root / path for path in (frames if isinstance(frames, list) else [frames])]

    def clip_contents(self) -> list[bytes]:
        """The MP4, or the JPEGs, in order. Raises OSError."""
        packed = [self.row["video"]] if "video" in self.row else self.row.get("images", [])
        if packed and all(file["bytes"] for file in packed):
            return [file["bytes"] for file in packed]
        return [path.read_bytes() for path in self.clip]

    @cached_property
    def times(self) -> Array:
        """(T,) seconds from the first frame of the source video."""
        return np.array(self.row["timestamps"], np.float64)

    @cached_property
    def camera_to_world(self) -> Array:
        """(T, 4, 4) camera poses, metres; camera axes x right, y down, z forward."""
        return np.array(self.row["camera_to_world"], np.float64)

    @cached_property
    def intrinsics(self) -> Array:
        """(3, 3) camera matrix, pixels of the clip's frames."""
        return np.array(self.row["intrinsics"], np.float64)

    @cached_property
    def hands(self) -> Array:
        """(2, T, 25, 3) joints of the left and the right hand, metres, world frame."""
        return np.array([self.row[f"{side}_hand"] for side in SIDES], np.float64)

    @cached_property
    def confidences(self) -> Array:
        """(2, T) how sure the tracker is of the left and the right hand, 0 to 1; NaN where unknown."""
        if self.row["confidences"] is None:
            return np.full((2, len(self.times)), np.nan)
        return np.array(self.row["confidences"], np.float64)[:, :2].T

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The clip's (H, W, 3) RGB frames, one at a time. Raises OSError."""
        for content in self.clip_contents():
            with av.open(io.BytesIO(content), "r") as container:
                for frame in container.decode(video=0):
                    yield frame.to_ndarray(format="rgb24", threads=1)  # type: ignore[misc]


class FinishedDataset:
    """One dataset of an output folder.

    Attributes:
        root: the output folder, which the paths of clips are relative to.
        name: the dataset's.
        folder: `root/name`.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self.folder = root / name

    @cached_property
    def description(self) -> dict[str, Any]:
        """What `conversion.json` says. Raises OSError where there is none that can be read."""
        description = dataset_info.read(self.folder)
        if description is None:
            raise FileNotFoundError(2, "missing or damaged", str(self.folder / dataset_info.FILE_NAME))
        return description

    @property
    def is_copy(self) -> bool:
        """Whether this has come from the Hub, to which neither ledger nor `.work` ever go."""
        return not (self.folder / "ledger.jsonl").exists() and not (self.folder / ".work").exists()

    @cached_property
    def ledger(self) -> dict[str, Entry]:
        """The last line about each episode in `ledger.jsonl`, by the episode's key; none in a copy. Raises OSError."""
        return {} if self.is_copy else read_entries(self.folder / "ledger.jsonl")

    def ledger_digest(self) -> str:
        """The fingerprint of the rows that the ledger calls done, as conversion.json has it. Raises OSError."""
        done = (entry for entry in self.ledger.values() if entry.status == DONE)
        return rows_digest((entry.clip, entry.clip_sha256, entry.key) for entry in done)

    @property
    def uses_video(self) -> bool:
        """Whether a clip is one MP4; else it is JPEGs."""
        return bool(self.description["settings"]["use_video"])

    def shards(self, table: str = "") -> list[Path]:
        """The files of the main table ("") or the sidecar ("hands"), in order."""
        return sorted((self.folder / table).glob("train-*.parquet"))

    def __len__(self) -> int:
        """The number of rows of the main table."""
        return sum(pq.ParquetFile(shard).metadata.num_rows for shard in self.shards())

    def column(self, name: str, table: str = "") -> list[Any]:
        """A column's values, of all rows."""
        columns = [pq.ParquetFile(shard).read(columns=[name])[0] for shard in self.shards(table)]
        return [value for column in columns for value in column.to_pylist()]

    def spread(self, count: int) -> list[int]:
        """The numbers of `count` rows, or of all if there are fewer, evenly spaced; the first row is one of them."""
        return sorted({row * len(self) // count for row in range(count)}) if count else []

    def trajectories(self, numbers: Sequence[int] | None = None) -> Iterator[StoredTrajectory]:
        """The trajectories of these rows, which must ascend; of all rows if not given."""
        wanted = range(len(self)) if numbers is None else numbers
        hands = _rows(self.shards("hands"), wanted)
        for number, row in zip(wanted, _rows(self.shards(), wanted), strict=True):
            yield StoredTrajectory(number, {**next(hands, {}), **row}, self.root)


def open_dataset(location: str, name: str | None = None) -> FinishedDataset:
    """A dataset by its place.

    Args:
        location: the output folder, or the dataset's own folder in it, or a dataset repo OWNER/NAME on the Hub,
            which is downloaded to the Hub's cache first.
        name: which dataset, where the folder holds more than one.

    Raises:
        UsageError: there is no such dataset; the message names those that are there.
    """
    root = Path(location).expanduser()
    if not root.is_dir():
        root = _download(location, name)
    if name is None and _is_dataset(root):
        root = root.resolve()
        return FinishedDataset(root.parent, root.name)
    names = sorted(folder.name for folder in root.iterdir() if _is_dataset(folder))
    if not names:
        raise UsageError(f"{location} holds no dataset; give the output_dir of a finished run")
    if name is None and len(names) > 1:
        raise UsageError(f"{location} holds {len(names)} datasets; give --name: {', '.join(names)}")
    if name is not None and name not in names:
        raise UsageError(f"--name: {location} holds no dataset {name}, but {', '.join(names)}")
    return FinishedDataset(root, name or names[0])


def _is_dataset(folder: Path) -> bool:
    return (folder / dataset_info.FILE_NAME).is_file() or any(folder.glob("train-*.parquet"))


def _download(repo: str, name: str | None) -> Path:
    """A copy of a dataset repo of the Hub, or of one dataset in it."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UsageError(f"{repo} is not a folder; give the output_dir of a finished run, or a Hub repo OWNER/NAME")
    from huggingface_hub import snapshot_download

    try:
        wanted = None if name is None else ["README.md", f"{name}/*"]
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=wanted))
    except (OSError, ValueError) as error:  # the Hub's own errors are OSErrors
        reason = " ".join(str(error).split())
        raise UsageError(f"{repo} is not a folder, and cannot be downloaded from the Hub either: {reason}") from error


def _rows(shards: Sequence[Path], wanted: Sequence[int]) -> Iterator[dict[str, Any]]:
    """These rows of a table, as far as it has them; only the row groups that hold one are read."""
    start = 0
    for shard in shards:
        file = pq.ParquetFile(shard)
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            here = wanted[bisect_left(wanted, start) : bisect_left(wanted, end)]
            if here:
                table = file.read_row_group(group)
                yield from (table.slice(number - start, 1).to_pylist()[0] for number in here)
            start = end
