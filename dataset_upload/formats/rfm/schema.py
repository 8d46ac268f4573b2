"""The columns of an RFM dataset: name, type, meaning, and where each value comes from, spelled once.

The main table has the RFM pipeline's own eight, then what belongs to the clip's frames, then where the episode comes
from, then what its loader declares. The sidecar has the hands, so that readers who only train do not pay for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataset_upload.about import Column
from dataset_upload.formats.declared_columns import DECLARED_TYPES
from dataset_upload.formats.rfm.layout import HANDS, MAIN
from dataset_upload.trajectory import Trajectory
from dataset_upload.video.geometry import Resize

VERSION = 2
READABLE_VERSIONS = (1, 2)
NEW_IN_VERSION_2 = (
    "source_seconds_left",
    "collector",
    "which_llm_description",
    "description",
    "annotated_task",
    "annotated_type",
    "annotator_version",
)

NUM_PIPELINE_COLUMNS = 8  # the first ones, which the RFM pipeline reads
VECTOR_SIZE = 384

_vector = pa.list_(pa.float32())
_matrix = pa.list_(_vector)
_matrices = pa.list_(_matrix)

# For readers that open a clip from wherever they run. It is made with the tables, and never pushed.
FRAMES_VIDEO = pa.field("frames_video", pa.string())


@dataclass(frozen=True)
class Example:
    """One trajectory with its clip of n frames: what a row is made of.

    Attributes:
        indices: (n,) which of the trajectory's frames the clip holds.
        frames: the clip's path, or those of its JPEGs, in the output folder.
        resize: what was done to its frames.
        lang_vector: (384,) of the task.
        actions: (n, D) of the clip's frames.
    """

    trajectory: Trajectory
    indices: NDArray[np.int64]
    frames: str | list[str]
    resize: Resize
    lang_vector: NDArray[np.float32]
    actions: NDArray[np.float32]


class Field(NamedTuple):
    """A column.

    Attributes:
        name, type: as in the table.
        meaning: for the card; neighbours with the same meaning are explained together.
        value: its value in the row of an example; NaN stands for what is unknown.
        meaning_without_hands: for the card of datasets some of which have no hands, where it is another.
    """

    name: str
    type: pa.DataType
    meaning: str
    value: Callable[[Example], Any]
    meaning_without_hands: str | None = None


def main_fields(declared: Sequence[Column]) -> list[Field]:
    """The main table's columns, of a loader that declares these of its own."""
    of_loader = [Field(c.name, DECLARED_TYPES[c.type], c.meaning, _declared(c.name)) for c in declared]
    return [*_FIELDS, *of_loader, _VERSION_FIELD]


def main_schema(declared: Sequence[Column], *, use_video: bool, version: int = VERSION) -> pa.Schema:
    """The main table's schema; without video, `frames` is a list of JPEG paths."""
    fields = {field.name: field.type for field in main_fields(declared)}
    if version == 1:
        fields = {name: kind for name, kind in fields.items() if name not in NEW_IN_VERSION_2}
    if not use_video:
        fields["frames"] = pa.list_(pa.string())
    return pa.schema(list(fields.items()))


HANDS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("left_hand", _matrices),
        ("right_hand", _matrices),
        ("left_wrist_rotation", _matrices),
        ("right_wrist_rotation", _matrices),
    ]
)


def schemas(declared: Sequence[Column], hand_joints: Sequence[str], *, use_video: bool) -> dict[str, pa.Schema]:
    """The schema of each table; there is no sidecar where trajectories have no hands."""
    sidecar = {HANDS: HANDS_SCHEMA} if hand_joints else {}
    return {MAIN: main_schema(declared, use_video=use_video), **sidecar}


def make_rows(
    example: Example, declared: Sequence[Column], tables: Mapping[str, pa.Schema]
) -> dict[str, pa.RecordBatch]:
    """An example's row of each table, every column included.

    Args:
        declared: the loader's columns.
        tables: as `schemas` gives them.
    """
    values = {MAIN: {field.name: field.value(example) for field in main_fields(declared)}}
    hands = example.trajectory.get("hands")
    values[HANDS] = {"id": example.trajectory["id"]} | {
        name: None if hands is None else cast(dict[str, Any], hands)[name][example.indices]
        for name in HANDS_SCHEMA.names[1:]
    }
    return {
        table: pa.record_batch([pa.array([_plain(values[table][f.name])], f.type) for f in schema], schema)
        for table, schema in tables.items()
    }


