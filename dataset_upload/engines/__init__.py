"""Engines: where conversion runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from dataset_upload.errors import EpisodeError

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    convert: Callable[[Job], Result], jobs: Iterable[Job], *, num_workers: int, timeout_s: float
) -> Generator[tuple[Job, Result | EpisodeError], None, None]:
    """Convert jobs; yields (job, what became of it) as they finish, in any order.

    Args:
        convert: picklable; raises EpisodeError for a job that cannot be done.
        jobs: picklable; taken only a few ahead of the work.
        num_workers: processes; -1: one per core that this process may use, 0: run here.
        timeout_s: seconds after which a job's worker is killed; without workers nothing can time out.

    Raises:
        StoppedError: a job found that nothing can go on.

    Closing the iterator kills the workers at once.
    """
    if num_workers == 0:
        from dataset_upload.engines.in_process import run_here

        return run_here(convert, jobs)
    from dataset_upload.engines.processes import run_in_processes

    if num_workers == -1:
        num_workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return run_in_processes(convert, jobs, num_workers=num_workers, timeout_s=timeout_s)
