"""What a worker knows of an episode: its row in the table of episodes, but for where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_upload.about import Column
from dataset_upload.formats.declared_columns import DECLARED_TYPES
from dataset_upload.formats.lerobot.episode_stats import stats_fields
from dataset_upload.formats.lerobot.features import Feature
from dataset_upload.trajectory import Trajectory

_EPISODE_FIELDS = [
    ("length", pa.int64()),
    ("source", pa.string()),
    ("part", pa.string()),
    ("task_name", pa.string()),
    ("source_fps", pa.float64()),
    ("source_num_frames", pa.int64()),
    ("confidence_known", pa.bool_()),
]
_STORED_BYTES = [
    ("clip_number", pa.int64()),
    ("clip_bytes", pa.int64()),
    ("clip_sha256", pa.string()),
    ("clip_coding", pa.string()),
]


def schema_of_episode(declared: Sequence[Column], features: Sequence[Feature], camera: str) -> pa.Schema:
    """What a worker knows of an episode: a row of this; `camera` is the name of the video."""
    of_loader = [(column.name, DECLARED_TYPES[column.type]) for column in declared]
    return pa.schema(
        [
            ("tasks", pa.list_(pa.string())),
            *_EPISODE_FIELDS,
            *of_loader,
            *_STORED_BYTES,
            *stats_fields(features, camera),
        ]
    )


def episode_values(trajectory: Trajectory, length: int, declared: Sequence[Column]) -> dict[str, Any]:
    """Such a row of a trajectory, without statistics, and without what is known of its clip."""
    frames, confidences = trajectory["frames"], trajectory.get("confidences")
    columns: Mapping[str, Any] = trajectory
    return {
        "tasks": [trajectory["task"]],
        "length": length,
        "source_fps": frames.fps,
        "source_num_frames": len(frames),
        "confidence_known": confidences is not None and not bool(np.isnan(confidences).any()),
        **{name: columns[name] for name in ("source", "part", "task_name")},
        **{column.name: columns.get(column.name) for column in declared},
    }
