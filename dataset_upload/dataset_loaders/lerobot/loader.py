"""LeRobot: a row of numbers a frame, and videos of one episode or of many; one trajectory an episode and camera."""

from __future__ import annotations

import math
import uuid
import zlib
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from dataset_upload.about import About
from dataset_upload.config import GenerateConfig
from dataset_upload.dataset_loaders import DatasetLoader
from dataset_upload.dataset_loaders.lerobot.about import is_robot, read_about
from dataset_upload.dataset_loaders.lerobot.metadata import Info, ListedEpisode, read_episodes, read_info, read_tasks
from dataset_upload.dataset_loaders.lerobot.rows import Rows, read_rows
from dataset_upload.errors import EpisodeError, Reason, UsageError
from dataset_upload.jobs import SourceState
from dataset_upload.natural_order import natural_key
from dataset_upload.trajectory import Trajectory
from dataset_upload.video.frames import VideoFrames
from dataset_upload.video.video_part import VideoPart

_ID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/huggingface/lerobot")


class LerobotTrajectory(Trajectory):
    """A trajectory with the states of whoever acts, where the source has them; row i belongs to frame i."""

    states: NDArray[np.float32] | None  # (T, S), in the source's units
    state_names: tuple[str, ...]  # S names


@dataclass(frozen=True)
class LerobotEpisode:
    """An episode as one camera sees it."""

    root: Path
    listed: ListedEpisode
    camera: str

    @property
    def key(self) -> str:
        return f"{self.listed.number}/{self.camera}"

    @property
    def task_name(self) -> str:
        """The text of its first task."""
        return next((task for task in self.listed.tasks if task.strip()), "no task")

    @property
    def video(self) -> Path | None:
        """Where its video should be; None where the list of episodes does not say."""
        place = self.listed.videos.get(self.camera)
        return None if place is None else self.root / place.path

    def __str__(self) -> str:
        return f"{self.root}: {self.key}"


