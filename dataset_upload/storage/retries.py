"""Calls over a network that are made again when they fail in a way that may pass, or take too long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from dataset_upload.errors import EpisodeError, OneLineError, Reason
from dataset_upload.storage.deadline import within

T = TypeVar("T")

ATTEMPTS = 8  # of a read: with the pauses between them about a minute
FIRST_PAUSE_S = 0.5
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


def retry(
    call: Callable[[], T],
    *,
    attempts: int,
    pause_s: Callable[[int], float],
    may_pass: Callable[[Exception], bool],
) -> T:
    """Make a call that may be made several times, until it succeeds.

    Args:
        attempts: how often at most.
        pause_s: seconds to wait after so many failures, unless a TryAgainError says how long the server wishes.
        may_pass: whether an error may pass. What may not is raised at once; what does not, after the last attempt.
    """
    for failures in range(1, attempts):
        try:
            return call()
        except Exception as error:
            if not may_pass(error):
                raise
            wish = error.pause_s if isinstance(error, TryAgainError) else None
            time.sleep(pause_s(failures) if wish is None else min(LONGEST_PAUSE_S, wish))
    return call()


def doubling(first_s: float) -> Callable[[int], float]:
    """For `retry`: a pause of `first_s` after the first failure, then twice the last one, a minute at most."""
    return lambda failures: min(LONGEST_PAUSE_S, first_s * 2 ** (failures - 1))


def read_with_retries(read: Callable[[], T], location: str, *, attempts: int | None = None) -> T:
    """Call `read` until it raises no TryAgainError.

    Args:
        location: what error messages call the source.
        attempts: how often at most; None: ATTEMPTS.

    Raises:
        EpisodeError: it did not pass.
    """
    attempts = attempts or ATTEMPTS
    try:
        return retry(read, attempts=attempts, pause_s=doubling(FIRST_PAUSE_S), may_pass=_is_try_again)
    except TryAgainError as error:
        what = f"Error reading {location}: {error} ({attempts} attempts)"
        raise EpisodeError(Reason.UNREADABLE_SOURCE, what) from error


def _is_try_again(error: Exception) -> bool:
    return isinstance(error, TryAgainError)
