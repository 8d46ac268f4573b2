"""Which of a dataset's episodes a run converts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from dataset_upload.dataset_loaders import Episode

E = TypeVar("E", bound=Episode)


def select_round_robin(episodes: Sequence[E], max_trajectories: int | None) -> list[E]:
    """Choose episodes so that as many tasks as possible are covered: each task's first, each task's second, …

    Args:
        episodes: in natural order.
        max_trajectories: how many to choose at most; None or -1: all.

    Returns:
        The chosen episodes in the order of choice. Choosing more later begins with the same ones.
    """
    rounds: dict[str, int] = {}
    ranked: list[tuple[int, int]] = []
    for position, episode in enumerate(episodes):
        turn = rounds.get(episode.task_name, 0)
        rounds[episode.task_name] = turn + 1
        ranked.append((turn, position))
    chosen = [episodes[position] for _, position in sorted(ranked)]
    return chosen if max_trajectories in (None, -1) else chosen[:max_trajectories]
