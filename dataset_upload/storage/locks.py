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
    with _held(path, fcntl.LOCK_EX, wait):
        yield


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Likewise, with others that hold it shared. Raises LockedError where one process holds it exclusively."""
    with _held(path, fcntl.LOCK_SH, wait=False):
        yield


@contextmanager
def _held(path: Path, kind: int, wait: bool) -> Iterator[None]:
    with path.open(
        "a+"
    ) as file:  # NFS wants a file that is open for reading for the one kind, for writing for the other
        try:
            fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(path) from error
        yield
