"""EgoDex: one HDF5 file of poses for one MP4 file of first-person video."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from dataset_upload.about import About
from dataset_upload.actions import Poses, find_representation, guide15
from dataset_upload.actions.arkit import HAND_JOINTS, SIDES, SKELETON, of_hand
from dataset_upload.config import GenerateConfig
from dataset_upload.dataset_loaders.egodex import archive
from dataset_upload.dataset_loaders.egodex.about import EGODEX
from dataset_upload.dataset_loaders.egodex.annotation import DRAWN_BY, Annotation, open_annotation
from dataset_upload.dataset_loaders.egodex.archive import Episode, EpisodeFiles, SourceState
from dataset_upload.dataset_loaders.egodex.texts import Texts, choose_task, read_texts
from dataset_upload.dataset_loaders.egodex.tracking import read_tracking
from dataset_upload.errors import EpisodeError, Reason, one_line
from dataset_upload.storage.byte_source import take_fetched_bytes
from dataset_upload.trajectory import Tracking, Trajectory
from dataset_upload.video.frames import VideoFrames

Array = NDArray[np.float32]

CONFIDENCE_JOINTS = ("leftHand", "rightHand", "leftIndexFingerTip", "rightIndexFingerTip")

_NOT_UTF_8 = re.compile("[\ud800-\udfff]")  # what Python makes of such bytes in a file's name
_POSES = ("camera", *of_hand("left"), *of_hand("right"))
_POSES_WITH_SKELETON = (*_POSES, *(joint for joint in SKELETON if joint not in _POSES))
_LEFT, _RIGHT = slice(1, 1 + len(HAND_JOINTS)), slice(1 + len(HAND_JOINTS), len(_POSES))
_WHOLE_POSES = ("camera", "leftHand", "rightHand")  # whose rotation is kept
_ID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "egodex.ml-site.cdn-apple.com")


class EgoDexTrajectory(Trajectory, Texts):
    """A trajectory with what EgoDex's annotations say of it."""


