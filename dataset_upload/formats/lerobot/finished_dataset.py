"""A finished LeRobot dataset, read one episode at a time; nothing is read before it is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataset_upload.actions import Representation, find_representation
from dataset_upload.config import LerobotKeys
from dataset_upload.formats.finished_dataset import FinishedDataset
from dataset_upload.formats.lerobot import description
from dataset_upload.formats.lerobot.features import (
    ACTION,
    CONFIDENCE,
    STATE,
    Feature,
    as_numbers,
    frame_features,
)
from dataset_upload.formats.lerobot.index import Place
from dataset_upload.formats.lerobot.keys import KEYS, Keys
from dataset_upload.formats.lerobot.layout import CONVERSION, Layout, find_layout
from dataset_upload.formats.lerobot.stored import StoredEpisodes
from dataset_upload.stored_trajectory import Array, StoredTrajectory
from dataset_upload.video.packed_video import ClipReader, decode_frames, join_clips


@dataclass(frozen=True)
class LerobotTrajectory(StoredTrajectory):
    """One episode; its `row` is that of the table of episodes, with what RFM's has under the names it has there.

    Attributes:
        place: where it is, as it follows from the lengths of all episodes.
        episodes: of the dataset.
        fps: of its video.
        keys: the names of camera and hands.
    """

    place: Place
    episodes: StoredEpisodes
    fps: int
    keys: Keys

    @property
    def task(self) -> str:
        """What is done, in words."""
        return str(self.row["tasks"][0])

    @property
    def clip_number(self) -> int:
        """The number by which the ledger knows it."""
        return int(self.row["clip_number"])

    @property
    def clip(self) -> list[Path]:
        """The video that holds its frames, among those of other episodes."""
        return [self.episodes.clip(self.place).path]

    @property
    def plays_in_browsers(self) -> bool:
        """EgoDex's own coding, which may have been copied, is none that they know."""
        return not str(self.row["clip_coding"]).startswith("mpeg4 ")

    def clip_contents(self) -> list[bytes]:
        """An MP4 of its frames alone. Raises OSError, ValueError."""
        with tempfile.TemporaryDirectory() as folder, ClipReader(self.fps) as reader:
            path = Path(folder) / "clip.mp4"
            join_clips([self.episodes.clip(self.place)], path, reader)
            return [path.read_bytes()]

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Its (H, W, 3) RGB frames, one at a time. Raises OSError."""
        return decode_frames(self.episodes.clip(self.place), self.fps)

    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        """(T, D) numbers of each feature."""
        table = self.episodes.frames(self.place)
        return {name: as_numbers(table[name]) for name in table.schema.names}

    @property
    def times(self) -> Array:
        """(T,) seconds from the first frame of the source video."""
        seconds: Array = np.arange(self.place.length) / self.fps
        return seconds

    @property
    def states(self) -> Array:
        """(T, D) where hands and camera are at each frame."""
        return self.columns[STATE].astype(np.float64)

    @property
    def actions(self) -> Array:
        """(T, D) what is done at each frame."""
        return self.columns[ACTION].astype(np.float64)

    @property
    def camera_to_world(self) -> Array:
        """(T, 4, 4) camera poses, metres; camera axes x right, y down, z forward."""
        return self.keys.camera_to_world(self.columns) if self.has(self.keys.camera) else super().camera_to_world

    @property
    def intrinsics(self) -> Array:
        """(3, 3) camera matrix, pixels of the stored frames."""
        if not self.has([self.keys.intrinsics]):
            return super().intrinsics
        known: Array = self.columns[self.keys.intrinsics][0].astype(np.float64).reshape(3, 3)
        return known

    @property
    def hands(self) -> Array:
        """(2, T, 25, 3) joints of the left and the right hand, metres, world frame."""
        return self.keys.joints(self.columns) if self.has(self.keys.hands) else super().hands

    @property
    def confidences(self) -> Array:
        """(2, T) how sure the tracker is of the left and the right hand, 0 to 1; NaN where unknown."""
        if not self.has([CONFIDENCE]):
            return super().confidences
        stored = self.columns[CONFIDENCE][:, :2].T.astype(np.float64)
        known: Array = np.where(stored < 0, np.nan, stored)
        return known

    def has(self, features: Iterable[str]) -> bool:
        """Whether it has all of these features."""
        return self.columns.keys() >= set(features)


class LerobotDataset(FinishedDataset):
    """One dataset of an output folder, or a repo of the Hub."""

    @cached_property
    def description(self) -> dict[str, Any]:
        """What meta/provenance.json says. Raises OSError where there is none that can be read."""
        found = description.read(self.folder)
        if found is None:
            raise FileNotFoundError(2, "missing or damaged", str(self.folder / CONVERSION))
        return found

    @property
    def layout(self) -> Layout:
        """How its files lie."""
        return find_layout(self.description["settings"]["version"], self.keys_name)

    @property
    def keys_name(self) -> LerobotKeys:
        """As `lerobot.keys` has it."""
        name: LerobotKeys = self.description["settings"].get("keys", "default")
        return name

    @property
    def keys(self) -> Keys:
        """The names of camera and hands."""
        return KEYS[self.keys_name]

    @property
    def fps(self) -> int:
        """Frames a second."""
        return int(self.description["settings"]["fps"])

    @cached_property
    def features(self) -> list[Feature]:
        """The features of frames, but for the video, that it must have."""
        about = self.description
        own = self.keys.features(about["hand_joints"], hands=about["settings"]["hands"])
        return frame_features(about["state_names"], about["action_names"], own)

    @property
    def representation(self) -> Representation:
        """What states and actions consist of."""
        settings = self.description["settings"]
        names = self.description["state_names"]
        return find_representation(settings["action_representation"], names, settings["wrist_axes"])

    @property
    def horizons(self) -> list[int]:
        """Of chunks that it has statistics of."""
        return list(self.description["settings"].get("horizons", []))

    @cached_property
    def episodes(self) -> StoredEpisodes:
        """Where each episode is."""
        return StoredEpisodes(self.folder, self.layout, sum(feature.num_bytes for feature in self.features))

    def table_files(self) -> list[Path]:
        """The tables of episodes and of frames."""
        return [*self.episode_tables, *sorted(self.folder.glob("data/*/*.parquet"))]

    @property
    def episode_tables(self) -> list[Path]:
        """The files of the table of episodes."""
        return [self.folder / self.layout.episodes_path(number) for number in range(self.episodes.num_meta_files)]

    def __len__(self) -> int:
        """The number of episodes."""
        return sum(pq.ParquetFile(path).metadata.num_rows for path in self.episode_tables)

    def column(self, name: str) -> list[Any]:
        """A column of the table of episodes."""
        tables = [pq.ParquetFile(path).read(columns=[name])[0] for path in self.episode_tables]
        return [value for column in tables for value in column.to_pylist()]

    def trajectories(self, numbers: Sequence[int] | None = None) -> Iterator[LerobotTrajectory]:
        """The trajectories of these episodes, which must ascend; of all if not given."""
        by_number = list(self.episodes.by_key.values())
        for number in range(len(by_number)) if numbers is None else numbers:
            place = by_number[number].place
            (row,) = self.episodes.row(place).to_pylist()
            trajectory = LerobotTrajectory(number, row, self.root, place, self.episodes, self.fps, self.keys)
            row.update(self._as_in_rfm(trajectory))
            yield trajectory

    def _as_in_rfm(self, trajectory: LerobotTrajectory) -> dict[str, Any]:
        """What is compared with the source, and is not in the table of episodes."""
        length, known = trajectory.place.length, trajectory.row["confidence_known"]
        step = max(round(trajectory.row["source_fps"] / self.fps), 1)
        row: dict[str, Any] = {
            "id": trajectory.source,
            "task": trajectory.task,
            "frames": trajectory.clip[0].relative_to(self.root).as_posix(),
            "frame_indices": list(range(0, step * length, step)),
            "timestamps": trajectory.times,
            "actions": trajectory.states,
        }
        if trajectory.has(self.keys.camera):
            row["camera_to_world"], row["intrinsics"] = trajectory.camera_to_world, trajectory.intrinsics
            stored = trajectory.columns[CONFIDENCE]
            row["confidences"] = np.where(stored < 0, np.nan, stored) if known or (stored >= 0).any() else None
        if trajectory.has(self.keys.hands):
            row["left_hand"], row["right_hand"] = trajectory.hands
        return row
