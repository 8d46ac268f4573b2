"""Iterate over EgoDex trajectories in Python."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from dataset_upload.actions.guide15 import PARTS
from dataset_upload.console.logs import logger
from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader, EgoDexTrajectory
from dataset_upload.errors import EpisodeError, UsageError
from dataset_upload.natural_order import natural_key
from dataset_upload.selection import select_round_robin


class EgoDexIterator(Iterator[EgoDexTrajectory]):
    """Yields trajectories in natural order, holding one at a time.

    An episode that cannot be used is logged and counted, never yielded. The iterator can be used once.

    Attributes:
        num_episodes: how many episodes it goes through.
        skipped, failed: number of episodes by reason, so far.
    """

    def __init__(self, loader: EgoDexLoader, max_trajectories: int | None) -> None:
        selected = select_round_robin(loader.list_episodes(), max_trajectories)
        selected.sort(key=lambda episode: natural_key(episode.key))
        self.num_episodes = len(selected)
        self.skipped: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._loader = loader
        self._episodes = iter(selected)

    def __next__(self) -> EgoDexTrajectory:
        for episode in self._episodes:
            try:
                return self._loader.load(episode)
            except EpisodeError as error:
                logger.warning(str(error))
                (self.skipped if error.reason.is_skip else self.failed)[error.reason.value] += 1
        raise StopIteration


def get_egodex_iterator(
    dataset_path: str | os.PathLike[str] | Sequence[str],
    max_trajectories: int | None = None,
    *,
    dataset_name: str = "egodex",
    actions: Collection[str] = tuple(PARTS),
) -> EgoDexIterator:
    """Iterate over the trajectories of an EgoDex part.

    Args:
        dataset_path: the part's folder, its zip, or a URL of that; or several of them. `~` and relative paths work.
        max_trajectories: how many episodes to go through at most, spread over all tasks; None or -1: all. Those
            that cannot be used count.
        dataset_name: what ids are made from, and `data_source`.
        actions: parts of an action: "hands", "fingertips", "camera".

    Raises:
        UsageError: nothing can be read there, it holds no episode, or an argument makes no sense; `argument` names it.
        StoppedError: while iterating, an archive has changed.

    Example:
        >>> for trajectory in get_egodex_iterator("/path/to/egodex/test", max_trajectories=100):
        ...     trajectory["frames"][0]  # (1080, 1920, 3) uint8 RGB, decoded now
        ...     trajectory["actions"]  # (T, 15) float32, metres
        ...     trajectory["task"]  # "Pick up …"
    """
    unknown = set(actions) - set(PARTS)
    if unknown or not actions:
        raise UsageError(f"{sorted(actions)} must be one or more of {', '.join(PARTS)}", "actions")
    if max_trajectories is not None and max_trajectories != -1 and max_trajectories < 1:
        raise UsageError(f"{max_trajectories} must be at least 1, or -1 for all", "max_trajectories")
    path = os.fspath(dataset_path) if isinstance(dataset_path, str | os.PathLike) else tuple(dataset_path)
    return EgoDexIterator(EgoDexLoader(path, dataset_name, tuple(actions)), max_trajectories)