@dataclass(frozen=True)
class EgoDexLoader:
    """Lists and reads EgoDex episodes. Picklable: each worker process uses a copy.

    Attributes:
        dataset_path: where the episodes are; see `archive.list_episodes`.
        dataset_name: part of every id, and `data_source` of every trajectory.
        actions: parts of an action; keys of `guide15.PARTS`.
        max_frame_mismatch: by how many frames video and poses may differ in length; both are cut to the shorter.
        with_skeleton: whether trajectories have the key `skeleton`: 18 more joints are read for it.
        with_joint_rotations: whether they have the key `joint_rotations`, 1.8 kB a frame.
    """

    dataset_path: str | tuple[str, ...]
    dataset_name: str
    actions: tuple[str, ...] = ("hands", "fingertips", "camera")
    max_frame_mismatch: int = 1
    with_skeleton: bool = False
    with_joint_rotations: bool = False

    about: ClassVar[About] = EGODEX
    poses: ClassVar[frozenset[Poses]] = frozenset({"hands", "camera", "skeleton"})
    preload: ClassVar[tuple[str, ...]] = (__name__,)

    @classmethod
    def from_config(cls, config: GenerateConfig) -> EgoDexLoader:
        """The loader that a run's options mean."""
        path = config.dataset.dataset_path
        return cls(
            dataset_path=path if isinstance(path, str) else tuple(path),
            dataset_name=config.dataset.dataset_name,
            actions=tuple(config.output.actions),
            max_frame_mismatch=config.output.max_frame_mismatch,
            with_skeleton="skeleton" in find_representation(config.output.action_representation).needs,
            with_joint_rotations=config.output.format == "lerobot" and config.lerobot.keys == "mecka",
        )

    @property
    def action_names(self) -> tuple[str, ...]:
        """The names of the action columns: `leftHand_x`, …"""
        return guide15.names(self.actions)

    def local_sources(self) -> list[Path]:
        """The folders and zips on this machine that `dataset_path` means. Raises UsageError if a glob means nothing."""
        return archive.local_sources(self.dataset_path)

    def list_episodes(self) -> list[Episode]:
        """All episodes in natural order, those with a missing file included. Raises UsageError if there is none."""
        return archive.list_episodes(self.dataset_path)

    def only_part(self, episodes: Sequence[Episode]) -> str | None:
        """The name of the part, if `dataset_path` is a single one; None if it is a list or a glob."""
        return None if archive.names_several(self.dataset_path) else episodes[0].part

    def source_state(self, episode: Episode) -> SourceState:
        """Size and time of an episode's files."""
        return archive.source_state(episode)

    def trajectory_id(self, episode: Episode) -> str:
        """The episode's id: a function of the dataset's name and the episode's key, nothing else."""
        return str(uuid.uuid5(_ID_NAMESPACE, f"{self.dataset_name}/{episode.key}"))

    def remote_bytes(self, episodes: Iterable[Episode]) -> int:
        """The size of the archives elsewhere that episodes lie in; 0 if all lie on this machine."""
        return archive.remote_bytes(episodes)

    def take_fetched_bytes(self) -> int:
        """How many bytes this process has fetched from elsewhere since it was last asked."""
        return take_fetched_bytes()

    def fetch(self, episode: Episode) -> EpisodeFiles:
        """Get an episode's files ready; where they lie behind a network, this is the part that waits for it.

        Raises:
            EpisodeError: a file is missing, cannot be read, or is damaged in its archive.
            StoppedError: the archive has changed, or is gone.
        """
        _check_name(episode)
        if episode.mp4 is None:
            raise EpisodeError(Reason.MISSING_MP4, f"Warning: Missing MP4 file for {episode.hdf5}")
        if episode.hdf5 is None:
            raise EpisodeError(Reason.MISSING_HDF5, f"Warning: Missing HDF5 file for {episode.mp4}")
        return archive.fetch(episode.hdf5, episode.mp4)

    def load(self, episode: Episode, files: EpisodeFiles | None = None) -> EgoDexTrajectory:
        """Read one episode's poses and text; its video is opened, not decoded.

        Args:
            files: what `fetch` returned; None: fetch them now.

        Raises:
            EpisodeError: why the episode cannot be used.
        """
        files = files or self.fetch(episode)
        hdf5_name = str(episode.hdf5)
        frames = VideoFrames(files.open_mp4, str(episode.mp4))
        with files.open_hdf5() as file, open_annotation(file, hdf5_name, num_frames=len(frames)) as annotation:
            texts = read_texts(annotation)
            task = choose_task(texts, hdf5_name)
            poses = _POSES_WITH_SKELETON if self.with_skeleton else _POSES
            num_poses = annotation.num_poses(poses)
            num_frames, note = self._common_length(num_poses, len(frames), hdf5_name)
            whole = _POSES if self.with_joint_rotations else _WHOLE_POSES
            positions, transforms = _read_poses(annotation, poses, num_frames, whole)
            trajectory = EgoDexTrajectory(
                frames=frames[:num_frames],
                actions=positions[:, [_POSES.index(pose) for pose in guide15.poses(self.actions)]].reshape(
                    num_frames, -1
                ),
                action_names=self.action_names,
                task=task,
                task_name=episode.task_name,
                id=self.trajectory_id(episode),
                is_robot=False,
                quality_label="successful",
                partial_success=None,
                data_source=self.dataset_name,
                camera_to_world=transforms["camera"],
                intrinsics=annotation.intrinsics((frames.shape[2], frames.shape[1])),
                confidences=annotation.confidences(CONFIDENCE_JOINTS, num_poses, num_frames),
                hands={
                    "left_hand": positions[:, _LEFT],
                    "right_hand": positions[:, _RIGHT],
                    "left_wrist_rotation": transforms["leftHand"][:, :3, :3].copy(),
                    "right_wrist_rotation": transforms["rightHand"][:, :3, :3].copy(),
                },
                source=episode.key,
                part=episode.part,
                is_drawn=annotation.text(DRAWN_BY) is not None,
                note=note,
                **texts,  # type: ignore[typeddict-item]  # mypy: they might hold a skeleton
            )
        if self.with_skeleton:
            trajectory["skeleton"] = positions[:, [poses.index(joint) for joint in SKELETON]]
        if self.with_joint_rotations:
            hands = [[transforms[joint][:, :3, :3] for joint in of_hand(side)] for side in SIDES]
            trajectory["joint_rotations"] = np.array(hands).transpose(2, 0, 1, 3, 4)
        return trajectory

    def fetch_tracking(self, episode: Episode) -> Callable[[], BinaryIO]:
        """Get an episode's annotation file ready, and nothing else of it. Raises as `fetch` does."""
        _check_name(episode)
        if episode.hdf5 is None:
            raise EpisodeError(Reason.MISSING_HDF5, f"Warning: Missing HDF5 file of {episode.key}")
        return archive.fetch_one(episode.hdf5)

    def load_tracking(self, episode: Episode, file: Callable[[], BinaryIO] | None = None) -> Tracking:
        """Read all poses of one episode, and its texts; its video need not be there.

        Args:
            file: what `fetch_tracking` returned; None: fetch it now.

        Raises:
            EpisodeError: why the episode cannot be used; messages name it by its key.
        """
        with (file or self.fetch_tracking(episode))() as opened:
            return read_tracking(opened, episode.key)

    def lacks_video(self, episode: Episode) -> bool:
        """Whether there is no video, so that the episode cannot be converted."""
        return episode.mp4 is None

    def _common_length(self, num_poses: int, num_video_frames: int, name: str) -> tuple[int, str | None]:
        """How many frames have both picture and pose, and what to say if some have not."""
        if num_poses == num_video_frames:
            return num_poses, None
        difference = f"{num_poses} poses for {num_video_frames} video frames"
        if abs(num_poses - num_video_frames) > self.max_frame_mismatch:
            raise EpisodeError(Reason.FRAME_COUNT_MISMATCH, f"Error loading trajectory {name}: {difference}")
        num_frames = min(num_poses, num_video_frames)
        return num_frames, one_line(f"Warning: {difference}, cut to {num_frames}: {name}")


def _check_name(episode: Episode) -> None:
    """Raises EpisodeError where no row could hold an episode's name."""
    if _NOT_UTF_8.search(f"{episode.part}/{episode.key}"):
        raise EpisodeError(Reason.UNREADABLE_SOURCE, f"Error loading trajectory {episode}: Its name is not UTF-8")


def _read_poses(
    annotation: Annotation, names: Sequence[str], num_frames: int, whole: Sequence[str]
) -> tuple[Array, dict[str, Array]]:
    """Each pose, read once: (num_frames, len(names), 3) positions in metres, (num_frames, 4, 4) of the `whole` ones.

    Of the others the rotations, four times as much, are dropped at once.
    """
    positions, transforms = np.empty((num_frames, len(names), 3), np.float32), {}
    for column, name in enumerate(names):
        pose = annotation.pose(name, num_frames)
        positions[:, column] = pose[:, :3, 3]
        if name in whole:
            transforms[name] = pose
    return positions, transforms
