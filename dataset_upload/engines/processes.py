"""Conversion in worker processes that may die or hang without taking more than their job along.

Each worker has a pipe of its own and a queue of two jobs, of which it works on the first. So when a worker dies, by a
crash in a codec or by the kernel's out-of-memory killer, it is known which job it was at. That job is tried once
more when nothing else runs; the other job goes to another worker.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from dataset_upload.engines.in_process import attempt
from dataset_upload.errors import EpisodeError, Reason, StoppedError

Job = TypeVar("Job")
Result = TypeVar("Result")

_JOBS_PER_WORKER = 2  # one in work, one waiting, so that a worker never waits for the parent


def run_in_processes(
    convert: Callable[[Job], Result], jobs: Iterable[Job], *, num_workers: int, timeout_s: float
) -> Generator[tuple[Job, Result | EpisodeError], None, None]:
    """Convert jobs in `num_workers` processes; yields (job, what became of it) as they finish."""
    pool = _Pool(convert, timeout_s)
    try:
        suspects: list[Job] = []
        for job, outcome in pool.run(jobs, num_workers):
            if isinstance(outcome, EpisodeError) and outcome.reason in (Reason.WORKER_DIED, Reason.TIMED_OUT):
                suspects.append(job)
            else:
                yield job, outcome
        # Alone, a job that died only because its neighbours had taken all memory comes through.
        yield from pool.run(suspects, num_workers=1)
    finally:
        pool.kill()


class _Pool:
    """Workers that are replaced when they die."""

    def __init__(self, convert: Callable[[Any], Any], timeout_s: float) -> None:
        self._convert = convert
        self._timeout_s = timeout_s
        self._workers: list[_Worker] = []

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
                    outcome = _lost(Reason.TIMED_OUT, worker, f"no result after {self._timeout_s:g} s")
                else:
                    continue
                job = worker.jobs.popleft()
                worker.deadline = time.monotonic() + self._timeout_s
                if isinstance(outcome, StoppedError):
                    raise outcome
                if isinstance(outcome, EpisodeError) and outcome.reason in (Reason.WORKER_DIED, Reason.TIMED_OUT):
                    orphans.extend(worker.jobs)
                    worker.kill()
                    self._workers.remove(worker)
                yield job, outcome

    def _hand_out(self, waiting: Iterator[Any], orphans: deque[Any], num_workers: int) -> None:
        for depth in range(1, _JOBS_PER_WORKER + 1):
            for slot in range(num_workers):
                if slot < len(self._workers) and len(self._workers[slot].jobs) >= depth:
                    continue
                job = orphans.popleft() if orphans else next(waiting, None)
                if job is None:
                    return
                if slot == len(self._workers):
                    self._workers.append(_Worker(self._convert))
                self._workers[slot].send(job, self._timeout_s)

    def kill(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()


class _Worker:
    """One process, and the jobs that it has been sent; it works on the first."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        context = _context()
        self.jobs: deque[Any] = deque()
        self.deadline = 0.0
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, convert), daemon=True)
        self.process.start()
        theirs.close()

    def send(self, job: Any, timeout_s: float) -> None:
        if not self.jobs:
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
            return _lost(Reason.WORKER_DIED, self, f"its process died ({_cause_of_death(self.process.exitcode)})")

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _lost(reason: Reason, worker: _Worker, what: str) -> EpisodeError:
    return EpisodeError(reason, f"Error loading trajectory {worker.jobs[0]}: {what}")


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    return signal.Signals(-exit_code).name


def _context() -> Any:
    # A fork server has imported the codecs once and forks in milliseconds; it has no threads to fork in the middle of.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dataset_upload.conversion", "dataset_upload.dataset_loaders.egodex"])
    return context


def _serve(connection: Connection, convert: Callable[[Any], Any]) -> None:
    """A worker's life: receive a job, send what became of it, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            connection.send(attempt(convert, job))
        except StoppedError as stopped:
            connection.send(stopped)
        except BrokenPipeError:
            return
