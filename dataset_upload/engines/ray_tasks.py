"""Conversion on a Ray cluster, in tasks of a few jobs each.

A task does its jobs one after the other and says at once what became of each. So when it ends otherwise than well, it
is known which job it was at: the first of which nothing was heard. While it does one job, a thread of it fetches the
files of the next. Results travel as bytes; nodes need the source and this package, and nothing else of this machine's.

Ray tries nothing again by itself. A job whose process died, or that took too long, is tried once more when nothing else
runs; one whose node was lost goes to another node. Jobs that waited behind it go to another task, and count nothing.
"""

from __future__ import annotations

import logging
import operator
import os
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from itertools import islice
from math import inf
from typing import Any, ClassVar, NamedTuple, TypeVar

from dataset_upload import __version__
from dataset_upload.console.logs import logger
from dataset_upload.engines import Engine, Work, num_cores
from dataset_upload.engines.in_process import attempt_fetch, attempt_fetched
from dataset_upload.engines.suspects import lost, suspects_again_alone
from dataset_upload.errors import EpisodeError, Reason, StoppedError, UsageError
from dataset_upload.redaction import redact, redact_output

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read as Ray is imported: it reports to nobody

import ray
from ray import exceptions

Job = TypeVar("Job")
Result = TypeVar("Result")

_JOBS_PER_TASK = 8  # at most: a task costs this process 1 ms, and the files of its first job are not fetched ahead
_TASKS_PER_CPU = 2  # one at work, one waiting: Ray starts it without asking this process
_MAX_LOST_NODES = 3  # that a job is forgiven
_MAX_FALSE_STARTS = 10  # tasks in a row whose process died before their first job
_SECONDS_BETWEEN_LOOKS = 2.0  # at how many CPUs the cluster has
_MAX_SILENCE_S = 30.0  # of the head; after 60 Ray ends this process without a word


class RayTasks(Engine):
    """Does jobs on all CPUs of a Ray cluster, or `num_workers` at a time; one that takes too long is ended."""

    shares_disk: ClassVar[bool] = False

    def run(
        self, work: Work[Job, Result], jobs: Iterable[Job]
    ) -> Generator[tuple[Job, Result | EpisodeError], None, None]:
        with _cluster(self.output.ray_address, self.output.num_workers) as head:
            tasks = _Tasks(work, self.output.episode_timeout_s, head)
            yield from suspects_again_alone(tasks.run, jobs, self.output.num_workers)


# The process that has the jobs ----------------------------------------------------------------------------------


class _Lost(NamedTuple):
    """How a task ended otherwise than well."""

    reason: Reason
    what: str
    is_node: bool = False  # and not only the process: nobody's fault


@dataclass(eq=False)
class _Task:
    """A task, and those of its jobs of which nothing was heard yet, in the order of work."""

    results: Any  # Ray's stream of what it yields
    jobs: deque[Any]
    place: _Place | None = None  # once it has begun
    deadline: float = inf  # of the first job


