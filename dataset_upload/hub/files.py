"""The files that make up a dataset on the Hub: which belong there, which are there, which of them differ."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
from huggingface_hub.hf_api import RepoFile

from dataset_upload.config import HubConfig
from dataset_upload.console.progress import progress
from dataset_upload.errors import UsageError
from dataset_upload.formats.rfm import dataset_info
from dataset_upload.formats.rfm.finished_dataset import FinishedDataset
from dataset_upload.formats.rfm.hub_tables import (
    write_packed_tables,
    write_tables_without_frames_video,
    write_viewer_tables,
)
from dataset_upload.formats.rfm.tables import has_frames_video
from dataset_upload.hub.access import HubRepo

MAX_FILES_PER_REPO = 100_000
MAX_ENTRIES_PER_FOLDER = 10_000

_LOCAL = ("ledger.jsonl", "README.md")  # what of a dataset's folder is of no use elsewhere
_CLIP = re.compile(r"[^/]+/batch_\d+/.+")
_TABLE = re.compile(r"[^/]+/(hands/)?train-\d+-of-\d+\.parquet")
_MAIN_TABLE = re.compile(r"[^/]+/train-\d+-of-\d+\.parquet")


class PushedDataset(NamedTuple):
    """One dataset as it belongs on the Hub.

    Attributes:
        folder: where it lies here.
        files: by path in the repo, the local file of exactly these bytes.
    """

    folder: Path
    files: dict[str, Path]

    @property
    def work(self) -> Path:
        """Folder for what is needed only during the push."""
        return self.folder / ".work" / "hub"

    @property
    def clips(self) -> dict[str, Path]:
        return {path: file for path, file in self.files.items() if _CLIP.fullmatch(path)}

    @property
    def tables(self) -> dict[str, Path]:
        """All but the clips: tables and conversion.json."""
        return {path: file for path, file in self.files.items() if not _CLIP.fullmatch(path)}

    def outdated(self, remote: Iterable[str]) -> tuple[list[str], list[str]]:
        """Tables, then clips, that an earlier push of this dataset has left in the repo."""
        start = f"{self.folder.name}/"
        others = [path for path in remote if path.startswith(start) and path not in self.files]
        return [path for path in others if _TABLE.fullmatch(path)], [path for path in others if _CLIP.fullmatch(path)]

    def removals(self, remote: Iterable[str]) -> list[str]:
        """The outdated clips, with folders that hold nothing else in one piece ("NAME/batch_0000/")."""
        folders_in_use = {_clip_folder(path) for path in self.files}
        clips = self.outdated(remote)[1]
        return sorted({path if _clip_folder(path) in folders_in_use else _clip_folder(path) for path in clips})


def _clip_folder(path: str) -> str:
    return "/".join(path.split("/")[:2]) + "/"


@contextmanager
def as_pushed(folders: Sequence[Path], repo: HubRepo, options: HubConfig) -> Iterator[list[PushedDataset]]:
    """Datasets as they belong on the Hub; tables made for the Hub last as long as the `with`.

    Args:
        folders: of the datasets.
        repo: where they belong.
        options: what the tables hold there.

    Raises:
        UsageError: a dataset is not finished, a clip is not there, or the options do not fit the clips.
    """
    datasets = [PushedDataset(folder, {}) for folder in folders]
    try:
        for dataset in datasets:
            shutil.rmtree(dataset.work, ignore_errors=True)
            dataset.files.update(_files(dataset.folder, dataset.work / "tables", repo, options))
        yield datasets
    finally:
        for dataset in datasets:
            shutil.rmtree(dataset.work, ignore_errors=True)
            with suppress(OSError):
                dataset.work.parent.rmdir()  # empty only in a copy, which is to stay one


def _files(folder: Path, tables: Path, repo: HubRepo, options: HubConfig) -> dict[str, Path]:
    """What is visible in the folder except the ledger, with the tables that the options ask for."""
    root = folder.parent
    _check_finished(folder)
    if not any(folder.glob("train-*.parquet")):
        raise UsageError(f"{folder} has lost its tables; run the conversion again")
    files = {file.relative_to(root).as_posix(): file for file in _visible_files(folder) if file.name not in _LOCAL}
    lacking = [path for path in _clips_of_rows(folder) if path not in files]
    if lacking:
        raise UsageError(f"{root / lacking[0]} is not there, but a row names it; run the conversion again")
    if not (options.packed or options.viewer_video or has_frames_video(folder)):
        return files

    description = dataset_info.read(folder)
    use_video = description is None or description["settings"]["use_video"]
    if options.packed:
        write_packed_tables(folder, tables, use_video=use_video)
        files = {path: file for path, file in files.items() if not _CLIP.fullmatch(path)}
    elif not options.viewer_video:
        write_tables_without_frames_video(folder, tables)
    elif use_video:
        write_viewer_tables(folder, tables, repo_id=repo.repo_id)
    else:
        raise UsageError(
            f"--hub.viewer_video: the clips of {folder} are not videos; --hub.packed=true shows JPEGs, too"
        )
    files = {path: file for path, file in files.items() if not _MAIN_TABLE.fullmatch(path)}
    return {**files, **{f"{folder.name}/{shard.name}": shard for shard in sorted(tables.glob("*.parquet"))}}


def _check_finished(folder: Path) -> None:
    """Raises UsageError where an interrupted run has left clips or shards that do not belong together."""
    dataset = FinishedDataset(folder.parent, folder.name)
    if dataset.is_copy:
        return
    description = dataset_info.read(folder)  # None if a power cut has damaged it
    if description is None or dataset.ledger_digest() != description["rows"] or (folder / ".work" / "swap").exists():
        raise UsageError(f"{folder} is not finished, its last run was interrupted; run the conversion again")


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            yield from _visible_files(path) if path.is_dir() else [path]


def _clips_of_rows(folder: Path) -> Iterator[str]:
    """The paths of all clips, or of their JPEGs, that the main table names."""
    for shard in sorted(folder.glob("train-*.parquet")):
        for frames in pq.read_table(shard, columns=["frames"])["frames"].to_pylist():
            yield from [frames] if isinstance(frames, str) else frames


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


def check_limits(paths: Collection[str], repo_id: str, *, packed: bool) -> None:
    """Raises UsageError where the Hub does not take so many files.

    Args:
        paths: all files that the repo would hold.
        repo_id: its name, for the message.
        packed: whether the clips are in the tables already.
    """
    cure = "use several repos" if packed else "give --hub.packed=true, which puts the clips into the tables"
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
