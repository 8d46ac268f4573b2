"""Jobs that may have cost a worker its life: each is tried once more, alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dataset_upload.errors import EpisodeError, Reason


def lost(reason: Reason, job: Any, what: str) -> EpisodeError:
    """What became of a job of which nothing was heard any more."""
    return EpisodeError(reason, f"Error loading trajectory {job}: {what}")


def is_lost(outcome: Any) -> bool:
    """Whether nothing was heard of a job any more."""
    return isinstance(outcome, EpisodeError) and outcome.reason in (Reason.WORKER_DIED, Reason.TIMED_OUT)


def suspects_again_alone(
    run: Callable[[Iterable[Any], int], Iterator[tuple[Any, Any]]], jobs: Iterable[Any], num_workers: int
) -> Iterator[tuple[Any, Any]]:
    """Run jobs by `run(jobs, num_workers)`; those that are lost once more when nothing else runs.

    Alone, a job that died only because its neighbours had taken all memory comes through.
    """
    suspects: list[Any] = []
    for job, outcome in run(jobs, num_workers):
        if is_lost(outcome):
            suspects.append(job)
        else:
            yield job, outcome
    yield from run(suspects, 1)
