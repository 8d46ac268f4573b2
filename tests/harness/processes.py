"""Processes while they run: found, awaited, killed."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def children(pid: int) -> list[int]:
    """The living child processes of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state not in "ZX":
            found.append(int(folder.name))
    return found


def workers(pid: int) -> list[int]:
    """The worker processes of a run: children of its fork server."""
    return [worker for server in children(pid) for worker in children(server)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition: Callable[[], Any], *, seconds: float = 60.0) -> bool:
    """Wait for a condition; returns whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def die_at_change(number: int) -> Callable[[], None]:
    """For `first`: have the process killed just before it changes the file system for the n-th time."""

    def arm() -> None:
        changes = itertools.count()

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            is_change = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
            is_opened_to_write = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (is_change or is_opened_to_write) and next(changes) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)

    return arm
