"""The files of EgoDex that a dataset was made of: in the folder of a part, or in its zip.

Like all that `against_source` stands on, this shares no code with the converter: plain paths, and Python's own zipfile.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from dataset_upload.errors import UsageError

_MAX_BYTES = 4 * 2**30  # of one file in a zip, unpacked; the longest videos of EgoDex have some hundred million


class SourceFiles:
    """Opens files of episodes by the key that a row names as its `source`."""

    def __init__(self, location: str) -> None:
        """Look at a folder, or list a zip. Raises UsageError where `location` is neither."""
        self.path = Path(location).expanduser()
        self._zip: zipfile.ZipFile | None = None
        if self.path.is_dir():
            return
        if not self.path.is_file():
            raise UsageError(f"{location} is neither a folder nor a zip on this machine; give the part's")
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise UsageError(f"{location} cannot be read as a zip: {error}") from error
        self._members: dict[str, str] = {}  # by task and file name, and with the part before them as well
        for name in self._zip.namelist():
            parts = PurePosixPath(name).parts
            part = parts[-3] if len(parts) > 2 else self.path.stem
            for key in ("/".join(parts[-2:]), "/".join((part, *parts[-2:]))):
                self._members.setdefault(key, name)

    def has_part(self, key: str) -> bool:
        """Whether an episode's part is here; a key without one, as of a dataset of a single part, is of this part."""
        *part, _, _ = key.split("/")
        if not part:
            return True
        if self._zip is not None:
            return any(member.startswith(f"{part[0]}/") for member in self._members)
        return self.path.resolve().name == part[0] or (self.path / part[0]).is_dir()

    @contextmanager
    def open(self, key: str, part: str, ending: str) -> Iterator[BinaryIO]:
        """Open an episode's file.

        Args:
            key: `<task>/<n>`, or `<part>/<task>/<n>`.
            part: the name of the part's root folder, which may lie below the given folder.
            ending: "hdf5" or "mp4".

        Raises:
            OSError: it is not there, or cannot be read.
        """
        names = key.split("/")
        if len(names) not in (2, 3) or not {"", ".", ".."}.isdisjoint(names):
            raise OSError(f"{key!r} is not an EgoDex episode")
        if self._zip is not None:
            with tempfile.TemporaryFile() as file:
                self._unpack(f"{key}.{ending}", file)
                yield file
            return
        below = Path(*names[-2:-1], f"{names[-1]}.{ending}")
        places = [self.path / below, self.path / (names[0] if len(names) == 3 else part) / below]
        for place in places:
            if place.is_file():
                with place.open("rb") as file:
                    yield file
                return
        raise FileNotFoundError(2, "is not there", str(places[0]))

    def _unpack(self, name: str, file: BinaryIO) -> None:
        assert self._zip is not None
        if name not in self._members:
            raise FileNotFoundError(2, "is not there", f"{self.path}/{name}")
        member = self._zip.getinfo(self._members[name])
        if member.file_size > _MAX_BYTES:
            raise OSError(f"{name} has {member.file_size:,} bytes, at most {_MAX_BYTES:,} are compared")
        with self._zip.open(member) as packed:
            shutil.copyfileobj(packed, file)
        file.seek(0)
