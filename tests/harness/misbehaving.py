"""Converters that crash, hang, are killed or run out of disk, for worker processes to import quickly."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dataset_upload.conversion import Conversion
from dataset_upload.errors import EpisodeError, Reason, StoppedError, UsageError
from dataset_upload.jobs import Job, Piece


class Doing(NamedTuple):
    """A job for `do`: what happens to it at the first attempt and at every later one."""

    name: str
    first: str = "work"
    later: str = ""  # empty: the same again
    seconds: float = 0.0  # before it happens


class Attempt(NamedTuple):
    name: str
    pid: int
    start: float
    end: float | None  # None: it never came to its end


class NothingToFetch:
    """What engines ask of every converter."""

    preload: tuple[str, ...] = ()

    def check_place(self) -> None: ...

    def fetch(self, job: Any) -> None:
        return None


class Do(NothingToFetch):
    """A converter for the engines that does what each job says and keeps a log of its attempts."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def __call__(self, job: Doing, fetched: Any = None) -> str:
        act = job.first if not self.attempts(job.name) else job.later or job.first
        self._write("start", job.name)
        time.sleep(job.seconds)
        _ACTS[act]()
        self._write("end", job.name)
        return f"{job.name} done"

    def _write(self, *words: str) -> None:
        with self._log.open("a") as log:
            log.write(" ".join([*words, str(os.getpid()), str(time.monotonic())]) + "\n")

    def attempts(self, name: str | None = None) -> list[Attempt]:
        """Every attempt so far, in order."""
        lines = [line.split() for line in self._log.read_text().splitlines()] if self._log.exists() else []
        found = []
        for number, (kind, which, pid, start) in enumerate(lines):
            if kind == "start" and which == (name or which):
                ends = [float(line[3]) for line in lines[number:] if line[:3] == ["end", which, pid]]
                found.append(Attempt(which, int(pid), float(start), min(ends, default=None)))
        return found


def _kill_self(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def _raise(error: Exception) -> None:
    raise error


def _hang() -> None:
    time.sleep(10_000)


_ACTS: dict[str, Callable[[], object]] = {
    "work": lambda: None,
    "be killed": lambda: _kill_self(signal.SIGKILL),
    "be stopped": lambda: _kill_self(signal.SIGSTOP),
    "crash": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(7),
    "hang": _hang,
    "fail": lambda: _raise(EpisodeError(Reason.NAN_POSES, "it holds NaN")),
    "raise": lambda: _raise(ZeroDivisionError("by zero")),
    "use all memory": lambda: _raise(MemoryError()),
    "stop": lambda: _raise(StoppedError("the disk is full")),
}


class Misbehaving(Conversion):
    """The real converter, but an episode of a task that is called like an act meets with it."""

    def __call__(self, job: Job, files: Any = None) -> Piece:
        if job.episode.task_name in _ACTS:
            _ACTS[job.episode.task_name]()
        return super().__call__(job, files)


def convert_misbehaving() -> int:
    """The command, with that converter."""
    from dataset_upload import pipeline
    from dataset_upload.generate_hf_dataset import main

    vars(pipeline)["Conversion"] = Misbehaving
    return main()


class CannotStart(NothingToFetch):
    """A converter that kills the worker which receives it."""

    def __call__(self, job: Any, fetched: Any = None) -> None:
        raise AssertionError("no worker should live to call this")

    def __reduce__(self) -> tuple[Callable[[int], None], Sequence[int]]:
        return os._exit, (1,)


class Heavy(NothingToFetch):
    """A converter whose results are too large for a pipe; the worker that makes the first leaves its process id."""

    def __init__(self, note: Path) -> None:
        self._note = note

    def __call__(self, job: int, fetched: Any = None) -> bytes:
        if not self._note.exists():
            self._note.write_text(str(os.getpid()))
        return bytes(40_000_000)


class LoadedModules(NothingToFetch):
    """A converter that says what its worker has imported."""

    def __call__(self, job: object, fetched: Any = None) -> list[str]:
        return sorted(sys.modules)


class FrozenObjects(NothingToFetch):
    """A converter that says how many objects its worker's garbage collections pass over."""

    def __call__(self, job: object, fetched: Any = None) -> int:
        return gc.get_freeze_count()


class Misplaced(NothingToFetch):
    """A converter whose source no other machine sees."""

    def check_place(self) -> None:
        raise UsageError("/data/egodex is not there")

    def __call__(self, job: Any, fetched: Any = None) -> None:
        raise AssertionError("nothing should be done where the source is not")


class Complain(NothingToFetch):
    """A converter that prints what it is told."""

    def __call__(self, line: str, fetched: Any = None) -> None:
        print(line, file=sys.stderr)
