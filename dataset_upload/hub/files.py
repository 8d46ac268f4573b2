"""The files that make up a dataset on the Hub: which belong there, which are there, which of them differ."""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub.hf_api import RepoFile

from dataset_upload.config import HubConfig
from dataset_upload.console.progress import progress
from dataset_upload.dataset_folder import WORK, has_been_written
from dataset_upload.errors import UsageError
from dataset_upload.formats import Card, PushPlan, format_of
from dataset_upload.hub.access import HubRepo

MAX_FILES_PER_REPO = 100_000
MAX_ENTRIES_PER_FOLDER = 10_000


class PushedDataset(NamedTuple):
    """One dataset as it belongs on the Hub.

    Attributes:
        folder: where it lies here.
        plan: which files make it up there.
        cards: of its format.
    """

    folder: Path
    plan: PushPlan
    cards: Card

    def description(self) -> dict[str, Any] | None:
        """What it says of itself; None where that is damaged."""
        path = self.folder.parent / self.cards.description_path(self.folder.name)
        return self.cards.parse(path.read_bytes(), self.folder.name)

    @property
    def work(self) -> Path:
        """Folder for what is needed only during the push."""
        return _work(self.folder)

    @property
    def files(self) -> dict[str, Path]:
        """By path in the repo, the local file of exactly these bytes."""
        return {**self.plan.media, **self.plan.tables}

    def outdated(self, remote: Collection[str]) -> list[str]:
        """What an earlier push of this dataset has left in the repo."""
        return [*self.plan.outdated_tables(remote), *self.plan.outdated_media(remote)]


def _work(folder: Path) -> Path:
    return folder / WORK / "hub"


@contextmanager
def as_pushed(folders: Sequence[Path], repo: HubRepo, options: HubConfig) -> Iterator[list[PushedDataset]]:
    """Datasets as they belong on the Hub; tables made for the Hub last as long as the `with`.

    Where it does not complete they stay, so that the next push need not make them again; not in a copy from the Hub,
    which is to stay one.

    Args:
        folders: of the datasets.
        repo: where they belong.
        options: what the tables hold there.

    Raises:
        UsageError: a dataset is not finished, a clip is not there, or the options do not fit the clips.
    """
    datasets = []
    to_empty = [folder for folder in folders if not has_been_written(folder)]
    try:
        for folder in folders:
            found = format_of(folder)
            assert found is not None  # whoever lists datasets goes by that
            plan = found.push_plan(folder, repo.repo_id, options, _work(folder))
            datasets.append(PushedDataset(folder, plan, found.card))
        yield datasets
        to_empty = [*folders]
    finally:
        for folder in to_empty:
            shutil.rmtree(_work(folder), ignore_errors=True)
            with suppress(OSError):
                (folder / WORK).rmdir()  # empty only in a copy


def list_files(repo: HubRepo, revision: str = "main") -> dict[str, RepoFile]:
    """All files of the repo by path."""
    entries = repo.api.list_repo_tree(repo.repo_id, recursive=True, revision=revision, repo_type="dataset")
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}


def differences(files: dict[str, Path], remote: dict[str, RepoFile], label: str) -> dict[str, str]:
    """Which files are not in the repo as they are here, and why; shows progress, as it may read them all."""
    found = {}
    for path, file in progress(files.items(), label, total=len(files), unit="file"):
        if path not in remote:
            found[path] = "is missing"
        elif remote[path].size != file.stat().st_size:
            found[path] = f"has {remote[path].size} bytes, {file.stat().st_size} here"
        elif not _has_hash(file, remote[path]):
            found[path] = "has another hash"
    return found


def _has_hash(file: Path, remote: RepoFile) -> bool:
    state = file.stat()
    if remote.lfs is None:
        return remote.blob_id == _digest(file, "git", state.st_size, state.st_mtime_ns)
    return remote.lfs.sha256 == _digest(file, "sha256", state.st_size, state.st_mtime_ns)


@functools.cache
def _digest(file: Path, kind: str, size: int, mtime_ns: int) -> str:
    """SHA-256, or the name that git gives to these bytes. One state of a file is read only once."""
    digest = hashlib.sha1(b"blob %d\0" % size) if kind == "git" else hashlib.sha256()
    with file.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_limits(paths: Collection[str], repo_id: str, cure: str) -> None:
    """Raises UsageError where the Hub does not take so many files.

    Args:
        paths: all files that the repo would hold.
        repo_id: its name, for the message.
        cure: what to do about it.
    """
    if len(paths) > MAX_FILES_PER_REPO:
        raise UsageError(
            f"--hub.packed: {repo_id} would hold {len(paths):,} files, and the Hub takes {MAX_FILES_PER_REPO:,}; {cure}"
        )
    folders = Counter(entry.rpartition("/")[0] for entry in _with_folders(paths))
    folder, count = folders.most_common(1)[0]
    if count > MAX_ENTRIES_PER_FOLDER:
        raise UsageError(
            f"--hub.packed: {repo_id}/{folder} would hold {count:,} entries, and the Hub takes "
            f"{MAX_ENTRIES_PER_FOLDER:,}; {cure}"
        )


def _with_folders(paths: Iterable[str]) -> set[str]:
    entries = set()
    for path in paths:
        while path:
            entries.add(path)
            path = path.rpartition("/")[0]
    return entries
