"""Reads that are tried again when they fail in a way that may pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from dataset_upload.errors import EpisodeError, Reason

T = TypeVar("T")

ATTEMPTS = 8  # with the pauses between them: about a minute
FIRST_PAUSE_S = 0.5  # doubles with each attempt
LONGEST_PAUSE_S = 60.0


class TryAgainError(Exception):
    """A read failed in a way that may pass; `pause_s` is how long the server wishes to be left alone, if it says."""

    def __init__(self, what: str, pause_s: float | None = None) -> None:
        super().__init__(what)
        self.pause_s = pause_s


def with_retries(read: Callable[[], T], location: str, *, attempts: int | None = None) -> T:
    """Call `read` until it raises no TryAgainError.

    Args:
        location: what error messages call the source.
        attempts: how often at most; None: ATTEMPTS.

    Raises:
        EpisodeError: it did not pass.
    """
    attempts = attempts or ATTEMPTS
    for attempt in range(1, attempts):
        try:
            return read()
        except TryAgainError as error:
            pause_s = FIRST_PAUSE_S * 2 ** (attempt - 1) if error.pause_s is None else error.pause_s
            time.sleep(min(LONGEST_PAUSE_S, pause_s))
    try:
        return read()
    except TryAgainError as error:
        what = f"Error reading {location}: {error} ({attempts} attempts)"
        raise EpisodeError(Reason.UNREADABLE_SOURCE, what) from error
