"""Where EgoDex's files lie: which episodes there are, how to open their files.

A source is the folder of a part, or its zip archive: on disk, behind http(s), or at any URL that fsspec knows. Nothing
outside this module and those that it uses knows the difference.
"""

from __future__ import annotations

import errno
import glob
import io
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, cast

from dataset_upload.errors import EpisodeError, Reason, UsageError, naming_argument
from dataset_upload.natural_order import natural_key
from dataset_upload.storage.byte_source import open_source
from dataset_upload.storage.deadline import within
from dataset_upload.storage.range_file import RangeFile
from dataset_upload.storage.sparse_file import FetchedRanges, SparseFile
from dataset_upload.storage.zip_archive import (
    ZipMember,
    data_start,
    is_stored,
    list_members,
    member_region,
    open_stored,
    unpack,
)

PARTS = ("test", "part1", "part2", "part3", "part4", "part5", "extra")
_BASE_URL = "https://ml-site.cdn-apple.com/datasets/egodex"

LISTING_S = 600.0  # for the directory of an archive elsewhere: at most some ten megabytes
_MAX_GAP = 256 * 1024  # bytes between an episode's two members that one request still spans
_MAX_REQUEST = 32 * 2**20  # bytes fetched into memory at once
_STREAM_REQUEST = 8 * 2**20
# Below this, the packets that 32 frames need are so much of a video that reading it whole takes less time.
_MIN_SPARSE_BYTES = 8 * 2**20

File = str | ZipMember


class Episode(NamedTuple):
    """One episode as it is listed, before any of its files is opened. A missing file is None."""

    key: str  # <task>/<n>, or <part>/<task>/<n> where dataset_path is a list: the same in every copy of the data
    part: str  # name of the root folder
    task_name: str  # name of the task's folder
    hdf5: File | None
    mp4: File | None

    def __str__(self) -> str:
        return str(self.hdf5 or self.mp4)


class SourceState(NamedTuple):
    """What an episode's files look like; another state means that they changed."""

    num_bytes: int  # unpacked
    versions: tuple[int, ...]  # of each file that is there: its modification time in ns, of a zip's member its CRC-32


class EpisodeFiles(NamedTuple):
    """An episode's files, ready to be opened for reading, any number of times."""

    open_hdf5: Callable[[], BinaryIO]
    open_mp4: Callable[[], BinaryIO]


@naming_argument("dataset_path")
def list_episodes(dataset_path: str | Sequence[str]) -> list[Episode]:
    """List the episodes of a source in natural order (task, then 0, 1, 2, … 10), opening none of them.

    Args:
        dataset_path: a part's folder (`part1/`), the folder that unzipping leaves around it (`part1/part1/`), a zip,
            an http(s) or fsspec URL of a zip, or `egodex://test` for Apple's own. Or several parts: a list of these,
            or a glob of folders or zips.

    Raises:
        UsageError: a source cannot be read or holds no episode.
    """
    if isinstance(dataset_path, str) and not names_several(dataset_path):
        part, files = _list_source(_location(dataset_path))
        return list(_episodes(part, files, key_prefix=""))

    episodes: list[Episode] = []
    locations: dict[str, str] = {}
    for location in _expand([dataset_path] if isinstance(dataset_path, str) else dataset_path):
        part, files = _list_source(location)
        if part in locations:
            raise UsageError(f"{locations[part]} and {location} both hold a part named {part}")
        locations[part] = location
        episodes += _episodes(part, files, key_prefix=f"{part}/")
    return episodes


def names_several(dataset_path: str | Sequence[str]) -> bool:
    """Whether a path is a list or a glob, of however many parts: keys of episodes then begin with their part."""
    return not isinstance(dataset_path, str) or _is_glob(dataset_path)


@naming_argument("dataset_path")
def local_sources(dataset_path: str | Sequence[str]) -> list[Path]:
    """The folders and zips on this machine that `dataset_path` means. Raises UsageError if a glob means nothing."""
    locations = _expand([dataset_path] if isinstance(dataset_path, str) else dataset_path)
    return [Path(location) for location in locations if "://" not in location]


def source_state(episode: Episode) -> SourceState:
    """Size and version of an episode's files; a file that is not there, or not to be looked at, counts nothing."""
    sizes, versions = [], []
    for file in (episode.hdf5, episode.mp4):
        if isinstance(file, ZipMember):
            sizes.append(file.size)
            versions.append(file.crc)
        elif file is not None:
            try:
                status = os.stat(file)
            except OSError:
                continue
            sizes.append(status.st_size)
            versions.append(status.st_mtime_ns)
    return SourceState(sum(sizes), tuple(versions))


