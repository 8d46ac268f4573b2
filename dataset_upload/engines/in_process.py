"""Conversion in this process, one job after the other."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from dataset_upload.engines import Work
from dataset_upload.errors import EpisodeError, Reason, StoppedError

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_here(
    work: Work[Job, Result], jobs: Iterable[Job], *, num_workers: int = 0, timeout_s: float = 0.0
) -> Generator[tuple[Job, Result | EpisodeError], None, None]:
    """Do jobs in order; nothing can time out."""
    for job in jobs:
        yield job, attempt(work, job)


def attempt(function: Callable[[Job], Result], job: Job) -> Result | EpisodeError:
    """Do one job; whatever goes wrong with it becomes a value, so that it costs no other job."""
    try:
        return function(job)
    except EpisodeError as error:
        return error
    except StoppedError:
        raise
    except MemoryError:
        return EpisodeError(Reason.OUT_OF_MEMORY, f"Error loading trajectory {job}: out of memory")
    except Exception as error:
        *_, place = traceback.extract_tb(error.__traceback__)
        what = f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
        return EpisodeError(Reason.UNEXPECTED, f"Error loading trajectory {job}: {what}")
