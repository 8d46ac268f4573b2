"""Datasets in LeRobot form as others write them: a robot arm, two cameras, packed files or one an episode.

Frame i of episode e shows the number `e * 50 + i`, which is the first number of its action, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import video_streams

CAMERAS = ("observation.images.top", "observation.images.wrist")
TASKS = ("Stack the red cup on the blue one", "Press the key")
FRAMES, STEP = 12, 50
_FASTSTART = {"movflags": "+faststart"}
_PATHS = {
    "v3.0": (
        "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    ),
    "v2.1": (
        "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    ),
}


def write_lerobot(
    root: Path,
    version: str = "v2.1",
    *,
    codec: str = "libx264",
    b_frames: int = 2,
    gop: int = FRAMES,
    episodes: int = 3,
    info: dict[str, Any] | None = None,
) -> Path:
    """Episodes of 12 frames, of two tasks in turn; returns the folder. `info`: what its info.json has instead."""
    data, video = _PATHS[version]
    columns: dict[str, dict[str, Any]] = {
        "action": {"dtype": "float32", "shape": [3], "names": ["x", "y", "gripper"]},
        "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["shoulder", "elbow"]}},
    }
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
        columns[name] = {"dtype": "float32" if name == "timestamp" else "int64", "shape": [1], "names": None}
    for camera in CAMERAS:
        columns[camera] = {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"]}
    told = {"codebase_version": version, "robot_type": "so101", "fps": 30, "chunks_size": 1000, "features": columns}
    told |= {"data_path": data, "video_path": video, **(info or {})}
    write(root / "meta/info.json", json.dumps(told))

    tables = [episode_table(number) for number in range(episodes)]
    listed = [{"episode_index": number, "tasks": [TASKS[number % 2]], "length": FRAMES} for number in range(episodes)]
    if version == "v3.0":
        write_table(root / data.format(chunk_index=0, file_index=0), tables)
        write_table(root / "meta/tasks.parquet", [pa.table({"task_index": [0, 1], "task": TASKS})])
        for number, row in enumerate(listed):
            row |= {"data/chunk_index": 0, "data/file_index": 0, "dataset_from_index": number * FRAMES}
            for camera in CAMERAS:
                row |= {f"videos/{camera}/{name}": 0 for name in ("chunk_index", "file_index")}
                row |= {f"videos/{camera}/from_timestamp": number * FRAMES / 30}
                row |= {f"videos/{camera}/to_timestamp": (number + 1) * FRAMES / 30}
        write_table(root / "meta/episodes/chunk-000/file-000.parquet", [pa.Table.from_pylist(listed)])
        numbers = [number * STEP + frame for number in range(episodes) for frame in range(FRAMES)]
        for camera in CAMERAS:
            content = drawn(codec, numbers, gop, b_frames)
            write(root / video.format(video_key=camera, chunk_index=0, file_index=0), content)
        return root
    write(root / "meta/tasks.jsonl", lines({"task_index": i, "task": task} for i, task in enumerate(TASKS)))
    write(root / "meta/episodes.jsonl", lines(listed))
    for number, table in enumerate(tables):
        write_table(root / data.format(episode_chunk=0, episode_index=number), [table])
        content = drawn(codec, [number * STEP + frame for frame in range(FRAMES)], gop, b_frames)
        for camera in CAMERAS:
            write(root / video.format(video_key=camera, episode_chunk=0, episode_index=number), content)
    return root


def drawn(codec: str, numbers: list[int], gop: int, b_frames: int) -> bytes:
    """A video of frames with these numbers, its index in front."""
    return video_streams.encode(
        codec, len(numbers), gop=gop, b_frames=b_frames, numbers=numbers, container_options=_FASTSTART
    )


def episode_table(number: int) -> pa.Table:
    """The rows of an episode."""
    steps = np.arange(FRAMES)
    actions = np.stack([number * STEP + steps, steps / 8, steps % 2], axis=1).astype(np.float32)
    return pa.table(
        {
            "action": pa.FixedSizeListArray.from_arrays(pa.array(actions.reshape(-1)), 3),
            "observation.state": pa.array((actions[:, :2] / 2).tolist(), pa.list_(pa.float32())),
            "timestamp": (steps / 30).astype(np.float32),
            "frame_index": steps,
            "episode_index": steps * 0 + number,
            "index": steps + number * FRAMES,
            "task_index": steps * 0 + number % 2,
        }
    )


def write_table(path: Path, tables: list[pa.Table]) -> None:
    """A row group of each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)


def lines(values: Any) -> str:
    """A JSON value a line."""
    return "".join(f"{json.dumps(value)}\n" for value in values)


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
