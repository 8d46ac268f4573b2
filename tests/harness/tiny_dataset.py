"""A tiny dataset as the converter documents it, for the tests of rfm: rows, clips and card, made in a moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TASKS = ("open_box", "wipe_table", "stack_blocks", "fold_towel")
EPISODES_PER_TASK = 6
FRAMES, SIDE = 12, 32


def text_vector(text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """(384,) of unit norm, another direction for each text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(384)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def write_clip(path: Path, seed: int, frames: int = FRAMES) -> None:
    """A bright square that moves from left to right over a background of its own."""
    background = np.random.default_rng(seed).integers(0, 120, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=30)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for i in range(frames):
            image = np.full((SIDE, SIDE, 3), background, np.uint8)
            left = round(i * (SIDE - 8) / max(frames - 1, 1))
            image[8:16, left : left + 8] = 250
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))


def write_dataset(
    root: Path, name: str, *, tasks: Sequence[str] = TASKS, episodes: int = EPISODES_PER_TASK, first_seed: int = 0
) -> None:
    """The dataset `root`/`name`; two successive episodes of a task share a session. Clips of equal seeds are equal."""
    rows: list[dict[str, object]] = []
    for task in tasks:
        for number in range(episodes):
            clip = f"{name}/batch_0000/trajectory_{len(rows):04d}.mp4"
            write_clip(root / clip, seed=first_seed + len(rows))
            rows.append(
                {
                    "id": f"{name}-{task}-{number}",
                    "task": f"{task.replace('_', ' ')} number {number % 2}",
                    "lang_vector": text_vector(f"{task} {number % 2}"),
                    "data_source": name,
                    "frames": clip,
                    "is_robot": False,
                    "quality_label": "successful",
                    "partial_success": None,
                    "task_name": task,
                    "session_name": f"{task}-{number // 2}.mov",
                }
            )
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("task", pa.string()),
            ("lang_vector", pa.list_(pa.float32())),
            ("data_source", pa.string()),
            ("frames", pa.string()),
            ("is_robot", pa.bool_()),
            ("quality_label", pa.string()),
            ("partial_success", pa.float32()),
            ("task_name", pa.string()),
            ("session_name", pa.string()),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), root / name / "train-00000-of-00001.parquet")


def mark_as_drawn(root: Path, *names: str) -> None:
    """conversion.json of these datasets, as the converter writes it for drawn episodes."""
    for name in names:
        (root / name / "conversion.json").write_text(json.dumps({"counts": {"done": 1, "drawn": 1}}))


def write_card(root: Path, names: Sequence[str]) -> None:
    """README.md of the folder, which lists the datasets and their sidecars."""
    lines = ["---", "license: cc-by-nc-nd-4.0", "configs:"]
    for name in names:
        for config, path in ((name, f"{name}/train-*.parquet"), (f"{name}_hands", f"{name}/hands/train-*.parquet")):
            lines += [f"- config_name: {config}", "  data_files:", f"  - split: train\n    path: {path}"]
    (root / "README.md").write_text("\n".join([*lines, "---", "# Datasets", ""]))


def write_datasets(root: Path, *names: str) -> Path:
    """A folder with these datasets and its card; returns it."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_dataset(root, name)
    write_card(root, names)
    return root
