"""Finished files, moved into their places; many moves are made durable at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dataset_upload.storage.whole_file import flush_folder, write_flushed


class Placing:
    """Puts finished files into their places below one folder.

    A file that is put is there at once, whole, for every process, and outlives this one. `flush` makes what was put
    outlive a power cut: a folder is written once for all the files that it has got since.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._folders: set[str] = set()  # that exist, as far as this process has seen to it
        self._changed: set[str] = set()

    def put(self, content: bytes | Path, place: str) -> None:
        """Put a file, or a folder of files, into its place, over what is there.

        Args:
            content: a file's content; or a finished, flushed file or folder on the same file system.
            place: relative to the root.
        """
        path = f"{self._root}/{place}"
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self._make(folder)
        if isinstance(content, bytes):
            temporary = f"{path}.tmp"
            write_flushed(temporary, content)
            os.replace(temporary, path)
        else:
            try:
                os.replace(content, path)
            except OSError:
                if not os.path.isdir(path):
                    raise
                shutil.rmtree(path)  # a folder cannot be renamed over another
                os.replace(content, path)
        self._changed.add(folder)

    def _make(self, folder: str) -> None:
        """Make a folder with those around it."""
        outer = folder.rpartition("/")[0]
        if outer not in self._folders and folder != self._root:
            self._make(outer)
        if not os.path.isdir(folder):
            os.mkdir(folder)
            self._changed.add(outer)
        self._folders.add(folder)

    def flush(self) -> None:
        """Make everything that was put so far outlive a power cut."""
        for folder in sorted(self._changed):
            flush_folder(Path(folder))
        self._changed.clear()
