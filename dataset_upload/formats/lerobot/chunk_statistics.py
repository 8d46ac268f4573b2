"""Statistics of chunks of actions: of the h-th action of every chunk, in the camera of the chunk's first step.

A chunk begins at every frame, and has only actions that its episode has: what readers repeat at the end is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions import Representation
from dataset_upload.actions.chunks import express
from dataset_upload.errors import UsageError
from dataset_upload.formats.lerobot.episode_stats import NAMES, Stats
from dataset_upload.formats.lerobot.exact_statistics import Batch, exact_statistics

# What is held at once: so many columns are looked through for quantiles, of the chunks of so many frames.
_COLUMNS = 512
_FRAMES = 1024


class EpisodeActions(NamedTuple):
    """What chunks of an episode are made of.

    Attributes:
        actions: (T, D), as stored.
        cameras: (T, 4, 4), camera to world.
    """

    actions: NDArray[np.float32]
    cameras: NDArray[np.float32]


def check_horizons(representation: Representation, horizons: Sequence[int], *, has_camera: bool) -> None:
    """Raises UsageError where actions cannot be expressed in a camera."""
    if horizons and (representation.stored_in == "none" or not representation.action_parts or not has_camera):
        raise UsageError(
            f"actions of {representation.name} are not positions that a camera could see; leave it out", "horizons"
        )


def chunk_statistics(
    representation: Representation, horizon: int, episodes: Callable[[], Iterable[EpisodeActions]]
) -> Stats | None:
    """By name (H, D) numbers, and (H,) of `count`; None where no episode has so many actions.

    Args:
        horizon: H, the actions of a chunk.
        episodes: gives all episodes, in the same order at each call.
    """
    at_once = max(1, _COLUMNS // len(representation.action_names))
    by_step: dict[str, Stats] = {}
    for first in range(0, horizon, at_once):
        steps = range(first, min(first + at_once, horizon))
        by_step |= exact_statistics(lambda steps=steps: _batches(representation, steps, episodes()))  # type: ignore[misc]
    if len(by_step) < horizon:
        return None
    stats = {name: [by_step[str(step)][name] for step in range(horizon)] for name in NAMES}
    return stats | {"count": [count for (count,) in stats["count"]]}


def _batches(representation: Representation, steps: range, episodes: Iterable[EpisodeActions]) -> Iterator[Batch]:
    """By step (n, D): that action of all chunks that have it, for the chunks of some frames at a time."""
    for actions, cameras in episodes:
        for start in range(0, len(actions), _FRAMES):
            starts = np.arange(start, min(start + _FRAMES, len(actions)))
            wanted = starts[:, None] + [0, *steps]  # the first says which camera it is
            places = np.minimum(wanted, len(actions) - 1)
            chunks = express(representation, actions[places], cameras[places], "camera")[:, 1:]
            is_there = wanted[:, 1:] < len(actions)
            yield {
                str(step): chunks[is_there[:, number], number]
                for number, step in enumerate(steps)
                if is_there[:, number].any()
            }
