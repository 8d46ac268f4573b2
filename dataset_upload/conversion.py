"""One job to one piece, or one named failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dataset_upload.dataset_loaders import DatasetLoader, check_sources
from dataset_upload.errors import StoppedError
from dataset_upload.formats import Encoder, WantedFrames
from dataset_upload.jobs import Job, Piece


@dataclass(frozen=True)
class Conversion:
    """Converts one episode per call. Picklable: each worker process uses a copy.

    Attributes:
        loader: reads the episode.
        encoder: makes the piece.
        preload: modules that a process imports before it forks workers.
        check_ready: raises UsageError where something is missing that the encoder needs.
    """

    loader: DatasetLoader
    encoder: Encoder
    preload: tuple[str, ...] = ()
    check_ready: Callable[[], None] | None = None

    def check_place(self) -> None:
        """See that a machine has what the encoder needs, and the loader's source. Raises UsageError."""
        if self.check_ready is not None:
            self.check_ready()
        check_sources(self.loader)

    def fetch(self, job: Job) -> Any:
        """Get an episode's files ready, so that `__call__` need not wait for them. Raises as that does."""
        return self.loader.fetch(job.episode)

    def __call__(self, job: Job, files: Any = None) -> Piece:
        """Convert one episode.

        Args:
            files: what `fetch` returned; None: fetch them now.

        Raises:
            EpisodeError: why this episode has no row.
            StoppedError: nothing can be written any more, or the source has changed.
        """
        start = time.monotonic()
        trajectory = self.loader.load(job.episode, files)
        indices = self.encoder.frame_indices(len(trajectory["frames"]), trajectory["frames"].fps)
        with trajectory["frames"].open() as video:
            resize = self.encoder.plan_resize((video.width, video.height))
            pictures = (resize.apply(picture) for picture in video.decode(indices))
            try:
                piece = self.encoder.encode(job, trajectory, WantedFrames(indices, resize, pictures, video.coded))
            except OSError as error:
                raise StoppedError(f"Cannot write {error.filename or job.key}: {error.strerror or error}") from error
        return piece._replace(seconds=time.monotonic() - start, fetched_bytes=self.loader.take_fetched_bytes())
