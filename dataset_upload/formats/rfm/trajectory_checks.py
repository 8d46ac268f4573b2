"""Checks of one trajectory: its clip, decoded, and the numbers that belong to the clip's frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from dataset_upload.formats.rfm.finished_dataset import NUM_JOINTS, RfmDataset, RfmTrajectory
from dataset_upload.formats.rfm.schema import HANDS_SCHEMA
from dataset_upload.stored_trajectory import SIDES, Array
from dataset_upload.video.clip_facts import ClipFacts, read_clip

_ROTATION_TOLERANCE = 1e-3  # by how much R^T R may differ from the identity, and a last row from 0 0 0 1
_SAME_PLACE = 1e-6  # metres
_SAME_TIME = 1e-6  # seconds


class Case:
    """One trajectory under examination; T is the number of frames that its actions are for."""

    def __init__(self, dataset: RfmDataset, trajectory: RfmTrajectory) -> None:
        self.source = trajectory.source
        self.settings: dict[str, Any] = dataset.description["settings"]
        self.action_names: list[str] = dataset.description["action_names"]
        entry = dataset.ledger.get(self.source)
        self.sha256 = entry.clip_sha256 if entry else None
        self._trajectory = trajectory

    @cached_property
    def clip(self) -> ClipFacts:
        """The clip, decoded once for all checks. Raises OSError."""
        return read_clip(self._trajectory.clip_contents())

    @property
    def num_frames(self) -> int:
        return len(self._trajectory.row["actions"])

    def array(self, column: str) -> Array:
        """A column as numbers; missing ones are NaN. Raises ValueError where rows differ in length."""
        return np.array(self._trajectory.row[column], np.float64)

    def has(self, column: str) -> bool:
        """Whether there is this column: not in datasets of an older version."""
        return column in self._trajectory.row

    def value(self, column: str) -> Any:
        return self._trajectory.row[column]

    def is_null(self, column: str) -> bool:
        """Whether there is nothing in this column, or no such column: of trajectories without camera or hands."""
        return self._trajectory.row.get(column) is None


TrajectoryCheck = Callable[[Case], Iterator[str]]


def clips_decode(case: Case) -> Iterator[str]:
    """Every clip can be decoded from start to end."""
    case.clip  # noqa: B018  raises what is wrong
    yield from ()


def clip_checksums(case: Case) -> Iterator[str]:
    """Every clip has the SHA-256 of the ledger."""
    if case.clip.sha256 != case.sha256:
        yield f"SHA-256 {case.clip.sha256[:12]}…, in the ledger {str(case.sha256)[:12]}…"


def clip_formats(case: Case) -> Iterator[str]:
    """Every clip plays in browsers: H.264, yuv420p, index in front; or JPEG."""
    expected = {"h264 yuv420p"} if case.settings["use_video"] else {"mjpeg yuvj420p"}
    if case.clip.codecs != expected:
        yield f"{', '.join(sorted(case.clip.codecs))}"
    if case.clip.index_in_front is False:
        yield "its index is at the end"


def clip_sizes(case: Case) -> Iterator[str]:
    """Every clip has the width and height that were set."""
    side, shortest = case.settings["frame_size"], case.settings["shortest_edge_size"]
    for width, height in sorted(case.clip.sizes):
        if shortest is None and (width, height) != (side, side):
            yield f"{width}x{height} pixels, not {side}x{side}"
        if shortest is not None and min(width, height) != shortest:
            yield f"{width}x{height} pixels, the shorter edge is not {shortest}"
    if len(case.clip.sizes) != 1:
        yield f"{len(case.clip.sizes)} sizes of frames"


def clip_rates(case: Case) -> Iterator[str]:
    """Every clip plays at the frame rate that was set."""
    if case.clip.fps is not None and abs(case.clip.fps - case.settings["fps"]) > 0.01:
        yield f"{case.clip.fps:g} frames a second, not {case.settings['fps']}"


def clip_lengths(case: Case) -> Iterator[str]:
    """Every clip has a frame for each action, and no more frames than were set."""
    if case.clip.num_frames != case.num_frames:
        yield f"{case.clip.num_frames} frames in the clip, {case.num_frames} actions"
    if 0 < case.settings["max_frames"] < case.num_frames:
        yield f"{case.num_frames} frames, over {case.settings['max_frames']}"


def actions_finite(case: Case) -> Iterator[str]:
    """Every action has a finite number for each of its names."""
    actions = case.array("actions")
    if actions.shape != (case.num_frames, len(case.action_names)):
        yield f"actions have shape {actions.shape}, not {(case.num_frames, len(case.action_names))}"
    elif not np.isfinite(actions).all():
        row, column = np.argwhere(~np.isfinite(actions))[0]
        yield f"{case.action_names[column]} of frame {row} is no number"


def times_rise(case: Case) -> Iterator[str]:
    """Frame indices and time stamps rise from 0, within the source video."""
    indices, times = case.array("frame_indices"), case.array("timestamps")
    if indices.shape != (case.num_frames,) or times.shape != (case.num_frames,):
        yield f"{indices.size} frame indices and {times.size} time stamps for {case.num_frames} frames"
    elif not (np.diff(indices) > 0).all() or indices[0] != 0 or indices[-1] >= case.value("source_num_frames"):
        yield f"frame_indices do not rise from 0 to at most {case.value('source_num_frames') - 1}"
    elif not (np.diff(times) > 0).all() or times[0] != 0:
        yield "timestamps do not rise from 0"


def seconds_left_fall(case: Case) -> Iterator[str]:
    """Seconds left fall as time stamps rise, to 0 at the source's last frame, or are null where times are unknown."""
    if not case.has("source_seconds_left"):
        return
    times = case.array("timestamps")
    if case.value("source_seconds_left") is None:
        if np.isfinite(times).all():
            yield "source_seconds_left is null, though the time stamps are known"
        return
    left = case.array("source_seconds_left")
    if left.shape != (case.num_frames,):
        yield f"{left.size} seconds left for {case.num_frames} frames"
    elif not (np.abs(left + times - left[-1] - times[-1]) < _SAME_TIME).all() or left[-1] < 0:
        yield "source_seconds_left does not fall as timestamps rise"
    elif (left[-1] == 0) != (case.value("frame_indices")[-1] == case.value("source_num_frames") - 1):
        yield f"{left[-1]:g} seconds are left at frame {case.value('frame_indices')[-1]}"


