"""One episode to one row of the catalogue: what an engine is given to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataset_upload.catalogue.rows_file import Row
from dataset_upload.dataset_loaders import DatasetLoader, check_sources
from dataset_upload.errors import Reason, UsageError
from dataset_upload.jobs import Job
from dataset_upload.quality.table import measure_all


def check_measurable(loader: DatasetLoader, argument: str) -> None:
    """Raises UsageError, which blames the argument, where a source lacks what measures are made of."""
    if not loader.poses >= {"hands", "camera"}:
        raise UsageError(f"{loader.about.name} has no poses of hands and camera: there is nothing to measure", argument)


@dataclass(frozen=True)
class Measuring:
    """Measures one episode per call. Picklable: each worker process uses a copy."""

    loader: DatasetLoader

    @property
    def preload(self) -> tuple[str, ...]:
        """Modules that a process imports before it forks workers."""
        return (*self.loader.preload, __name__)

    def check_place(self) -> None:
        """See that a machine has the source. Raises UsageError."""
        check_sources(self.loader)

    def fetch(self, job: Job) -> Any:
        """Get an episode's annotation ready, so that `__call__` need not wait for it. Raises as that does."""
        return self.loader.fetch_tracking(job.episode)

    def __call__(self, job: Job, files: Any = None) -> Row:
        """Measure one episode.

        Raises:
            EpisodeError: why it cannot be measured.
            StoppedError: nothing can be read any more.
        """
        tracking = self.loader.load_tracking(job.episode, files)
        reason = None  # why it cannot be converted, as far as that is seen without a video
        if self.loader.lacks_video(job.episode):
            reason = Reason.MISSING_MP4
        elif tracking.task is None:
            reason = Reason.NO_DESCRIPTION
        return {
            "key": job.key,
            "task_name": job.episode.task_name,
            "task": tracking.task,
            "reason": None if reason is None else str(reason),
            "is_drawn": tracking.is_drawn,
            **tracking.columns,
            **measure_all(tracking),
        }
