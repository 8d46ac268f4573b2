"""One trajectory to a clip with a row a frame: what a worker does for a LeRobot dataset."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataset_upload.about import About
from dataset_upload.actions import find_representation
from dataset_upload.config import LerobotConfig, OutputConfig
from dataset_upload.errors import EpisodeError, Reason
from dataset_upload.formats import WantedFrames
from dataset_upload.formats.lerobot.episode_row import episode_values, schema_of_episode
from dataset_upload.formats.lerobot.episode_stats import PixelStats, as_columns, number_stats, of_episode
from dataset_upload.formats.lerobot.features import (
    INDICES,
    as_column,
    frame_features,
    frame_values,
)
from dataset_upload.formats.lerobot.keys import KEYS
from dataset_upload.formats.lerobot.layout import waiting_path
from dataset_upload.formats.pieces import record, working_folder
from dataset_upload.jobs import Job, Piece
from dataset_upload.storage.whole_file import read_media
from dataset_upload.trajectory import Trajectory
from dataset_upload.video.encoding import write_mp4
from dataset_upload.video.geometry import Resize, plan_resize
from dataset_upload.video.packed_video import coding_of, packets_of, write_packets
from dataset_upload.video.processor import encoder_cpu

_SAME_RATE = 0.01  # frames a second


@dataclass(frozen=True)
class LerobotEncoder:
    """Encodes one trajectory per call. Picklable: each worker process uses a copy.

    Attributes:
        output: how frames are resized.
        lerobot: how the dataset looks.
        about: what the loader declares.
        incoming: folder for files that are not yet in their place; None: pieces hold bytes.
    """

    output: OutputConfig
    lerobot: LerobotConfig
    about: About
    incoming: Path | None

    def frame_indices(self, num_frames: int, fps: float) -> NDArray[np.int64]:
        """Every frame, or every second, third, … one. Raises EpisodeError where that does not give the rate."""
        step = max(round(fps / self.lerobot.fps), 1)
        if step > 1 and self.lerobot.video == "copy":
            raise EpisodeError(
                Reason.FRAME_RATE,
                f"Error: {fps:g} frames a second cannot be copied at --lerobot.fps={self.lerobot.fps}: give the "
                "video's rate, or --lerobot.video=encode",
            )
        if abs(step * self.lerobot.fps - fps) > _SAME_RATE:
            raise EpisodeError(
                Reason.FRAME_RATE,
                f"Error: {fps:g} frames a second cannot be thinned to --lerobot.fps={self.lerobot.fps}: give "
                "the video's rate, or one that divides it",
            )
        return np.arange(0, num_frames, step)

    def plan_resize(self, source: tuple[int, int]) -> Resize:
        """What is done to frames of this (width, height)."""
        if self.lerobot.video == "copy":
            return Resize(source, (0, 0), source, (0, 0), source)
        return plan_resize(source, self.output.resize, self.output.frame_size, self.output.shortest_edge_size)

    def encode(self, job: Job, trajectory: Trajectory, wanted: WantedFrames) -> Piece:
        """Write clip and rows, durably, under temporary names. Raises OSError; EpisodeError where a pose is missing."""
        with working_folder(self.incoming) as folder:
            return self._encode(job, trajectory, wanted, folder)

    def _encode(self, job: Job, trajectory: Trajectory, wanted: WantedFrames, folder: Path) -> Piece:
        indices, resize = wanted.indices, wanted.resize
        clip, pixels = folder / f"{job.number:04d}.mp4", PixelStats()
        pictures, is_copy = pixels.watch(wanted.pictures, len(indices)), self.lerobot.video == "copy"
        if is_copy:
            for _ in pictures:  # decoded nevertheless: damage must not be passed on
                pass
            write_packets(wanted.coded(len(indices)), clip, self.lerobot.fps)
        else:
            write_mp4(
                pictures,
                clip,
                fps=self.lerobot.fps,
                crf=self.lerobot.crf,
                gop=self.lerobot.gop,
                codec=self.lerobot.codec,
            )
        content = read_media(clip, flush=self.incoming is not None)
        coded = _facts(clip)

        representation = find_representation(
            self.output.action_representation, trajectory["action_names"], self.output.wrist_axes
        )
        keys = KEYS[self.lerobot.keys]
        features = frame_features(
            representation.names,
            representation.action_names,
            keys.features(self.about.hand_joints, hands=self.lerobot.hands),
        )
        states, actions = representation.state(trajectory, indices), representation.action(trajectory, indices)
        values = frame_values(states, actions, self.lerobot.fps) | keys.values(trajectory, indices, resize)
        own = [feature for feature in features if feature.name not in INDICES]
        rows = pa.record_batch(
            [as_column(feature, values[feature.name]) for feature in own], [feature.name for feature in own]
        )
        schema = schema_of_episode(self.about.columns, features, keys.video)
        episode = {
            **episode_values(trajectory, len(indices), self.about.columns),
            "clip_number": job.number,
            "clip_bytes": coded.num_bytes,
            "clip_sha256": coded.sha256,
            "clip_coding": coded.coding,
            **as_columns({each.name: number_stats(values[each.name]) for each in of_episode(features)}),
            **as_columns({keys.video: pixels.stats()}),
        }
        row = pa.record_batch([pa.array([episode[name]], schema.field(name).type) for name in schema.names], schema)
        return Piece(
            records={
                "frames": record(rows, self.incoming, f"{job.number:04d}.frames"),
                "episodes": record(row, self.incoming, f"{job.number:04d}.episode"),
            },
            media={waiting_path("videos", job.number): content if self.incoming is None else clip},
            media_bytes=coded.num_bytes,
            media_sha256=coded.sha256,
            encoder_cpu=None if is_copy else encoder_cpu(),
            is_drawn=trajectory["is_drawn"],
            note=trajectory["note"],
            summary=f"{len(trajectory['frames'])} -> {len(indices)} frames of {resize.output}",
        )


class _Coded(NamedTuple):
    """A clip's coded pictures, one after the other: what stays of it in a packed file."""

    num_bytes: int
    sha256: str
    coding: str


def _facts(clip: Path) -> _Coded:
    digest, num_bytes, coding = sha256(), 0, ""
    for packet in packets_of(clip):
        digest.update(bytes(packet))
        num_bytes += packet.size
        coding = coding or coding_of(packet.stream)
    return _Coded(num_bytes, digest.hexdigest(), coding)