def remote_bytes(episodes: Iterable[Episode]) -> int:
    """The size of the archives elsewhere that episodes lie in; 0 if all lie on this machine."""
    files = (file for episode in episodes for file in (episode.hdf5, episode.mp4))
    sources = {file.source for file in files if isinstance(file, ZipMember)}
    return sum(source.size for source in sources if not source.is_local)


def fetch(hdf5: File, mp4: File) -> EpisodeFiles:
    """Get an episode's files ready: nothing to do in a folder, usually one request behind http.

    Raises:
        EpisodeError: a file cannot be read, or is damaged in its archive.
        StoppedError: the archive has changed, or is gone.
    """
    if isinstance(hdf5, ZipMember) and isinstance(mp4, ZipMember) and not mp4.source.is_local:
        return _fetch_remote(hdf5, mp4)
    return EpisodeFiles(_local_opener(hdf5), _local_opener(mp4))


def fetch_one(file: File) -> Callable[[], BinaryIO]:
    """Get one file ready, without that which belongs to it: returns what opens it. Raises as `fetch` does."""
    if isinstance(file, ZipMember) and not file.source.is_local:
        return unpack(file, _streamed(file))
    return _local_opener(file)


def open_file(path: str) -> BinaryIO:
    """Open a plain file for reading."""
    try:
        return open(path, "rb", opener=_open_plain)
    except PermissionError as error:
        raise EpisodeError(Reason.PERMISSION_DENIED, f"Error loading trajectory {path}: Permission denied") from error
    except OSError as error:
        raise EpisodeError(Reason.UNREADABLE_SOURCE, f"Error loading trajectory {path}: {error.strerror}") from error


def _open_plain(path: str, flags: int) -> int:
    """Open a file unless it is a pipe, which has to be waited for, or a device, which may have no end."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "Not a plain file", path)
    return handle


# Getting an episode's files ready ---------------------------------------------------------------------------------


def _local_opener(file: File) -> Callable[[], BinaryIO]:
    if isinstance(file, str):
        return partial(open_file, file)
    return open_stored(file) if is_stored(file) else unpack(file, member_region(file))


def _fetch_remote(hdf5: ZipMember, mp4: ZipMember) -> EpisodeFiles:
    if is_stored(mp4) and mp4.size > _MIN_SPARSE_BYTES and mp4.source.is_http:
        return EpisodeFiles(unpack(hdf5, _streamed(hdf5)), _open_sparse(mp4))
    first, second = sorted((hdf5, mp4), key=lambda member: member.start)
    if second.start - first.end <= _MAX_GAP and second.end - first.start <= _MAX_REQUEST:
        both = memoryview(first.source.read(first.start, second.end))
        regions: dict[ZipMember, BinaryIO] = {
            member: io.BytesIO(both[member.start - first.start : member.end - first.start])
            for member in (first, second)
        }
    else:
        regions = {member: _streamed(member) for member in (first, second)}
    return EpisodeFiles(unpack(hdf5, regions[hdf5]), unpack(mp4, regions[mp4]))


def _streamed(member: ZipMember) -> BinaryIO:
    """A member's region, fetched in large pieces as it is read."""
    region = RangeFile(member.source, member.start, member.end)
    return io.BufferedReader(region, min(_STREAM_REQUEST, member.end - member.start) or 1)


def _open_sparse(mp4: ZipMember) -> Callable[[], BinaryIO]:
    """What opens an uncompressed video of which only what is read is fetched. Its CRC can then not be checked."""
    fetched = FetchedRanges(mp4.source, mp4.start, mp4.end)
    start = data_start(mp4, cast(BinaryIO, SparseFile(fetched, 0, mp4.end - mp4.start)))
    return lambda: cast(BinaryIO, SparseFile(fetched, start, start + mp4.size))


# Where the sources are --------------------------------------------------------------------------------------------


def _expand(paths: Sequence[str]) -> list[str]:
    """The locations that paths, globs and short names stand for."""
    locations: list[str] = []
    for path in paths:
        if _is_glob(path):
            matches = sorted(glob.glob(os.path.expanduser(path)), key=natural_key)
            if not matches:
                raise UsageError(f"nothing matches {path}")
            locations += map(_location, matches)
        else:
            locations.append(_location(path))
    if not locations:
        raise UsageError("name at least one folder or zip")
    return locations


def _is_glob(path: str) -> bool:
    return "://" not in path and glob.has_magic(path) and not os.path.exists(os.path.expanduser(path))