def _plain(value: Any) -> Any:
    """A value as Arrow's converters take it: nested lists, NaN for unknown numbers as null."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == np.float32 and np.isnan(value).any():
        value = np.where(np.isnan(value), np.array(None), value)
    return value.tolist() if value.ndim > 1 else value


# Where values come from --------------------------------------------------------------------------------------


def _whole(key: str) -> Callable[[Example], Any]:
    """A value of the trajectory as it is."""
    return lambda example: cast(dict[str, Any], example.trajectory)[key]


def _at_clip_frames(key: str) -> Callable[[Example], Any]:
    """What the trajectory has for each of its frames, at the clip's; null where it has nothing."""

    def value(example: Example) -> Any:
        rows = cast(dict[str, Any], example.trajectory).get(key)
        return None if rows is None else rows[example.indices]

    return value


def _declared(name: str) -> Callable[[Example], Any]:
    return lambda example: cast(dict[str, Any], example.trajectory).get(name)


def _intrinsics(example: Example) -> NDArray[np.float32] | None:
    matrix = example.trajectory.get("intrinsics")
    return None if matrix is None else example.resize.intrinsics(matrix)


def _seconds_left(example: Example) -> NDArray[np.float64] | None:
    times = example.trajectory["frames"].timestamps
    return None if np.isnan(times).any() else times[-1] - times[example.indices]


_FIXED = 'false, "successful", null: people doing the task'
_FREE = "whether a robot does it; how it went; how far it got, 0 to 1, or null"
_OR_NULL = "; null where the source has none"
_CAMERA_POSE = "(T, 4, 4) camera pose; camera axes x right, y down, z forward"
_CAMERA_MATRIX = "(3, 3) camera matrix in pixels of the clip's frames, origin at their top-left corner"
_CLIP_TIMES = "the clip's frames in the source video: index, seconds"
_SOURCE_VIDEO = "the source video's"
_EPISODE = "the episode's key, its part of EgoDex, its task's folder"
_ANY_EPISODE = "the episode's key, its part of the source, its task's folder"

_FIELDS = [
    Field("id", pa.string(), "the trajectory's id, the same at every conversion", _whole("id")),
    Field("task", pa.string(), "what is done, in words", _whole("task")),
    Field(
        "lang_vector",
        _vector,
        "384 numbers of unit norm: `task` by all-MiniLM-L6-v2",
        lambda example: example.lang_vector,
    ),
    Field("data_source", pa.string(), "the dataset's name", _whole("data_source")),
    Field(
        "frames",
        pa.string(),
        "path of the clip: H.264 MP4 (or the paths of its JPEGs)",
        lambda example: example.frames,
    ),
    Field("is_robot", pa.bool_(), _FIXED, _whole("is_robot"), _FREE),
    Field("quality_label", pa.string(), _FIXED, _whole("quality_label"), _FREE),
    Field("partial_success", pa.float32(), _FIXED, _whole("partial_success"), _FREE),
    Field("actions", _matrix, "(T, D) {actions}", lambda example: example.actions),
    Field(
        "confidences",
        _matrix,
        "(T, 4) in 0..1 for left hand, right hand, left and right index tip; null where the source says nothing",
        _at_clip_frames("confidences"),
        f"how sure a tracker is of the hands{_OR_NULL}",
    ),
    Field(
        "camera_to_world",
        _matrices,
        _CAMERA_POSE,
        _at_clip_frames("camera_to_world"),
        f"{_CAMERA_POSE}{_OR_NULL}",
    ),
    Field(
        "intrinsics",
        _matrix,
        _CAMERA_MATRIX,
        _intrinsics,
        f"{_CAMERA_MATRIX}{_OR_NULL}",
    ),
    Field("frame_indices", pa.list_(pa.int32()), _CLIP_TIMES, lambda example: example.indices),
    Field(
        "timestamps",
        pa.list_(pa.float64()),
        _CLIP_TIMES,
        lambda example: example.trajectory["frames"].timestamps[example.indices],
    ),
    Field(
        "source_seconds_left",
        pa.list_(pa.float64()),
        "seconds from each of them to the source video's last one; null where times are unknown",
        _seconds_left,
    ),
    Field("source_num_frames", pa.int32(), _SOURCE_VIDEO, lambda example: len(example.trajectory["frames"])),
    Field("source_fps", pa.float64(), _SOURCE_VIDEO, lambda example: example.trajectory["frames"].fps),
    Field("source", pa.string(), _EPISODE, _whole("source"), _ANY_EPISODE),
    Field("part", pa.string(), _EPISODE, _whole("part"), _ANY_EPISODE),
    Field("task_name", pa.string(), _EPISODE, _whole("task_name"), _ANY_EPISODE),
]

_VERSION_FIELD = Field(
    "schema_version",
    pa.int32(),
    "of these columns; {new_columns} are new in 2",
    lambda example: VERSION,
    "of these columns; new in 2: {new_columns}",
)