class _Tasks:
    """The tasks of one run."""

    def __init__(self, work: Work[Any, Any], timeout_s: float, head: _Head) -> None:
        self._timeout_s = timeout_s
        self._head = head
        self._work = ray.put(work)
        self._submit = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(_do_jobs).remote
        self._running: dict[Any, _Task] = {}
        self._again: deque[Any] = deque()  # jobs whose task was lost by no fault of theirs
        self._num_lost_nodes: Counter[str] = Counter()  # by job
        self._false_starts = 0

    def run(self, jobs: Iterable[Any], num_workers: int) -> Iterator[tuple[Any, Any]]:
        """Do jobs, `num_workers` at a time; -1: as many as the cluster has CPUs for."""
        waiting = iter(jobs)
        while True:
            self._head.check()
            self._hand_out(waiting, num_workers)
            if not self._running:
                return
            for task in self._wait():
                result = self._receive(task)
                task.deadline = time.monotonic() + self._timeout_s
                if isinstance(result, StoppedError):
                    raise result
                if isinstance(result, _Place):
                    task.place, self._false_starts = result, 0
                elif isinstance(result, _Lost):
                    yield from self._bury(task, result)
                elif task.results in self._running:
                    yield task.jobs.popleft(), result
            for task in self._overdue():
                ray.cancel(task.results, force=True)
                yield from self._bury(task, _Lost(Reason.TIMED_OUT, f"no result after {self._timeout_s:g} s"))

    def _hand_out(self, waiting: Iterator[Any], num_workers: int) -> None:
        most = num_workers if num_workers > 0 else _TASKS_PER_CPU * max(1, self._head.count_cpus())
        while len(self._running) < most:
            num_left = len(self._again) + operator.length_hint(waiting)
            count = max(1, min(_JOBS_PER_TASK, num_left // (2 * most)))  # few towards the end, so that all end together
            jobs = deque(self._again.popleft() for _ in range(min(count, len(self._again))))
            jobs.extend(islice(waiting, count - len(jobs)))
            if not jobs:
                return
            results = self._submit(self._work, list(jobs), os.getcwd(), _versions())
            self._running[results] = _Task(results, jobs)

    def _wait(self) -> list[_Task]:
        """Wait until there is news of tasks, or a deadline is over."""
        patience = min(task.deadline for task in self._running.values()) - time.monotonic()
        patience = max(0.0, min(patience, _SECONDS_BETWEEN_LOOKS))
        ready, others = ray.wait(list(self._running), num_returns=1, timeout=patience)
        if ready and others:
            ready += ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [self._running[results] for results in ready]

    def _overdue(self) -> list[_Task]:
        """The tasks whose deadline is over, if there is no news of them after all."""
        now = time.monotonic()
        late = [results for results, task in self._running.items() if task.deadline <= now]
        return (
            [self._running[results] for results in ray.wait(late, num_returns=len(late), timeout=0)[1]] if late else []
        )

    def _receive(self, task: _Task) -> Any:
        """What a task has to say next, or how it was lost; of one that has ended, which runs no longer, None."""
        try:
            return ray.get(next(task.results))
        except StopIteration:
            del self._running[task.results]
            return None
        except (exceptions.NodeDiedError, exceptions.ObjectLostError):
            return _Lost(Reason.WORKER_DIED, "its node was lost", is_node=True)
        except exceptions.OutOfMemoryError:
            return _Lost(Reason.WORKER_DIED, f"its process was ended for want of memory{_at(task)}")
        except (exceptions.WorkerCrashedError, exceptions.TaskCancelledError):
            return _Lost(Reason.WORKER_DIED, f"its process died{_at(task)}", is_node=self._is_gone(task.place))
        except exceptions.RayError as error:
            raise StoppedError(f"Ray cannot run a task: {_last_line(error)}") from error

    def _is_gone(self, place: _Place | None) -> bool:
        return place is not None and not self._head.is_up(place.node)

    def _bury(self, task: _Task, loss: _Lost) -> Iterator[tuple[Any, EpisodeError]]:
        """Have jobs of a lost task done by others; yields the one that may have cost it."""
        del self._running[task.results]
        if task.place is None:  # no job had begun
            self._again.extend(task.jobs)
            self._false_starts += not loss.is_node
            if self._false_starts == _MAX_FALSE_STARTS:
                raise StoppedError("Ray's worker processes die as they start; their logs on the nodes say why")
            return
        if not task.jobs:  # only its end was still to be heard of
            return
        job = task.jobs.popleft()
        self._again.extend(task.jobs)
        if loss.is_node:
            self._num_lost_nodes[str(job)] += 1
            if self._num_lost_nodes[str(job)] <= _MAX_LOST_NODES:
                self._again.append(job)
                return
        yield job, lost(loss.reason, job, loss.what)


def _at(task: _Task) -> str:
    return "" if task.place is None else f" on the node {task.place.address}"


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()


class _Head:
    """The cluster's head, asked again and again by a thread, as a question to one that is lost never returns."""

    def __init__(self) -> None:
        self._last_answer = time.monotonic()
        self._nodes = ray.nodes()
        threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        while ray.is_initialized():
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            with suppress(Exception):  # whatever it is, it is no answer
                self._nodes = ray.nodes()
                self._last_answer = time.monotonic()

    def check(self) -> None:
        """Raises StoppedError where the head is lost."""
        if time.monotonic() - self._last_answer > _MAX_SILENCE_S:
            raise StoppedError("The head of the Ray cluster does not answer any more")

    def is_up(self, node: str) -> bool:
        """Whether a node is there, by its id."""
        return any(each["NodeID"] == node and each["Alive"] for each in self._nodes)

    def count_nodes(self) -> int:
        """How many nodes there are now: they come and go."""
        return sum(node["Alive"] for node in self._nodes)

    def count_cpus(self) -> int:
        """How many CPUs they have together."""
        return sum(int(node["Resources"].get("CPU", 0)) for node in self._nodes if node["Alive"])


@contextmanager
def _cluster(address: str, num_workers: int) -> Iterator[_Head]:
    """Within the block, this process belongs to a cluster. Raises UsageError where there is none."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    settings: dict[str, Any] = {}
    if address == "local":
        cpus = num_workers if num_workers > 0 else num_cores()
        settings = {"num_cpus": cpus, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    _tame()
    try:
        if address == "auto":
            address = os.environ.get("RAY_ADDRESS", address)
        if address not in ("auto", "local"):
            _check_address(address)
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **settings)
    except (OSError, OverflowError, RuntimeError, ValueError, exceptions.RayError) as error:
        raise UsageError(
            f"{address}: no Ray cluster ({_last_line(error)}); start one, or give another address", "ray_address"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray's own would end this process without a word
                signal.signal(number, handler)
    try:
        head = _Head()
        address = ray.get_runtime_context().gcs_address
        num_nodes = head.count_nodes()
        logger.info(f"Ray cluster at {address}: {head.count_cpus()} CPUs on {num_nodes} node{'s' * (num_nodes != 1)}")
        yield head
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raises ValueError, or OSError where nobody listens: Ray itself would try for ever."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        raise ValueError("an address is HOST:PORT, that of the head's GCS")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _tame() -> None:
    """Change what Ray has no options for once it is imported.

    It stores this process's command line, secrets included, for its dashboard, and prints many lines of a process or
    node that is lost, of which this module says one. Where `uv run` started this process, it would have workers make
    an environment of their own; they are to use the Python that their node was started with.
    """
    from ray._private import ray_constants, utils, worker

    command_line = redact(utils.get_entrypoint_name())
    vars(utils)["get_entrypoint_name"] = lambda: command_line
    vars(ray_constants)["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = False
    vars(worker)["print_to_stdstream"] = lambda *lines, **settings: None


# Processes of the cluster ---------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where a task runs: what it says once its process is ready for the first job."""

    node: str
    address: str


def _do_jobs(work: Work[Any, Any], jobs: Sequence[Any], folder: str, versions: str) -> Iterator[Any]:
    """A task: say that it begins, then what became of each job; StoppedError ends the run."""
    place = _Place(ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address())
    try:
        _get_ready(work, folder, versions)
    except Exception as error:
        yield StoppedError(f"The node {place.address} cannot convert: {error}")
        return
    yield place
    with ThreadPoolExecutor(1) as fetcher:
        ahead = fetcher.submit(attempt_fetch, work, jobs[0])
        for job, following in zip(jobs, [*jobs[1:], None], strict=True):
            fetched = ahead.result()
            if following is not None:
                ahead = fetcher.submit(attempt_fetch, work, following)
            yield attempt_fetched(work, job, fetched)


_is_ready = False


def _get_ready(work: Work[Any, Any], folder: str, versions: str) -> None:
    """Get this process ready, once. Raises whatever keeps it from that."""
    global _is_ready
    if _is_ready:
        return
    redact_output()
    if versions != _versions():
        raise UsageError(f"it has {_versions()}, and the run has {versions}; install the same")
    with suppress(OSError):
        os.chdir(folder)  # what relative paths are relative to, where every machine has it
    for module in work.preload:
        import_module(module)
    work.check_place()
    _is_ready = True


def _versions() -> str:
    """What decides the bytes of a result."""
    return f"dataset_upload {__version__}, av {metadata.version('av')}"
