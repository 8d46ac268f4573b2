"""The features of a LeRobot dataset: name, type, shape, the name of each number, and the Parquet columns they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

STATE, ACTION = "observation.state", "action"
CONFIDENCE = "hands.confidence"
UNKNOWN = -1.0  # a confidence; NaN would make every statistic of it NaN

INDICES = ("episode_index", "index", "task_index")  # which only a finished dataset knows


@dataclass(frozen=True)
class Feature:
    """A column of the table of frames: `len(names)` numbers a frame, or a single one where there are no names.

    Attributes:
        is_bulky: whether it has so many numbers that their statistics by episode would take half of all metadata.
    """

    name: str
    dtype: str
    names: tuple[str, ...] | None = None
    is_bulky: bool = False

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
    state_names: Sequence[str], action_names: Sequence[str], camera_and_hands: Sequence[Feature]
) -> list[Feature]:
    """The features of frames, but for the video.

    Args:
        state_names, action_names: of the numbers of a state, and of an action.
        camera_and_hands: as `Keys.features` gives them.
    """
    features = [Feature(STATE, "float32", tuple(state_names)), Feature(ACTION, "float32", tuple(action_names))]
    indices = [Feature(name, "int64") for name in ("frame_index", *INDICES)]
    return [*features, *camera_and_hands, Feature("timestamp", "float32"), *indices]


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


def frame_values(states: NDArray[np.float32], actions: NDArray[np.float32], fps: int) -> dict[str, NDArray[Any]]:
    """What n frames have of each feature, but for camera and hands: (n, D), or (n,) of a single number.

    Args:
        states, actions: (n, D) of them.
        fps: at which they follow each other.
    """
    steps = np.arange(len(states))
    return {STATE: states, ACTION: actions, "timestamp": (steps / fps).astype(np.float32), "frame_index": steps}


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