def confidences_in_range(case: Case) -> Iterator[str]:
    """Every confidence is from 0 to 1, or unknown."""
    if case.is_null("confidences"):
        return
    confidences = case.array("confidences")
    if confidences.shape != (case.num_frames, 4):
        yield f"confidences have shape {confidences.shape}, not {(case.num_frames, 4)}"
    elif (confidences < 0).any() or (confidences > 1).any():
        yield f"confidences from {np.nanmin(confidences):.3g} to {np.nanmax(confidences):.3g}"


def cameras_rigid(case: Case) -> Iterator[str]:
    """Every camera_to_world is a rotation and a finite position, or unknown."""
    if case.is_null("camera_to_world"):
        return
    poses = case.array("camera_to_world")
    if poses.shape != (case.num_frames, 4, 4):
        yield f"camera_to_world has shape {poses.shape}, not {(case.num_frames, 4, 4)}"
    elif not (np.abs(poses[:, 3] - [0, 0, 0, 1]) < _ROTATION_TOLERANCE).all() or not np.isfinite(poses).all():
        yield "camera_to_world: not finite, or its last row is not 0 0 0 1"
    elif (fault := _no_rotation(poses[:, :3, :3])) is not None:
        yield f"camera_to_world of frame {fault} does not rotate"


def intrinsics_sane(case: Case) -> Iterator[str]:
    """Intrinsics have positive focal lengths, no skew, and their centre within the frame, or are unknown."""
    if case.is_null("intrinsics"):
        return
    matrix = case.array("intrinsics")
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        yield f"intrinsics of shape {matrix.shape}, or not finite"
        return
    (fx, skew, cx), (zero, fy, cy), last = matrix
    if fx <= 0 or fy <= 0 or skew or zero or last.tolist() != [0, 0, 1]:
        yield f"intrinsics are no camera matrix: {matrix.tolist()}"
    for width, height in case.clip.sizes:
        if not (0 < cx < width and 0 < cy < height):
            yield f"the centre ({cx:.1f}, {cy:.1f}) is outside the frame of {width}x{height}"


def hands_rigid(case: Case) -> Iterator[str]:
    """Both hands have 25 finite joints a frame and wrists that rotate, or there are none."""
    if all(map(case.is_null, HANDS_SCHEMA.names[1:])):
        return
    for side in SIDES:
        hand, wrist = case.array(f"{side}_hand"), case.array(f"{side}_wrist_rotation")
        if hand.shape != (case.num_frames, NUM_JOINTS, 3) or not np.isfinite(hand).all():
            yield f"{side}_hand of shape {hand.shape}, not {(case.num_frames, NUM_JOINTS, 3)}, or not finite"
        if wrist.shape != (case.num_frames, 3, 3) or not np.isfinite(wrist).all():
            yield f"{side}_wrist_rotation of shape {wrist.shape}, not {(case.num_frames, 3, 3)}, or not finite"
        elif (fault := _no_rotation(wrist)) is not None:
            yield f"{side}_wrist_rotation of frame {fault} does not rotate"


def hands_agree(case: Case) -> Iterator[str]:
    """Wrists, fingertips and camera of the actions are those of the sidecar and the camera's pose."""
    actions = case.array("actions")
    stored_elsewhere: dict[str, tuple[str, Any]] = {"camera": ("camera_to_world", np.s_[:, :3, 3])}
    for side in SIDES:
        stored_elsewhere[f"{side}Hand"] = f"{side}_hand", np.s_[:, 0]
        stored_elsewhere[f"{side}IndexFingerTip"] = f"{side}_hand", np.s_[:, 9]
    for pose, (name, place) in stored_elsewhere.items():
        if f"{pose}_x" not in case.action_names:
            continue
        if case.is_null(name):
            yield f"{pose} is in the actions, but {name} is null"
            continue
        column = case.action_names.index(f"{pose}_x")
        distance = np.abs(actions[:, column : column + 3] - case.array(name)[place]).max()
        if not distance < _SAME_PLACE:
            yield f"{pose} of the actions is {distance:.3g} m from where the other tables have it"


NEED_LEDGER = frozenset({clip_checksums})
TRAJECTORY_CHECKS: tuple[TrajectoryCheck, ...] = (
    clips_decode,
    clip_checksums,
    clip_formats,
    clip_sizes,
    clip_rates,
    clip_lengths,
    actions_finite,
    times_rise,
    seconds_left_fall,
    confidences_in_range,
    cameras_rigid,
    intrinsics_sane,
    hands_rigid,
    hands_agree,
)


def _no_rotation(matrices: Array) -> int | None:
    """The first of (n, 3, 3) matrices that is no rotation; None if all are."""
    products = np.swapaxes(matrices, 1, 2) @ matrices
    skewed = np.abs(products - np.eye(3)).max(axis=(1, 2)) > _ROTATION_TOLERANCE
    faults = np.flatnonzero(skewed | (np.linalg.det(matrices) < 0))
    return int(faults[0]) if len(faults) else None
