"""Runs of an engine with jobs that do as they are told."""

from __future__ import annotations

from typing import Any

from misbehaving import Do, Doing

from dataset_upload.config import OutputConfig
from dataset_upload.engines import Engine, find_engine
from dataset_upload.errors import EpisodeError


def make_engine(name: str, num_workers: int, *, timeout_s: int = 60, **more: Any) -> Engine:
    """The engine that options of the converter name."""
    return find_engine(OutputConfig(engine=name, num_workers=num_workers, episode_timeout_s=timeout_s, **more))


def jobs(count: int, *misbehaving: Doing, seconds: float = 0.0) -> list[Doing]:
    """`count` jobs, among which those that misbehave stand as the second, fourth, …"""
    listed = [Doing(f"job{number}", seconds=seconds) for number in range(count)]
    for position, job in enumerate(misbehaving):
        listed[2 * position + 1] = job
    return listed


def run(engine: Engine, do: Do, listed: list[Doing]) -> dict[str, str | EpisodeError]:
    """What became of each job; fails if one is missing or comes twice."""
    outcomes = list(engine.run(do, listed))
    assert sorted(job.name for job, _ in outcomes) == sorted(job.name for job in listed)
    return {job.name: outcome for job, outcome in outcomes}


def all_done_but(listed: list[Doing], *names: str) -> dict[str, str]:
    return {job.name: f"{job.name} done" for job in listed if job.name not in names}
