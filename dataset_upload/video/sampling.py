"""Which frames of an episode a clip keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_indices(num_frames: int, max_frames: int) -> NDArray[np.int64]:
    """Evenly spaced frame indices, first and last frame included.

    Args:
        num_frames: frames in the episode, at least 1.
        max_frames: frames to keep at most; -1 keeps all.

    Returns:
        (T,) ascending, unique indices, T <= max_frames. An episode shorter than `max_frames` is kept whole:
        frames are never repeated.
    """
    if max_frames == -1:
        return np.arange(num_frames, dtype=np.int64)
    return np.unique(np.linspace(0, num_frames - 1, max_frames, dtype=np.int64))
