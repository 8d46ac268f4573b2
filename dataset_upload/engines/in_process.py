"""Conversion in this process, one job after the other."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from dataset_upload.engines import Engine, Work
from dataset_upload.errors import EpisodeError, Reason, StoppedError

Job = TypeVar("Job")
Result = TypeVar("Result")


class InProcess(Engine):
    """Does jobs in order; nothing can time out."""

    def run(
        self, work: Work[Job, Result], jobs: Iterable[Job]
    ) -> Generator[tuple[Job, Result | EpisodeError], None, None]:
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


def attempt_fetch(work: Work[Job, Any], job: Job) -> Any:
    """Get ready what a job needs, for `attempt_fetched`; whatever goes wrong, or ends the run, becomes a value."""
    return _with_stop_as_value(work.fetch, job)


def attempt_fetched(work: Work[Job, Result], job: Job, fetched: Any) -> Result | EpisodeError | StoppedError:
    """Do a job for which `attempt_fetch` has got ready what it needs."""
    if isinstance(fetched, EpisodeError | StoppedError):
        return fetched
    return _with_stop_as_value(lambda job: work(job, fetched), job)


def _with_stop_as_value(function: Callable[[Job], Result], job: Job) -> Result | EpisodeError | StoppedError:
    try:
        return attempt(function, job)
    except StoppedError as stopped:
        return stopped
