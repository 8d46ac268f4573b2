"""Locks between processes, freed by the operating system when their holder ends in whatever way."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LockedError(Exception):
    """Another process holds the lock."""


@contextmanager
def exclusive_lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock on a file, which is created if need be, while the `with` runs.

    Args:
        path: the lock file; its content means nothing.
        wait: whether to wait for another holder.

    Raises:
        LockedError: another process holds it, and `wait` is False.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(path) from error
        yield
