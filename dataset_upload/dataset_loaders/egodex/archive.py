"""Where EgoDex's files lie: which episodes there are, how to open their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from dataset_upload.errors import EpisodeError, Reason, UsageError
from dataset_upload.natural_order import natural_key


class Episode(NamedTuple):
    """One episode as it is listed, before any of its files is opened. A missing file is None."""

    key: str  # <task>/<n>: the same in every copy of the data
    part: str  # name of the root folder
    task_name: str  # name of the task's folder
    hdf5: str | None
    mp4: str | None

    def __str__(self) -> str:
        return self.hdf5 or self.mp4 or self.key


class SourceState(NamedTuple):
    """What an episode's files looked like; another state means that they changed."""

    num_bytes: int
    mtimes_ns: tuple[int, ...]  # of the HDF5 and the MP4 file, without one that is missing


def list_episodes(dataset_path: str) -> list[Episode]:
    """List a part's episodes in natural order (task, then 0, 1, 2, … 10), opening none of them.

    Args:
        dataset_path: a part's folder (`part1/`), or the folder that unzipping leaves around it (`part1/part1/`).

    Raises:
        UsageError: the folder does not exist, cannot be listed or holds no episode.
    """
    try:
        root = _find_root(Path(dataset_path).expanduser())
        tasks = sorted(_subfolders(root), key=lambda folder: natural_key(folder.name))
        return [episode for task in tasks for episode in _list_task(root.name, task)]
    except OSError as error:
        raise UsageError(f"--dataset.dataset_path: cannot list {error.filename}: {error.strerror}") from error


def source_state(episode: Episode) -> SourceState:
    """Size and time of an episode's files; a file that is not there, or not to be looked at, counts nothing."""
    files = []
    for path in filter(None, (episode.hdf5, episode.mp4)):
        with suppress(OSError):
            files.append(os.stat(path))
    return SourceState(sum(file.st_size for file in files), tuple(file.st_mtime_ns for file in files))


def open_file(path: str) -> BinaryIO:
    """Open one of an episode's files for reading, seekable."""
    try:
        return open(path, "rb")
    except PermissionError as error:
        raise EpisodeError(Reason.PERMISSION_DENIED, f"Error loading trajectory {path}: Permission denied") from error
    except OSError as error:
        raise EpisodeError(Reason.UNREADABLE_SOURCE, f"Error loading trajectory {path}: {error.strerror}") from error


def _find_root(path: Path) -> Path:
    """The folder whose children are task folders."""
    if not path.is_dir():
        problem = "is a file, not a folder" if path.exists() else "does not exist"
        raise UsageError(f"--dataset.dataset_path: {path} {problem}; give the folder of one EgoDex part, like …/test")
    path = path.resolve()
    if _has_episodes(path):
        raise UsageError(
            f"--dataset.dataset_path: {path} is a single task's folder; give the part's folder around it, {path.parent}"
        )
    folders = _subfolders(path)
    if any(_has_episodes(folder) for folder in folders):
        return path
    parts = [folder for folder in folders if any(_has_episodes(task) for task in _subfolders(folder))]
    if len(parts) == 1:
        return parts[0]
    if parts:
        names = ", ".join(sorted(part.name for part in parts))
        raise UsageError(f"--dataset.dataset_path: {path} holds several parts ({names}); give one of them")
    raise UsageError(
        f"--dataset.dataset_path: no <task>/<n>.hdf5 or <n>.mp4 below {path}; give the folder of one EgoDex part"
    )


def _subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, without hidden ones and what macOS leaves in archives."""
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir() and entry.name[0] not in "._"]


def _episode_files(task: Path) -> Iterator[tuple[str, str, str]]:
    """(stem, suffix, path) of each HDF5 and MP4 file in a task's folder."""
    with os.scandir(task) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix in (".hdf5", ".mp4") and not stem.startswith("."):
                yield stem, suffix, entry.path


def _has_episodes(folder: Path) -> bool:
    return any(True for _ in _episode_files(folder))


def _list_task(part: str, task: Path) -> Iterator[Episode]:
    files: dict[str, dict[str, str]] = {}
    for stem, suffix, path in _episode_files(task):
        files.setdefault(stem, {})[suffix] = path
    for stem in sorted(files, key=natural_key):
        pair = files[stem]
        yield Episode(f"{task.name}/{stem}", part, task.name, pair.get(".hdf5"), pair.get(".mp4"))
