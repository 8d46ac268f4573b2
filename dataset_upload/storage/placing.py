"""Finished files, moved into their places; many moves are made durable at once."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TypeVar

from dataset_upload.storage.whole_file import flush_folder, write_flushed

T = TypeVar("T")

_THREADS, _BACKLOG = 8, 64  # a flush waits for the disk, 5 ms say; the backlog is what memory may hold meanwhile


class Placing:
    """Puts finished files into their places below one folder; may be used by several threads at once.

    A file that is put is there as `put` returns, whole, for every process, and outlives this one. `flush` makes what
    was put until then outlive a power cut: a folder is written once for all the files that it has got since.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._folders: set[str] = set()  # that exist, as far as this process has seen to it
        self._changed: set[str] = set()
        self._lock = Lock()  # of both

    def put(self, content: bytes | Mapping[str, bytes] | Path, place: str) -> None:
        """Put a file, or a folder of files, into its place, over what is there.

        Args:
            content: a file's content, or those of a folder's files by their names, which are flushed first; or a
                finished, flushed file or folder on the same file system.
            place: relative to the root.
        """
        path = f"{self._root}/{place}"
        folder = path.rpartition("/")[0]
        with self._lock:
            self._make(folder)
        if not isinstance(content, Path):
            _write(temporary := f"{path}.tmp", content)
            content = Path(temporary)
        try:
            os.replace(content, path)
        except OSError:
            if not os.path.isdir(path):
                raise
            shutil.rmtree(path)  # a folder cannot be renamed over another
            os.replace(content, path)
        with self._lock:
            self._changed.add(folder)

    def _make(self, folder: str) -> None:
        """Make a folder with those around it."""
        if folder in self._folders:
            return
        if folder != self._root:
            outer = folder.rpartition("/")[0]
            self._make(outer)
            if not os.path.isdir(folder):
                os.mkdir(folder)
                self._changed.add(outer)
        self._folders.add(folder)

    def flush(self) -> None:
        """Make everything that was put so far outlive a power cut."""
        with self._lock:
            changed, self._changed = self._changed, set()
        for folder in sorted(changed):
            flush_folder(Path(folder))


def _write(path: str, content: bytes | Mapping[str, bytes]) -> None:
    """Write a file, or a folder of files, so that it outlives a power cut as soon as the folder that it is in does."""
    if isinstance(content, bytes):
        write_flushed(path, content)
        return
    shutil.rmtree(path, ignore_errors=True)  # what a run that was killed has left
    os.mkdir(path)
    for name, file in content.items():
        write_flushed(f"{path}/{name}", file)
    flush_folder(Path(path))


def in_threads(act: Callable[[T], object], items: Iterable[T]) -> Generator[T, None, None]:
    """Do something with each of the items, several at a time; yields them, in order, once it is done.

    Raises what `act` raises.
    """
    backlog: deque[tuple[T, Future[object]]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for item in items:
            backlog.append((item, pool.submit(act, item)))
            while backlog and (len(backlog) > _BACKLOG or backlog[0][1].done()):
                done, future = backlog.popleft()
                future.result()
                yield done
        for done, future in backlog:
            future.result()
            yield done
