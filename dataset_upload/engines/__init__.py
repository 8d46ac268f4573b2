"""Engines: where conversion runs.

An engine runs jobs somewhere and yields what became of each. A new one is a module here with a class that derives from
`Engine`, and a line in `ENGINES`.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from dataset_upload.errors import EpisodeError
from dataset_upload.names import look_up

if TYPE_CHECKING:
    from dataset_upload.config import OutputConfig

# Where each engine's class is, by what `output.engine` calls it.
ENGINES = {
    "here": "dataset_upload.engines.in_process:InProcess",
    "processes": "dataset_upload.engines.processes:Processes",
    "ray": "dataset_upload.engines.ray_tasks:RayTasks",
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

    def check_place(self) -> None:
        """See that what jobs need is there, in a process on another machine than chose them. Raises UsageError."""

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


class Engine(ABC):
    """Runs jobs.

    Attributes:
        shares_disk: whether work runs on this machine, so that it can leave files where this process finds them.
        output: how many at a time (`num_workers`), how long one may take (`episode_timeout_s`), where the engine can.
    """

    shares_disk: ClassVar[bool] = True

    def __init__(self, output: OutputConfig) -> None:
        self.output = output

    @abstractmethod
    def run(
        self, work: Work[Job, Result], jobs: Iterable[Job]
    ) -> Generator[tuple[Job, Result | EpisodeError], None, None]:
        """Run jobs; yields (job, what became of it) as they finish, in any order. Closing it ends all work at once.

        Args:
            jobs: picklable; taken only a few ahead of the work.

        Raises:
            UsageError: it cannot begin.
            StoppedError: a job found that nothing can go on, or there is nothing left that jobs could run on.
        """


def find_engine(output: OutputConfig) -> Engine:
    """The engine that `output.engine` names; without workers that is this process. Raises UsageError."""
    name = "here" if output.num_workers == 0 and output.engine in ENGINES else output.engine
    engine: Engine = look_up(name, ENGINES, "engine")(output)
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
