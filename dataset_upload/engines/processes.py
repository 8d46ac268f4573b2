"""Conversion in worker processes that may die or hang without taking more than their job along.

Each worker has a pipe of its own and a queue of two jobs, of which it works on the first. So when a worker dies, by a
crash in a codec or by the kernel's out-of-memory killer, it is known which job it was at. That job is tried once
more when nothing else runs; the other job goes to another worker. No worker outlives the parent, however that ends.

While a worker converts one job, a thread of it fetches the files of the next: behind a network that hides the wait.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any, TypeVar

from dataset_upload.engines import Engine, Work, num_cores
from dataset_upload.engines.in_process import attempt_fetch, attempt_fetched
from dataset_upload.engines.suspects import is_lost, lost, suspects_again_alone
from dataset_upload.errors import EpisodeError, Reason, StoppedError
from dataset_upload.redaction import redact_output

Job = TypeVar("Job")
Result = TypeVar("Result")

_JOBS_PER_WORKER = 2  # one in work, one waiting, so that a worker never waits for the parent
_START_TIMEOUT_S = 300.0  # the first start on a machine compiles
_MAX_FALSE_STARTS = 10  # workers in a row that died before their first job


class _Ready:
    """What a worker sends once it has started."""


class Processes(Engine):
    """Does jobs in `num_workers` processes, -1: one per core; one that takes over `episode_timeout_s` is killed."""

    def run(
        self, work: Work[Job, Result], jobs: Iterable[Job]
    ) -> Generator[tuple[Job, Result | EpisodeError], None, None]:
        num_workers = num_cores() if self.output.num_workers == -1 else self.output.num_workers
        pool = _Pool(work, self.output.episode_timeout_s)
        try:
            yield from suspects_again_alone(pool.run, jobs, num_workers)
        finally:
            pool.kill()


class _Pool:
    """Workers that are replaced when they die."""

    def __init__(self, work: Work[Any, Any], timeout_s: float) -> None:
        self._work = work
        self._timeout_s = timeout_s
        self._workers: list[_Worker] = []
        self._false_starts = 0

    def run(self, jobs: Iterable[Any], num_workers: int) -> Iterator[tuple[Any, Any]]:
        waiting = iter(jobs)
        orphans: deque[Any] = deque()  # jobs that waited behind one that killed their worker
        while True:
            self._hand_out(waiting, orphans, num_workers)
            busy = [worker for worker in self._workers if worker.jobs]
            if not busy:
                return
            patience = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
            ready = wait([worker.connection for worker in busy], timeout=patience)
            for worker in busy:
                if worker.connection in ready:
                    outcome = worker.receive()
                elif worker.deadline <= time.monotonic():
                    outcome = lost(Reason.TIMED_OUT, worker.jobs[0], f"no result after {self._timeout_s:g} s")
                else:
                    continue
                worker.deadline = time.monotonic() + self._timeout_s
                if isinstance(outcome, StoppedError):
                    raise outcome
                if isinstance(outcome, _Ready):
                    worker.is_ready = True
                    self._false_starts = 0
                    continue
                job = worker.jobs.popleft() if worker.is_ready else None
                if is_lost(outcome):
                    orphans.extend(worker.jobs)
                    worker.kill()
                    self._workers.remove(worker)
                if job is None:
                    self._count_false_start()
                else:
                    yield job, outcome

    def _count_false_start(self) -> None:
        """No episode is to blame for a worker that does not even start, but a run cannot go on for ever without."""
        self._false_starts += 1
        if self._false_starts == _MAX_FALSE_STARTS:
            raise StoppedError("Worker processes die as they start; try --output.num_workers=0, which needs none")

    def _hand_out(self, waiting: Iterator[Any], orphans: deque[Any], num_workers: int) -> None:
        for depth in range(1, _JOBS_PER_WORKER + 1):
            for slot in range(num_workers):
                if slot < len(self._workers) and len(self._workers[slot].jobs) >= depth:
                    continue
                job = orphans.popleft() if orphans else next(waiting, None)
                if job is None:
                    return
                if slot == len(self._workers):
                    self._workers.append(_Worker(self._work))
                self._workers[slot].send(job, self._timeout_s)

    def kill(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()


class _Worker:
    """One process, and the jobs that it has been sent; it works on the first."""

    def __init__(self, work: Work[Any, Any]) -> None:
        context = _context(work.preload)
        self.jobs: deque[Any] = deque()
        self.is_ready = False
        self.deadline = time.monotonic() + _START_TIMEOUT_S
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        try:
            with _interrupts_held_back():
                self.process.start()
        except (OSError, EOFError) as error:  # EOFError: the fork server could not fork
            raise StoppedError(f"Cannot start a worker process ({error or type(error).__name__})") from error
        theirs.close()

    def send(self, job: Any, timeout_s: float) -> None:
        if self.is_ready and not self.jobs:
            self.deadline = time.monotonic() + timeout_s
        self.jobs.append(job)
        try:
            self.connection.send(job)
        except OSError:
            pass  # it has died: receive() will say so

    def receive(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return lost(
                Reason.WORKER_DIED, self.jobs[0], f"its process died ({_cause_of_death(self.process.exitcode)})"
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    return signal.Signals(-exit_code).name


def _context(preload: Sequence[str]) -> Any:
    # A fork server has imported the codecs and compiled what decodes, once, and forks in milliseconds; it has no
    # threads to fork in the middle of. What it has loaded, workers share.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, "dataset_upload.engines.freeze"])
    return context


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Whatever process is started meanwhile never sees Ctrl-C, which is the parent's to handle."""
    resource_tracker.ensure_running()  # it would be started along, and let interrupts through again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _serve(connection: Connection, work: Work[Any, Any]) -> None:
    """A worker's life: receive a job, send what became of it, while the next job's files are being fetched."""
    redact_output()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    fetched: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_fetch_jobs, args=(connection, work, fetched), daemon=True).start()
    try:
        connection.send(_Ready())
        for job, files in iter(fetched.get, None):
            connection.send(attempt_fetched(work, job, files))
    except OSError:
        return  # the parent has no use for this worker any more


def _fetch_jobs(connection: Connection, work: Work[Any, Any], fetched: SimpleQueue[Any]) -> None:
    """Receive jobs, and get ready what they need; None ends the queue."""
    try:
        while True:
            job = connection.recv()
            fetched.put((job, attempt_fetch(work, job)))
    except (EOFError, OSError):
        fetched.put(None)  # the parent is gone


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
