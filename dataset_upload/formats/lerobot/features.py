"""The features of a LeRobot dataset: name, type, shape, the name of each number, and the Parquet columns they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataset_upload.trajectory import Trajectory
from dataset_upload.video.geometry import Resize

STATE, ACTION = "observation.state", "action"
POSE, INTRINSICS, CONFIDENCE, HANDS = "camera.pose", "camera.intrinsics", "hands.confidence", "hands.xyz"
UNKNOWN = -1.0  # a confidence; NaN would make every statistic of it NaN

INDICES = ("episode_index", "index", "task_index")  # which only a finished dataset knows

_CONFIDENCES = ("left_hand", "right_hand", "left_index_fingertip", "right_index_fingertip")


@dataclass(frozen=True)
class Feature:
    """A column of the table of frames: `len(names)` numbers a frame, or a single one where there are no names."""

    name: str
    dtype: str
    names: tuple[str, ...] | None = None

    @property
    def type(self) -> pa.DataType:
        """As Parquet has it."""
        single = pa.float32() if self.dtype == "float32" else pa.int64()
        return single if self.names is None else pa.list_(single, len(self.names))

    @property
    def num_columns(self) -> int:
        return 1 if self.names is None else len(self.names)

    @property
    def num_bytes(self) -> int:
        """Of a frame."""
        return self.num_columns * (4 if self.dtype == "float32" else 8)

    def describe(self) -> dict[str, Any]:
        """As info.json has it."""
        names = list(self.names) if self.names is not None else [self.name]
        return {"dtype": self.dtype, "shape": [self.num_columns], "names": names}


def frame_features(
    state_names: Sequence[str], action_names: Sequence[str], hand_joints: Sequence[str], *, hands: bool
) -> list[Feature]:
    """The features of frames, but for the video.

    Args:
        state_names, action_names: of the numbers of a state, and of an action.
        hand_joints: the points of a hand; none where trajectories have neither hands nor camera.
        hands: whether to keep all their positions.
    """
    features = [Feature(STATE, "float32", tuple(state_names)), Feature(ACTION, "float32", tuple(action_names))]
    if hand_joints:
        pose = tuple(f"camera_to_world_{row}{column}" for row in range(4) for column in range(4))
        features += [
            Feature(POSE, "float32", pose),
            Feature(INTRINSICS, "float32", tuple(f"K_{row}{column}" for row in range(3) for column in range(3))),
            Feature(CONFIDENCE, "float32", _CONFIDENCES),
        ]
    if hand_joints and hands:
        joints = [f"{side}{joint}_{axis}" for side in ("left", "right") for joint in hand_joints for axis in "xyz"]
        features.append(Feature(HANDS, "float32", tuple(joints)))
    indices = [Feature(name, "int64") for name in ("frame_index", *INDICES)]
    return [*features, Feature("timestamp", "float32"), *indices]


def describe_video(size: tuple[int, int], fps: int, codec: str) -> dict[str, Any]:
    """The video's feature, as info.json has it; `size` is (width, height)."""
    width, height = size
    facts = {
        "height": height,
        "width": width,
        "codec": codec,
        "pix_fmt": "yuv420p",
        "is_depth_map": False,
        "fps": fps,
        "channels": 3,
    }
    return {
        "dtype": "video",
        "shape": [height, width, 3],
        "names": ["height", "width", "channels"],
        "info": {**{f"video.{name}": value for name, value in facts.items()}, "has_audio": False},
    }


def frame_values(
    trajectory: Trajectory,
    indices: NDArray[np.int64],
    resize: Resize,
    states: NDArray[np.float32],
    actions: NDArray[np.float32],
    fps: int,
) -> dict[str, NDArray[Any]]:
    """What a trajectory has of each feature at n of its frames: (n, D), or (n,) of a single number.

    Args:
        indices: of these frames.
        resize: what was done to them.
        states, actions: (n, D) of them.
        fps: at which they follow each other.
    """
    count = len(indices)
    steps = np.arange(count)
    values: dict[str, NDArray[Any]] = {
        STATE: states,
        ACTION: actions,
        "timestamp": (steps / fps).astype(np.float32),
        "frame_index": steps,
    }
    if "camera_to_world" in trajectory:
        values[POSE] = trajectory["camera_to_world"][indices].reshape(count, 16)
    if "intrinsics" in trajectory:
        values[INTRINSICS] = np.tile(resize.intrinsics(trajectory["intrinsics"]).reshape(1, 9), (count, 1))
    confidences = trajectory.get("confidences")
    known = np.full((count, len(_CONFIDENCES)), np.nan) if confidences is None else confidences[indices]
    values[CONFIDENCE] = np.nan_to_num(known, nan=UNKNOWN).astype(np.float32)
    if "hands" in trajectory:
        hands = trajectory["hands"]
        values[HANDS] = np.stack([hands["left_hand"][indices], hands["right_hand"][indices]], 1).reshape(count, -1)
    return values


def schema_of_frames(features: Sequence[Feature]) -> pa.Schema:
    """The table of frames."""
    return pa.schema([(feature.name, feature.type) for feature in features])


def as_column(feature: Feature, values: NDArray[Any]) -> pa.Array:
    """A column of (n, D) numbers, or of (n,)."""
    flat = pa.array(
        np.ascontiguousarray(values).reshape(-1), pa.float32() if feature.dtype == "float32" else pa.int64()
    )
    return flat if feature.names is None else pa.FixedSizeListArray.from_arrays(flat, len(feature.names))


def as_numbers(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """(n, D) numbers of a column, D = 1 for single ones."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = array.flatten() if pa.types.is_fixed_size_list(array.type) else array
    numbers: NDArray[Any] = flat.to_numpy(zero_copy_only=False)
    return numbers.reshape(len(array), -1)
