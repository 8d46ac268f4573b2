"""Reads that are tried again when they fail in a way that may pass, or take too long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from dataset_upload.errors import EpisodeError, OneLineError, Reason
from dataset_upload.storage.deadline import within

T = TypeVar("T")

ATTEMPTS = 8  # with the pauses between them: about a minute
FIRST_PAUSE_S = 0.5  # doubles with each attempt
LONGEST_PAUSE_S = 60.0
# A request may take so long, and longer by its bytes at the least rate that is of any use.
REQUEST_S = 120.0
LEAST_BYTES_PER_S = 64 * 1024


class TryAgainError(OneLineError):
    """A read failed in a way that may pass; `pause_s` is how long the server wishes to be left alone, if it says."""

    def __init__(self, what: str, pause_s: float | None = None) -> None:
        super().__init__(what)
        self.pause_s = pause_s


def in_time(num_bytes: int, request: Callable[[], T]) -> T:
    """Make one request for so many bytes. Raises TryAgainError, too, if the answer takes too long."""
    try:
        return within(REQUEST_S + num_bytes / LEAST_BYTES_PER_S, request)
    except TimeoutError as error:
        raise TryAgainError(f"the answer was {error}") from None


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
