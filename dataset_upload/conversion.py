"""One trajectory to one record with its clip, or one named failure."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_upload.errors import StoppedError
from dataset_upload.video.encoding import write_jpegs, write_mp4, x264_cpu
from dataset_upload.video.geometry import Resize, plan_resize
from dataset_upload.video.sampling import sample_indices

if TYPE_CHECKING:
    import av

    from dataset_upload.config import OutputConfig
    from dataset_upload.dataset_loaders import DatasetLoader
    from dataset_upload.trajectory import Trajectory


class Job(NamedTuple):
    """One episode to convert."""

    episode: Any  # as the loader listed it
    key: str
    clip_number: int
    clip: str  # path of the clip in the output folder: <name>/batch_0000/trajectory_0000.mp4
    source_state: tuple[int, tuple[int, ...]]  # size and times of the episode's files when the run began

    def __str__(self) -> str:
        return str(self.episode)


class Conversion(NamedTuple):
    """What became of one episode; picklable, a few ten kilobytes."""

    row: dict[str, Any]  # one value per column, without lang_vector
    clip_file: Path  # the finished clip under a temporary name: a file, or a folder of JPEGs
    clip_size: tuple[int, int]  # (width, height) of its frames
    clip_bytes: int
    clip_sha256: str
    clip_cpu: str | None  # the processor's extensions that x264 used; None for JPEGs
    is_drawn: bool  # the episode was not filmed
    note: str | None  # what had to be mended, in one line
    seconds: float  # that the conversion took
    fetched_bytes: int  # that this process has fetched from elsewhere since the conversion before


@dataclass(frozen=True)
class Converter:
    """Converts one episode per call. Picklable: each worker process uses a copy.

    Attributes:
        loader: reads the episode.
        output: what the clip looks like.
        incoming: folder for clips that are not yet in their place.
    """

    loader: DatasetLoader
    output: OutputConfig
    incoming: Path

    def fetch(self, job: Job) -> Any:
        """Get an episode's files ready, so that `__call__` need not wait for them. Raises as that does."""
        return self.loader.fetch(job.episode)

    def __call__(self, job: Job, files: Any = None) -> Conversion:
        """Convert one episode.

        Args:
            files: what `fetch` returned; None: fetch them now.

        Raises:
            EpisodeError: why this episode has no row.
            StoppedError: nothing can be written any more, or the source has changed.
        """
        start = time.monotonic()
        trajectory = self.loader.load(job.episode, files)
        indices = sample_indices(len(trajectory["frames"]), self.output.max_frames)
        with trajectory["frames"].open() as video:
            resize = self._plan_resize((video.width, video.height))
            frames = (resize.apply(picture) for picture in video.decode(indices))
            clip_file = self.incoming / Path(job.clip).name
            try:
                frame_names = self._write_clip(frames, clip_file)
                num_bytes, sha256 = flush_to_disk(clip_file)
            except OSError as error:
                raise StoppedError(f"Cannot write {clip_file}: {error.strerror}") from error
        frame_paths = [f"{job.clip}/{name}" for name in frame_names] or job.clip
        intrinsics = resize.intrinsics(trajectory["intrinsics"])
        row = make_row(trajectory, indices, frame_paths, intrinsics)
        seconds = time.monotonic() - start
        fetched_bytes = self.loader.take_fetched_bytes()
        return Conversion(
            row,
            clip_file,
            clip_size=resize.output,
            clip_bytes=num_bytes,
            clip_sha256=sha256,
            clip_cpu=x264_cpu() if self.output.use_video else None,
            is_drawn=trajectory["is_drawn"],
            note=trajectory["note"],
            seconds=seconds,
            fetched_bytes=fetched_bytes,
        )

    def _plan_resize(self, source: tuple[int, int]) -> Resize:
        return plan_resize(source, self.output.resize, self.output.frame_size, self.output.shortest_edge_size)

    def _write_clip(self, frames: Iterable[av.VideoFrame], clip_file: Path) -> list[str]:
        """Write the clip; returns the names of its images, none for a video."""
        shutil.rmtree(clip_file, ignore_errors=True)  # what a worker that died at this episode has left
        if self.output.use_video:
            write_mp4(frames, clip_file, fps=self.output.fps, crf=self.output.crf)
            return []
        return write_jpegs(frames, clip_file)


def make_row(
    trajectory: Trajectory,
    indices: NDArray[np.int64],
    frame_paths: str | list[str],
    intrinsics: NDArray[np.float32],
) -> dict[str, Any]:
    """A trajectory's columns at the clip's frames: those of the RFM pipeline, ours, then the hands.

    Args:
        trajectory: T frames with their poses.
        indices: (n,) which of its frames the clip holds.
        frame_paths: the clip, relative to the output folder.
        intrinsics: (3, 3) of the clip's frames.
    """
    confidences = trajectory["confidences"]
    frames = trajectory["frames"]
    times = frames.timestamps
    return {
        "id": trajectory["id"],
        "task": trajectory["task"],
        "data_source": trajectory["data_source"],
        "frames": frame_paths,
        "is_robot": trajectory["is_robot"],
        "quality_label": trajectory["quality_label"],
        "partial_success": trajectory["partial_success"],
        "actions": trajectory["actions"][indices],
        "confidences": None if confidences is None else confidences[indices],
        "camera_to_world": trajectory["camera_to_world"][indices],
        "intrinsics": intrinsics,
        "frame_indices": indices,
        "timestamps": times[indices],
        "source_seconds_left": None if np.isnan(times).any() else times[-1] - times[indices],
        "source_num_frames": len(frames),
        "source_fps": frames.fps,
        "source": trajectory["source"],
        "part": trajectory["part"],
        "task_name": trajectory["task_name"],
        "session_name": trajectory["session_name"],
        "environment": trajectory["environment"],
        "object": trajectory["object"],
        "llm_type": trajectory["llm_type"],
        "llm_verbs": trajectory["llm_verbs"],
        "llm_objects": trajectory["llm_objects"],
        "llm_description": trajectory["llm_description"],
        "llm_description2": trajectory["llm_description2"],
        "which_llm_description": trajectory["which_llm_description"],
        "task_certain": trajectory["task_certain"],
        "collector": trajectory["collector"],
        "description": trajectory["description"],
        "annotated_task": trajectory["annotated_task"],
        "annotated_type": trajectory["annotated_type"],
        "annotator_version": trajectory["annotator_version"],
        "left_hand": trajectory["hands"]["left_hand"][indices],
        "right_hand": trajectory["hands"]["right_hand"][indices],
        "left_wrist_rotation": trajectory["hands"]["left_wrist_rotation"][indices],
        "right_wrist_rotation": trajectory["hands"]["right_wrist_rotation"][indices],
    }


def flush_to_disk(clip_file: Path) -> tuple[int, str]:
    """Make a clip survive a power cut; returns its size in bytes and its SHA-256."""
    files = sorted(clip_file.iterdir()) if clip_file.is_dir() else [clip_file]
    num_bytes, digest = 0, hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            data = handle.read()
            os.fsync(handle.fileno())
        num_bytes += len(data)
        digest.update(data)
    return num_bytes, digest.hexdigest()
