"""The files in `meta/` of a LeRobot dataset: what it consists of, which tasks, which episodes, and where these lie."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_upload.errors import UsageError

VERSIONS = ("v3.0", "v2.1", "v2.0")

_PATTERN = re.compile(
    r"(?:[^{}]|\{\w+(?::0?\d{1,2}d)?\})+"
)  # of paths; what Python's formats can do beyond it is refused
_MAX_NUMBERS = 100_000  # in a row of a column

_PLACE = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")


@dataclass(frozen=True)
class Info:
    """meta/info.json.

    Attributes:
        version: of the format, one of `VERSIONS`.
        fps: frames a second.
        robot_type: who acts; empty where nobody says.
        data, video: patterns of paths.
        chunks_size: episodes a folder, before v3.0.
        features: each column and video, as described.
        cameras: the names of videos, in order; those of depth are passed over.
        action, state: the names of these columns; state None where there is none. States are the actions of a set that
            has no others, or that this converter wrote: there `action` is the next frame's state.
    """

    version: str
    fps: float
    robot_type: str
    data: str
    video: str
    chunks_size: int
    features: Mapping[str, Mapping[str, Any]]
    cameras: tuple[str, ...]
    action: str
    state: str | None

    @property
    def is_packed(self) -> bool:
        """Whether files hold many episodes, and not one each."""
        return self.version == "v3.0"

    def names(self, feature: str) -> tuple[str, ...]:
        """The names of a column's numbers: the source's, or the column's with their numbers."""
        described = self.features[feature]
        count = math.prod(int(size) for size in described.get("shape") or [1])
        if not 0 < count <= _MAX_NUMBERS:
            raise ValueError(f"{feature} has {count} numbers in a row")
        names = described.get("names")
        if isinstance(names, dict):  # {"motors": [...]}, or {"x": 0, "y": 1}
            lists = [value for value in names.values() if isinstance(value, list)]
            names = [name for each in lists for name in each] if lists else list(names)
        if isinstance(names, list) and len(names) == count == len(set(map(str, names))):
            return tuple(map(str, names))
        return tuple(f"{feature}_{number}" for number in range(count))


class VideoPlace(NamedTuple):
    """Where an episode is in a video: path below the dataset's folder, and from when to when, in seconds."""

    path: str
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True)
class ListedEpisode:
    """What the list of episodes says of one.

    Attributes:
        number: its index.
        length: its number of frames.
        tasks: in words.
        data: the path of its rows, below the dataset's folder; None: the list does not say.
        first_row: the number of its first row in the whole dataset; None: it has a file of its own.
        videos: by camera; without those of which the list does not say where they are.
        succeeded: what its `success` says, where it has that.
    """

    number: int
    length: int
    tasks: tuple[str, ...]
    data: str | None
    first_row: int | None
    videos: Mapping[str, VideoPlace] = field(default_factory=dict)
    succeeded: bool | None = None


def read_info(root: Path) -> Info:
    """Raises UsageError where there is none, or it is not that of a dataset with videos and actions."""
    path = root / "meta/info.json"
    try:
        told = json.loads(path.read_bytes())
        version = str(told["codebase_version"])
        features = {str(name): dict(feature) for name, feature in told["features"].items()}
        videos = [name for name, feature in features.items() if feature.get("dtype") == "video"]
        cameras = [name for name in videos if not _is_depth(features[name])]
        numbers = [name for name in ("action", "observation.state") if name in features]
        if (root / "meta/provenance.json").exists():
            numbers.sort(reverse=True)
        if version not in VERSIONS:
            raise UsageError(f"{path} has version {version}, which is none of {', '.join(VERSIONS)}", "dataset_path")
        if not cameras or not numbers:
            missing = "no videos" if not cameras else "neither action nor observation.state"
            raise UsageError(f"{root} has {missing}: there is nothing to convert", "dataset_path")
        info = Info(
            version=version,
            fps=float(told["fps"]),
            robot_type=str(told.get("robot_type") or ""),
            data=str(told["data_path"]),
            video=str(told["video_path"]),
            chunks_size=int(told.get("chunks_size") or 1000),
            features=features,
            cameras=tuple(cameras),
            action=numbers[0],
            state="observation.state" if "observation.state" in features else None,
        )
        if not (math.isfinite(info.fps) and info.fps > 0 and info.chunks_size > 0):
            raise ValueError(f"fps {info.fps:g}")
        for name in numbers:
            info.names(name)
        if odd := [pattern for pattern in (info.data, info.video) if not _PATTERN.fullmatch(pattern)]:
            raise ValueError(f"{odd[0]} is no pattern of paths")
    except FileNotFoundError as error:
        raise UsageError(f"{path} is not there: give the folder of a LeRobot dataset", "dataset_path") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _unusable(path, error) from error
    return info


