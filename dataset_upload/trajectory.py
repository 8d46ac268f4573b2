"""The one record that loaders yield and conversion takes."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from dataset_upload.video.decoding import VideoFrames


class HandPoses(TypedDict):
    """Both hands at every frame, in the world frame, metres.

    Joint order and the axes of a wrist are the loader's; for EgoDex see `dataset_loaders/egodex/actions.py`.
    """

    left_hand: NDArray[np.float32]  # (T, 25, 3)
    right_hand: NDArray[np.float32]  # (T, 25, 3)
    left_wrist_rotation: NDArray[np.float32]  # (T, 3, 3), wrist axes to world
    right_wrist_rotation: NDArray[np.float32]  # (T, 3, 3), wrist axes to world


class Trajectory(TypedDict):
    """One episode: a video, and for each of its T frames where hands and camera were.

    Row i of every (T, …) array belongs to frame i. Positions are metres in the recording's own world frame
    (for EgoDex ARKit's: y up, origin near the feet, another one in each episode).
    """

    frames: VideoFrames  # T lazy (H, W, 3) uint8 RGB frames
    actions: NDArray[np.float32]  # (T, D)
    action_names: tuple[str, ...]  # D names: leftHand_x, …
    task: str  # the description that applies
    task_name: str  # the task's folder
    task_certain: bool  # False where the file does not say which of two descriptions applies
    id: str  # UUIDv5 of dataset name and episode key: the same on every machine
    is_robot: bool
    quality_label: str
    partial_success: float | None
    data_source: str
    camera_to_world: NDArray[np.float32]  # (T, 4, 4), camera axes: x right, y down, z forward
    intrinsics: NDArray[np.float32]  # (3, 3) of the source frame, pixel origin at the top-left corner
    confidences: NDArray[np.float32] | None  # (T, k) in 0..1, NaN where unknown; None: the file has none
    hands: HandPoses
    source: str  # episode key: <task>/<n>
    part: str  # the root folder's name: test, part1, …
    is_drawn: bool  # not filmed: by make_mini_egodex, say
    note: str | None  # what had to be mended, in one line
    llm_description: str | None
    llm_description2: str | None
    which_llm_description: int | None  # 1 or 2
    llm_type: str | None
    session_name: str | None
    collector: str | None  # who recorded it: C7, …
    environment: str | None
    object: str | None
    llm_verbs: list[str]
    llm_objects: list[str]
    description: str | None  # in newer annotations only
    annotated_task: str | None  # the annotation's own name of the task
    annotated_type: str | None  # in newer annotations only
    annotator_version: float | None