@dataclass(frozen=True)
class LerobotLoader(DatasetLoader):
    """Lists and reads the episodes of a LeRobot dataset. Picklable: each worker process uses a copy.

    Attributes:
        root: the dataset's folder, which has `meta/info.json`.
        dataset_name: part of every id, and `data_source` of every trajectory.
        cameras: whose trajectories there are: names, with or without `observation.images.`; or only "all", or "first".
    """

    root: Path
    dataset_name: str
    cameras: tuple[str, ...] = ("all",)

    @classmethod
    def from_config(cls, config: GenerateConfig) -> LerobotLoader:
        """The loader that a run's options mean."""
        path, cameras = config.dataset.dataset_path, config.dataset.cameras
        if isinstance(path, list) and len(path) == 1:
            (path,) = path
        if not isinstance(path, str) or "://" in path:
            raise UsageError("give the folder of one LeRobot dataset on this machine", "dataset_path")
        return cls(Path(path), config.dataset.dataset_name, (cameras,) if isinstance(cameras, str) else tuple(cameras))

    @cached_property
    def info(self) -> Info:
        """meta/info.json. Raises UsageError."""
        return read_info(self.root)

    @cached_property
    def about(self) -> About:
        """What the dataset's card says. Raises UsageError."""
        return read_about(self.root, self.info)

    @property
    def action_names(self) -> tuple[str, ...]:
        """The names of the action columns, of the states where the source has no actions."""
        return self.info.names(self.info.action)

    @cached_property
    def _tasks(self) -> dict[int, str]:
        return read_tasks(self.root, self.info)

    def local_sources(self) -> list[Path]:
        """The dataset's folder."""
        return [self.root]

    def list_episodes(self) -> list[LerobotEpisode]:
        """An episode for each that is listed and each chosen camera, in natural order. Raises UsageError."""
        cameras, _ = self._chosen_cameras(), self._tasks  # which are read before the run begins
        found = [
            LerobotEpisode(self.root, listed, camera)
            for listed in read_episodes(self.root, self.info)
            for camera in cameras
        ]
        if not found:
            raise UsageError(f"{self.root}/meta lists no episode", "dataset_path")
        if len({episode.key for episode in found}) < len(found):
            raise UsageError(f"{self.root}/meta lists an episode twice", "dataset_path")
        return sorted(found, key=lambda episode: natural_key(episode.key))

    def source_state(self, episode: LerobotEpisode) -> SourceState:
        """Size and time of the files that hold rows and video, and a checksum of what is listed of the episode."""
        size, versions = 0, [zlib.crc32(repr(episode.listed).encode())]
        for path in (None if episode.listed.data is None else self.root / episode.listed.data, episode.video):
            try:
                state = None if path is None else path.stat()
            except OSError:
                state = None
            size += state.st_size if state else 0
            versions.append(state.st_mtime_ns if state else 0)
        return size, tuple(versions)

    def load(self, episode: LerobotEpisode, files: None = None) -> LerobotTrajectory:
        """Read one episode's rows; its video is opened, not decoded.

        Raises:
            EpisodeError: why the episode cannot be used.
        """
        listed, info = episode.listed, self.info
        if listed.data is None:
            raise EpisodeError(
                Reason.UNREADABLE_SOURCE, f"Error loading trajectory {episode}: no file of rows is listed"
            )
        if episode.video is None:
            raise EpisodeError(Reason.MISSING_MP4, f"Warning: Missing MP4 file for {episode}: none is listed")
        rows = read_rows(self.root / listed.data, info, listed)
        task = self._task(episode, rows)
        succeeded = listed.succeeded if rows.succeeded is None else rows.succeeded
        return LerobotTrajectory(
            frames=self._frames(episode, episode.video, rows),
            actions=rows.actions,
            action_names=self.action_names,
            task=task,
            task_name=episode.task_name,
            id=str(uuid.uuid5(_ID_NAMESPACE, f"{self.dataset_name}/{episode.key}")),
            is_robot=is_robot(info.robot_type),
            quality_label="failure" if succeeded is False else "successful",
            partial_success=None,
            data_source=self.dataset_name,
            source=episode.key,
            part=self.root.resolve().name,
            is_drawn=False,
            note=None,
            states=rows.states,
            state_names=() if info.state is None else info.names(info.state),
        )

    def _frames(self, episode: LerobotEpisode, video: Path, rows: Rows) -> VideoFrames:
        place, count = episode.listed.videos[episode.camera], len(rows.times)
        if not 0 <= place.start < math.inf:
            raise EpisodeError(
                Reason.UNREADABLE_SOURCE, f"Error loading trajectory {episode}: its video begins at {place.start:g} s"
            )
        if place.end is not None and not abs((place.end - place.start) * self.info.fps - count) <= 0.5:
            listed = f"{place.end - place.start:g} s of {self.info.fps:g} frames a second"
            raise EpisodeError(
                Reason.FRAME_COUNT_MISMATCH, f"Error loading trajectory {episode}: {count} rows for {listed}"
            )
        read = partial(
            VideoPart, start=place.start, times=rows.times, fps=self.info.fps, is_all=not self.info.is_packed
        )
        return VideoFrames(partial(_open, video), f"{video} (episode {episode.listed.number})", read=read)

    def _task(self, episode: LerobotEpisode, rows: Rows) -> str:
        """What is done: the texts of its rows' tasks, one after the other."""
        texts = list(episode.listed.tasks)
        if rows.tasks is not None:
            unknown = [number for number in rows.tasks if number not in self._tasks]
            if unknown:
                raise EpisodeError(
                    Reason.UNREADABLE_SOURCE,
                    f"Error loading trajectory {episode}: its rows are of task {unknown[0]}, which is not listed",
                )
            texts = [self._tasks[number] for number in rows.tasks]
        task = "; ".join(text.strip() for text in texts if text.strip())
        if not task:
            raise EpisodeError(Reason.NO_DESCRIPTION, f"Warning: No description for {episode}")
        return task

    def _chosen_cameras(self) -> tuple[str, ...]:
        known = self.info.cameras
        if self.cameras == ("all",):
            return known
        if self.cameras == ("first",):
            return known[:1]
        by_name = {name.removeprefix("observation.images."): name for name in known} | {name: name for name in known}
        if unknown := [name for name in self.cameras if name not in by_name]:
            raise UsageError(f"{unknown[0]} is none of {', '.join(known)}", "cameras")
        return tuple(dict.fromkeys(by_name[name] for name in self.cameras))


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise EpisodeError(Reason.MISSING_MP4, f"Warning: Missing MP4 file: {path}") from error
    except OSError as error:
        reason = Reason.PERMISSION_DENIED if isinstance(error, PermissionError) else Reason.UNREADABLE_SOURCE
        raise EpisodeError(reason, f"Error: Could not read video file: {path} ({error.strerror})") from error
