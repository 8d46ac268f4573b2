"""A finished dataset of any format, where it was made or as it comes from the Hub, read one trajectory at a time.

    dataset = open_dataset("egodex_dataset", "egodex_test")
    for trajectory in dataset.trajectories(dataset.spread(3)):
        trajectory.task, trajectory.hands.shape  # 'Pick up …', (2, 32, 25, 3)

Nothing is read before it is asked for, so that a damaged dataset can be opened as well, and looked into.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from dataset_upload.dataset_folder import LEDGER, has_been_written
from dataset_upload.errors import UsageError
from dataset_upload.formats import Format, format_of
from dataset_upload.ledger import Entry, read_entries
from dataset_upload.stored_trajectory import StoredTrajectory


class FinishedDataset(ABC):
    """One finished dataset; each format has a class that says what its files hold.

    Attributes:
        root: the output folder, which paths of clips are relative to.
        name: the dataset's.
        folder: `root/name`.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder.parent
        self.name = folder.name
        self.folder = folder

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        """Pickled as its place: nothing that was read travels along."""
        return type(self), (self.folder,)

    @property
    @abstractmethod
    def description(self) -> dict[str, Any]:
        """How it was made. Raises OSError where nothing tells.

        It has `action_names`, one a column of actions. The report also reads `settings`, `counts` and `bytes`, and
        `validate_dataset --against` reads `settings` and `hand_joints`, as RFM's conversion.json has them.
        """

    @abstractmethod
    def table_files(self) -> list[Path]:
        """The files of all tables."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of trajectories."""

    @abstractmethod
    def column(self, name: str) -> list[Any]:
        """A column's values, of all rows."""

    @abstractmethod
    def trajectories(self, numbers: Sequence[int] | None = None) -> Iterator[StoredTrajectory]:
        """The trajectories of these rows, which must ascend; of all rows if not given."""

    def spread(self, count: int) -> list[int]:
        """The numbers of `count` rows, or of all if there are fewer, evenly spaced; the first row is one of them."""
        return sorted({row * len(self) // count for row in range(count)}) if count else []

    @property
    def is_copy(self) -> bool:
        """Whether this has come from the Hub, to which neither ledger nor `.work` ever go."""
        return not has_been_written(self.folder)

    @cached_property
    def ledger(self) -> dict[str, Entry]:
        """The last line about each episode in `ledger.jsonl`, by the episode's key; none in a copy. Raises OSError."""
        return {} if self.is_copy else read_entries(self.folder / LEDGER)


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
    if name is None and (own := format_of(root)) is not None:
        return own.open(root.resolve())
    formats = {folder.name: found for folder in sorted(root.iterdir()) if (found := format_of(folder)) is not None}
    if not formats:
        raise UsageError(f"{location} holds no dataset; give the output_dir of a finished run")
    if name is None and len(formats) > 1:
        raise UsageError(f"{location} holds {len(formats)} datasets; give --name: {', '.join(formats)}")
    if name is not None and name not in formats:
        raise UsageError(f"--name: {location} holds no dataset {name}, but {', '.join(formats)}")
    name = name or next(iter(formats))
    return formats[name].open(root / name)


def format_of_dataset(dataset: FinishedDataset) -> Format:
    """The format of a dataset that was opened. Raises UsageError where its folder is gone meanwhile."""
    if (found := format_of(dataset.folder)) is None:
        raise UsageError(f"{dataset.folder} is not a dataset any more")
    return found


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