def _location(path: str) -> str:
    """An absolute path, or a URL that can be opened."""
    if not path:
        raise UsageError("needs a folder, a zip or a URL, not nothing")
    if "://" not in path:
        return os.path.abspath(os.path.expanduser(path))
    if not path.startswith("egodex://"):
        return path
    part = path.removeprefix("egodex://")
    if part not in PARTS:
        raise UsageError(f"{path} is not a part of EgoDex; the parts are {', '.join(PARTS)}")
    return f"{os.environ.get('EGODEX_BASE_URL', _BASE_URL).rstrip('/')}/{part}.zip"


# Which episodes there are -----------------------------------------------------------------------------------------


class _ListedFile(NamedTuple):
    task_name: str
    stem: str
    suffix: str  # hdf5 or mp4
    file: File


def _episodes(part: str, files: Iterable[_ListedFile], *, key_prefix: str) -> Iterator[Episode]:
    """Episodes in natural order from files in any order."""
    tasks: dict[str, dict[str, dict[str, File]]] = defaultdict(lambda: {"hdf5": {}, "mp4": {}})
    for task_name, stem, suffix, file in files:
        tasks[task_name][suffix][stem] = file
    key = cache(natural_key)  # many tasks have the same numbers
    for task_name in sorted(tasks, key=key):
        hdf5s, mp4s = tasks[task_name].values()
        for stem in sorted(hdf5s.keys() | mp4s.keys(), key=key):
            yield Episode(f"{key_prefix}{task_name}/{stem}", part, task_name, hdf5s.get(stem), mp4s.get(stem))


def _list_source(location: str) -> tuple[str, list[_ListedFile]]:
    """A part's name and its files."""
    if "://" in location:
        try:
            return within(LISTING_S, partial(_list_zip, location))
        except TimeoutError as error:
            raise UsageError(f"listing {location} was {error}; download the archive and give its path") from None
    if os.path.isfile(location):
        return _list_zip(location)
    if not os.path.exists(location):
        raise UsageError(f"{location} does not exist; give the folder or the zip of an EgoDex part")
    try:
        root = _find_root(Path(location))
        return root.name, [file for task in _subfolders(root) for file in _task_files(task)]
    except OSError as error:
        raise UsageError(f"cannot list {error.filename}: {error.strerror}") from error


def _list_zip(location: str) -> tuple[str, list[_ListedFile]]:
    files, roots = [], set()
    source = open_source(location)
    for member in list_members(source):
        *folders, name = (part for part in member.name.split("/") if part not in ("", "."))
        stem, _, suffix = name.rpartition(".")
        if suffix in ("hdf5", "mp4") and folders and not any(map(_is_litter, (*folders, name))):
            files.append(_ListedFile(folders[-1], stem, suffix, member))
            roots.add("/".join(folders[:-1]))
    if not files:
        raise UsageError(f"no <task>/<n>.hdf5 or <n>.mp4 in {source.redacted_location}")
    if len(roots) > 1:
        names = ", ".join(sorted(root or "." for root in roots))
        raise UsageError(f"{source.redacted_location} holds several parts ({names}); unpack it and give one")
    return PurePosixPath(roots.pop()).name or PurePosixPath(source.redacted_location).stem, files


def _find_root(path: Path) -> Path:
    """The folder whose children are task folders."""
    if _has_episodes(path):
        raise UsageError(f"{path} is a single task's folder; give the part's folder around it, {path.parent}")
    folders = _subfolders(path)
    if any(_has_episodes(folder) for folder in folders):
        return path
    parts = [folder for folder in folders if any(_has_episodes(task) for task in _subfolders(folder))]
    if len(parts) == 1:
        return parts[0]
    if parts:
        names = ", ".join(sorted(part.name for part in parts))
        raise UsageError(f"{path} holds several parts ({names}); give one of them")
    raise UsageError(f"no <task>/<n>.hdf5 or <n>.mp4 below {path}; give the folder of one EgoDex part")


def _subfolders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir() and not _is_litter(entry.name)]


def _task_files(task: Path) -> Iterator[_ListedFile]:
    task_name = task.name
    with os.scandir(task) as entries:
        for entry in entries:
            stem, _, suffix = entry.name.rpartition(".")
            if suffix in ("hdf5", "mp4") and not _is_litter(entry.name):
                yield _ListedFile(task_name, stem, suffix, entry.path)


def _has_episodes(folder: Path) -> bool:
    return any(True for _ in _task_files(folder))


def _is_litter(name: str) -> bool:
    """Hidden files, and what macOS leaves in archives."""
    return name.startswith((".", "__MACOSX"))
