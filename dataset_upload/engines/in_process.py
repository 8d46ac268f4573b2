"""Conversion in this process, one job after the other."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from dataset_upload.errors import EpisodeError, Reason, StoppedError

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_here(
    convert: Callable[[Job], Result], jobs: Iterable[Job]
) -> Generator[tuple[Job, Result | EpisodeError], None, None]:
    """Convert jobs in order; yields (job, what became of it)."""
    for job in jobs:
        yield job, attempt(convert, job)


def attempt(convert: Callable[[Job], Result], job: Job) -> Result | EpisodeError:
    """Convert one job; whatever goes wrong with it becomes a value, so that it costs no other job."""
    try:
        return convert(job)
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
