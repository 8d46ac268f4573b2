"""One trajectory to a clip with its rows: what a worker does for an RFM dataset."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset_upload.about import About
from dataset_upload.actions import find_representation
from dataset_upload.config import OutputConfig
from dataset_upload.formats import WantedFrames
from dataset_upload.formats.pieces import record, working_folder
from dataset_upload.formats.rfm.layout import clip_path
from dataset_upload.formats.rfm.schema import Example, make_rows, schemas
from dataset_upload.jobs import Job, Piece
from dataset_upload.language import text_encoder
from dataset_upload.storage.whole_file import read_media, size_and_sha256
from dataset_upload.trajectory import Trajectory
from dataset_upload.video.encoding import write_jpegs, write_mp4
from dataset_upload.video.geometry import Resize, plan_resize
from dataset_upload.video.processor import encoder_cpu
from dataset_upload.video.sampling import sample_indices


@dataclass(frozen=True)
class RfmEncoder:
    """Encodes one trajectory per call. Picklable: each worker process uses a copy.

    Attributes:
        dataset_name: the first part of every clip's path.
        output: what clips look like.
        about: what the loader declares.
        incoming: folder on the dataset's disk for files that are not yet in their place; None: pieces hold bytes.
    """

    dataset_name: str
    output: OutputConfig
    about: About
    incoming: Path | None

    def frame_indices(self, num_frames: int, fps: float) -> NDArray[np.int64]:
        """Which of a trajectory's frames the clip holds."""
        return sample_indices(num_frames, self.output.max_frames)

    def plan_resize(self, source: tuple[int, int]) -> Resize:
        """What is done to frames of this (width, height)."""
        return plan_resize(source, self.output.resize, self.output.frame_size, self.output.shortest_edge_size)

    def encode(self, job: Job, trajectory: Trajectory, wanted: WantedFrames) -> Piece:
        """Write clip and records, durably, under temporary names.

        Raises:
            EpisodeError: the trajectory lacks a pose that its actions are made of.
            OSError: something cannot be written.
        """
        with working_folder(self.incoming) as folder:
            return self._encode(job, trajectory, wanted, folder)

    def _encode(self, job: Job, trajectory: Trajectory, wanted: WantedFrames, folder: Path) -> Piece:
        indices, resize, frames, _ = wanted
        representation = find_representation(self.output.action_representation, wrist_axes=self.output.wrist_axes)
        actions = representation.at_each_frame(trajectory, indices)
        path = clip_path(job.number, use_video=self.output.use_video)
        clip = folder / Path(path).name
        shutil.rmtree(clip, ignore_errors=True)  # what a worker that died at this episode has left
        place = f"{self.dataset_name}/{path}"
        names: str | list[str] = place
        if self.output.use_video:
            write_mp4(frames, clip, fps=self.output.fps, crf=self.output.crf)
        else:
            names = [f"{place}/{name}" for name in write_jpegs(frames, clip)]
        content = read_media(clip, flush=self.incoming is not None)
        num_bytes, sha256 = size_and_sha256(content)

        example = Example(trajectory, indices, names, resize, text_encoder().encode(trajectory["task"]), actions)
        declared = self.about.columns
        tables = schemas(declared, self.about.hand_joints, use_video=self.output.use_video)
        rows = make_rows(example, declared, tables)
        return Piece(
            records={table: record(row, self.incoming, f"{job.number:04d}.{table}") for table, row in rows.items()},
            media={path: content if self.incoming is None else clip},
            media_bytes=num_bytes,
            media_sha256=sha256,
            encoder_cpu=encoder_cpu(),
            is_drawn=trajectory["is_drawn"],
            note=trajectory["note"],
            summary=f"{len(trajectory['frames'])} -> {len(indices)} frames, resized to {resize.output}",
        )
