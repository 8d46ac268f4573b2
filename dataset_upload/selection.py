"""Which of a dataset's episodes a run converts."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from dataset_upload.errors import UsageError
from dataset_upload.trajectory import Episode

E = TypeVar("E", bound=Episode)


def choose_tasks(episodes: Sequence[E], tasks: str | Sequence[str]) -> list[E]:
    """Keep the episodes of some tasks.

    Args:
        episodes: of any tasks.
        tasks: names of tasks, or globs; none: all.

    Raises:
        UsageError: no task has such a name.
    """
    patterns = [tasks] if isinstance(tasks, str) else tasks
    names = sorted({episode.task_name for episode in episodes})
    chosen: set[str] = set()
    for pattern in patterns:
        matches = [name for name in names if fnmatchcase(name, pattern)]
        if not matches:
            near = ", ".join(difflib.get_close_matches(pattern, names, n=3)) or ", ".join(names[:10])
            raise UsageError(f"no task is called {pattern}; there are {near}", "tasks")
        chosen.update(matches)
    return [episode for episode in episodes if episode.task_name in chosen or not patterns]


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
