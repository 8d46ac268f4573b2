"""What holds for each episode of a LeRobot dataset: pictures, poses, actions, statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from dataset_upload.actions import Representation
from dataset_upload.formats.lerobot.episode_stats import number_stats, of_episode
from dataset_upload.formats.lerobot.features import ACTION, CONFIDENCE, STATE, UNKNOWN
from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset, LerobotTrajectory
from dataset_upload.video.packed_video import ClipReader

_RIGID = 1e-3  # of rotations, in single precision


@dataclass(frozen=True)
class Case:
    """An episode with its dataset."""

    dataset: LerobotDataset
    trajectory: LerobotTrajectory

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """(width, height) of each of its pictures. Raises OSError, ValueError where one cannot be decoded."""
        return [(frame.shape[1], frame.shape[0]) for frame in self.trajectory.frames()]


EpisodeCheck = Callable[[Case], Iterator[str]]


def pictures_decode(case: Case) -> Iterator[str]:
    """Every frame of an episode can be decoded, and all have one size."""
    if len(set(case.sizes)) != 1:
        yield f"{len(set(case.sizes))} sizes of frames"


def pictures_are_the_pieces(case: Case) -> Iterator[str]:
    """The coded pictures are those that the worker made, by their SHA-256."""
    clip, digest = case.trajectory.episodes.clip(case.trajectory.place), sha256()
    with ClipReader(case.dataset.fps) as reader:
        reader.open(clip)
        for packet in reader.read(clip):
            digest.update(bytes(packet))
    if digest.hexdigest() != case.trajectory.row["clip_sha256"]:
        yield f"SHA-256 {digest.hexdigest()[:12]}…, not {str(case.trajectory.row['clip_sha256'])[:12]}…"


def numbers_finite(case: Case) -> Iterator[str]:
    """Every number is finite."""
    for name, values in case.trajectory.columns.items():
        if not np.isfinite(values).all():
            yield f"{name} of frame {int(np.argwhere(~np.isfinite(values))[0][0])} is no number"


def actions_follow(case: Case) -> Iterator[str]:
    """The action of a frame is the state of the next one, the last repeated, where the representation says so."""
    if type(case.dataset.representation).action is not Representation.action:
        return
    columns = case.trajectory.columns
    states, actions = columns[STATE], columns[ACTION]
    following = np.concatenate([states[1:], states[-1:]])
    if not (actions == following).all():
        yield f"the action of frame {int(np.argwhere(actions != following)[0][0])} is not the next state"


def cameras_rigid(case: Case) -> Iterator[str]:
    """Every camera pose is a rotation and a position."""
    if not case.trajectory.has(case.dataset.keys.camera):
        return
    poses = case.trajectory.camera_to_world
    rotations = poses[:, :3, :3]
    skewed = np.abs(rotations @ rotations.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2)) > _RIGID
    is_open = np.abs(poses[:, 3] - [0, 0, 0, 1]).max(axis=1) > _RIGID
    wrong = skewed | is_open | (np.linalg.det(rotations) < 0)
    if wrong.any():
        yield f"{case.dataset.keys.camera[0]} of frame {int(np.flatnonzero(wrong)[0])} is no rotation with a position"


def quaternions_unit(case: Case) -> Iterator[str]:
    """Every rotation that is stored as a quaternion has the length 1."""
    for name, values in case.trajectory.columns.items():
        if name.endswith("_rotation"):
            lengths = np.linalg.norm(values.reshape(len(values), -1, 4), axis=2)
            if (np.abs(lengths - 1) > _RIGID).any():
                yield f"{name} of frame {int(np.argwhere(np.abs(lengths - 1) > _RIGID)[0][0])} is no rotation"


def intrinsics_fit(case: Case) -> Iterator[str]:
    """The intrinsics are those of the stored pictures: their centre lies in these, and they are the same throughout."""
    name = case.dataset.keys.intrinsics
    if not case.trajectory.has([name]):
        return
    (fx, _, cx), (_, fy, cy), _ = case.trajectory.intrinsics
    width, height = case.sizes[0]
    if not (fx > 0 and fy > 0 and 0 < cx < width and 0 < cy < height):
        yield f"their centre ({cx:.1f}, {cy:.1f}) is outside the picture of {width}x{height}, or they have no focus"
    if np.ptp(case.trajectory.columns[name], axis=0).any():
        yield "they change"


def confidences_in_range(case: Case) -> Iterator[str]:
    """Every confidence is from 0 to 1, or -1: unknown, as `confidence_known` then says."""
    stored = case.trajectory.columns.get(CONFIDENCE)
    if stored is None:
        return
    unknown = stored == UNKNOWN
    if (~unknown & ((stored < 0) | (stored > 1))).any():
        yield f"confidences from {stored.min():.3g} to {stored.max():.3g}"
    if bool(unknown.any()) == case.trajectory.row["confidence_known"]:
        yield f"confidence_known is {case.trajectory.row['confidence_known']}"


def statistics_of_episode(case: Case) -> Iterator[str]:
    """The table of episodes has the statistics of the episode's rows."""
    for feature in of_episode(case.dataset.features):
        for name, value in number_stats(case.trajectory.columns[feature.name]).items():
            if not np.allclose(case.trajectory.row[f"stats/{feature.name}/{name}"], value, rtol=1e-6, atol=1e-9):
                yield f"{name} of {feature.name} is not that of its rows"


EPISODE_CHECKS: tuple[EpisodeCheck, ...] = (
    pictures_decode,
    pictures_are_the_pieces,
    numbers_finite,
    actions_follow,
    cameras_rigid,
    quaternions_unit,
    intrinsics_fit,
    confidences_in_range,
    statistics_of_episode,
)
