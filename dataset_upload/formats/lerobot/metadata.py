"""The files in `meta/` that tell readers what is in a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_upload.formats.lerobot import index
from dataset_upload.formats.lerobot.episode_stats import NAMES, number_stats, of_episode
from dataset_upload.formats.lerobot.features import INDICES, Feature, describe_video
from dataset_upload.formats.lerobot.index import Place
from dataset_upload.formats.lerobot.layout import CHUNK, INFO, TASKS, Layout
from dataset_upload.storage.damage import reading
from dataset_upload.video.packed_video import read_coding

_PANDAS = {  # what tells pandas that `task` is the index, which LeRobot looks tasks up by
    "index_columns": ["task"],
    "column_indexes": [],
    "columns": [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
    ],
    "creator": {"library": "pyarrow", "version": pa.__version__},
    "pandas_version": "2.3.3",
}


def index_columns(place: Place, fps: int, camera: str) -> dict[str, Any]:
    """What a row of the table of episodes says of where the episode is, and what follows from that.

    Args:
        fps, camera: rate and name of the video.
    """
    start, end = place.first_row, place.first_row + place.length
    numbers = {
        "episode_index": place.episode,
        "data/chunk_index": place.data_file // CHUNK,
        "data/file_index": place.data_file % CHUNK,
        "dataset_from_index": start,
        "dataset_to_index": end,
        f"videos/{camera}/chunk_index": place.video_file // CHUNK,
        f"videos/{camera}/file_index": place.video_file % CHUNK,
        "meta/episodes/chunk_index": place.meta_file // CHUNK,
        "meta/episodes/file_index": place.meta_file % CHUNK,
    }
    seconds = {
        f"videos/{camera}/from_timestamp": place.first_frame / fps,
        f"videos/{camera}/to_timestamp": (place.first_frame + place.length) / fps,
    }
    return {**numbers, **seconds, **_index_stats(place)}


def _index_stats(place: Place) -> dict[str, Any]:
    import numpy as np

    rows = np.arange(place.first_row, place.first_row + place.length)
    values = {"index": rows, "episode_index": rows * 0 + place.episode, "task_index": rows * 0 + place.task}
    return {
        f"stats/{feature}/{name}": value
        for feature in INDICES
        for name, value in number_stats(values[feature][:, None]).items()
    }


def index_fields(camera: str) -> list[pa.Field]:
    """The columns that `index_columns` gives."""
    example = index_columns(Place(0, 0, 0, 0, 0, 0, 0, 0, 1), 1, camera)
    of_list = {True: pa.list_(pa.int64()), False: pa.list_(pa.float64())}
    return [
        pa.field(name, of_list[name.endswith("/count")])
        if isinstance(value, list)
        else pa.field(name, pa.float64() if isinstance(value, float) else pa.int64())
        for name, value in example.items()
    ]


def write_info(
    root: Path,
    layout: Layout,
    features: Sequence[Feature],
    places: Sequence[Place],
    *,
    fps: int,
    robot_type: str,
    num_tasks: int,
    video: Path | None,
) -> None:
    """info.json; `video` is the first one, by which all are described, None where there is no episode."""
    described = {feature.name: feature.describe() for feature in features}
    if video is not None:
        size, codec = read_coding(video)
        described[layout.camera] = describe_video(size, fps, codec)
    num_files = len(places)
    own = (
        {"data_files_size_in_mb": index.DATA_BYTES // 10**6, "video_files_size_in_mb": index.VIDEO_BYTES // 10**6}
        if layout.is_packed
        else {"total_videos": num_files, "total_chunks": -(-num_files // CHUNK)}
    )
    info = {
        "codebase_version": layout.version,
        "robot_type": robot_type,
        "total_episodes": len(places),
        "total_frames": sum(place.length for place in places),
        "total_tasks": num_tasks,
        "chunks_size": CHUNK,
        **own,
        "fps": fps,
        "splits": {"train": f"0:{len(places)}"},
        "data_path": layout.data,
        "video_path": layout.video,
        "features": described,
    }
    write_json(root / INFO, info)


def write_tasks(root: Path, tasks: Mapping[str, int], layout: Layout) -> None:
    """The table of tasks, row i is task i."""
    if not layout.is_packed:
        write_lines(root / "meta/tasks.jsonl", ({"task_index": i, "task": task} for task, i in tasks.items()))
        return
    columns = [pa.array(list(tasks.values()), pa.int64()), pa.array(list(tasks), pa.string())]
    schema = pa.schema([("task_index", pa.int64()), ("task", pa.string())], {"pandas": json.dumps(_PANDAS)})
    (root / TASKS).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=schema), root / TASKS)


def write_episode_lines(root: Path, tables: Sequence[Path], features: Sequence[Feature], camera: str) -> None:
    """What v2.1 has of episodes, from our table of them: episodes.jsonl, episodes_stats.jsonl."""

    def rows() -> Iterator[dict[str, Any]]:
        for table in tables:
            with reading(table):
                for batch in pq.ParquetFile(table).iter_batches(100):
                    yield from batch.to_pylist()

    def lines() -> Iterator[dict[str, Any]]:
        for row in rows():
            own = {name: value for name, value in row.items() if "/" not in name and not name.startswith("dataset_")}
            yield {"episode_index": own.pop("episode_index"), **own}

    kinds = [camera, *INDICES, *(feature.name for feature in of_episode(features))]
    of_v21 = NAMES[:5]  # without quantiles

    def stats() -> Iterator[dict[str, Any]]:
        for row in rows():
            of_row = {kind: {name: row[f"stats/{kind}/{name}"] for name in of_v21} for kind in kinds}
            yield {"episode_index": row["episode_index"], "stats": of_row}

    write_lines(root / "meta/episodes.jsonl", lines())
    write_lines(root / "meta/episodes_stats.jsonl", stats())


def write_json(path: Path, value: Any) -> None:
    """A JSON file of several lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """A JSON value a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