def read_tasks(root: Path, info: Info) -> dict[int, str]:
    """Tasks in words, by number. Raises UsageError."""
    path = root / ("meta/tasks.parquet" if info.is_packed else "meta/tasks.jsonl")
    try:
        if not info.is_packed:
            return {int(line["task_index"]): _text(line["task"]) for line in _lines(path)}
        table = pq.read_table(path)
        # The texts are what pandas took for its index, which may have no name.
        words = "task" if "task" in table.column_names else "__index_level_0__"
        return {int(row["task_index"]): _text(row[words]) for row in table.to_pylist()}
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
        raise _unusable(path, error) from error


def read_episodes(root: Path, info: Info) -> Iterator[ListedEpisode]:
    """All episodes that are listed. Raises UsageError where no sense can be made of the list."""
    try:
        for row in _table_rows(root, info) if info.is_packed else _lines(root / "meta/episodes.jsonl"):
            yield _listed(row, info)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, pa.ArrowException) as error:
        raise _unusable(root / "meta", error) from error


def _listed(row: Mapping[str, Any], info: Info) -> ListedEpisode:
    number, data, first_row, videos = int(row["episode_index"]), None, None, {}
    if info.is_packed:
        chunk, file = row.get("data/chunk_index"), row.get("data/file_index")
        if chunk is not None and file is not None:
            data = _path(info.data, chunk_index=chunk, file_index=file)
        first_row = row.get("dataset_from_index")
        for camera in info.cameras:
            of_camera = {name: row.get(f"videos/{camera}/{name}") for name in _PLACE}
            chunk, file, start, end = of_camera.values()
            if chunk is not None and file is not None and start is not None:
                path = _path(info.video, video_key=camera, chunk_index=chunk, file_index=file)
                videos[camera] = VideoPlace(path, start, end)
    else:
        place_of = {"episode_chunk": number // info.chunks_size, "episode_index": number}
        data = _path(info.data, **place_of)
        videos = {camera: VideoPlace(_path(info.video, video_key=camera, **place_of)) for camera in info.cameras}
    succeeded = row.get("success")
    return ListedEpisode(
        number=number,
        length=int(row.get("length") or 0),
        tasks=tuple(map(_text, row.get("tasks") or [])),
        data=data,
        first_row=first_row,
        videos=videos,
        succeeded=succeeded if isinstance(succeeded, bool) else None,
    )


def _path(pattern: str, **values: Any) -> str:
    """Of a file below the dataset's folder. Raises ValueError where a pattern leads out of it."""
    path = pattern.format(**values)
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path} is not below the dataset's folder")
    return path


def _table_rows(root: Path, info: Info) -> Iterator[dict[str, Any]]:
    """Without statistics, which are most of the table."""
    for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
        with pq.ParquetFile(path) as file:
            wanted = [name for name in file.schema_arrow.names if not name.startswith(("stats/", "meta/"))]
            for batch in file.iter_batches(1000, columns=wanted):
                yield from batch.to_pylist()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def _text(value: Any) -> str:
    """As UTF-8 can hold it: JSON may have halves of characters."""
    return str(value).encode(errors="replace").decode()


def _is_depth(feature: Mapping[str, Any]) -> bool:
    described = feature.get("info") or feature.get("video_info") or {}
    return bool(described.get("is_depth_map") or described.get("video.is_depth_map"))


def _unusable(path: Path, error: Exception) -> UsageError:
    what = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return UsageError(f"{path} cannot be read ({' '.join(what.split())})", "dataset_path")
