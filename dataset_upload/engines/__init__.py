"""Engines: where conversion runs.

An engine is a function that runs jobs somewhere and yields what became of each. A new one is a module here, and a line
in `ENGINES`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dataset_upload.errors import EpisodeError
from dataset_upload.names import look_up

# Where each engine's function is, by what `output.engine` calls it.
ENGINES = {
    "here": "dataset_upload.engines.in_process:run_here",
    "processes": "dataset_upload.engines.processes:run_in_processes",
}

J = TypeVar("J", contravariant=True)
R = TypeVar("R", covariant=True)
Job = TypeVar("Job")
Result = TypeVar("Result")


class Work(Protocol[J, R]):
    """What is done with each job. Picklable: each worker process uses a copy.

    Attributes:
        preload: modules that a process imports before it forks workers: what takes long to load.
    """

    @property
    def preload(self) -> tuple[str, ...]: ...

    def fetch(self, job: J, /) -> Any:
        """Get ready what a job needs from elsewhere; may run while another job is in work. Raises as `__call__`."""

    def __call__(self, job: J, fetched: Any = None, /) -> R:
        """Do a job.

        Args:
            fetched: what `fetch` returned; None: fetch it now.

        Raises:
            EpisodeError: why it cannot be done.
            StoppedError: nothing can go on.
        """


class Engine(Protocol):
    """Runs jobs; yields (job, what became of it) as they finish, in any order.

    Raises StoppedError where a job found that nothing can go on. Closing the iterator ends all work at once.
    """

    def __call__(
        self, work: Work[Job, Result], jobs: Iterable[Job], *, num_workers: int, timeout_s: float
    ) -> Generator[tuple[Job, Result | EpisodeError], None, None]:
        """Run jobs.

        Args:
            jobs: picklable; taken only a few ahead of the work.
            num_workers: how many at a time, where the engine lets that be chosen.
            timeout_s: seconds after which a job is given up, where the engine can.
        """


def find_engine(name: str, num_workers: int) -> Engine:
    """The engine that `output.engine` names; without workers that is this process. Raises UsageError."""
    engine: Engine = look_up("here" if num_workers == 0 and name in ENGINES else name, ENGINES, "engine")
    return engine


def num_cores() -> int:
    """How many cores this process may use: those that it is bound to, or what its container is granted of them."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([bound, *_granted_cores(_CGROUP)]))


_CGROUP = Path("/sys/fs/cgroup/cpu.max")  # of Linux's control groups, version 2, as a container sees its own


def _granted_cores(cpu_max: Path) -> list[int]:
    """How many cores' time a control group may take; none where nothing limits it."""
    try:
        quota, period = cpu_max.read_text().split()
        return [math.ceil(int(quota) / int(period))]
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return []
