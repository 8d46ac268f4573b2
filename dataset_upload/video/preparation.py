"""Machine code for video, made before it is needed.

Numba compiles a function when it is first called. That takes seconds, once per machine: afterwards the code is read
from the user's cache.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from dataset_upload.video.picture import Picture
from dataset_upload.video.scaling import shrink

if TYPE_CHECKING:
    from dataset_upload.video.mpeg4.group_decoder import GroupDecoder


@cache
def decoder_class() -> type[GroupDecoder] | None:
    """Our own decoder, compiled; None where Numba is not available, or does not work."""
    return _compiled()[0]


@cache
def _compiled() -> tuple[type[GroupDecoder] | None, bool]:
    """The decoder, and whether it was compiled now."""
    try:
        from dataset_upload.video.mpeg4.group_decoder import GroupDecoder

        return GroupDecoder, GroupDecoder.compile()
    except Exception:  # a missing library, another version of it, a processor that it does not know
        return None, False


def prepare() -> str | None:
    """Have everything compiled in this process and those forked from it.

    Returns:
        What there is to say about it, in a line: that it took time, or does not work here.
    """
    start = time.monotonic()
    decoder, is_new = _compiled()
    if decoder is None:
        return "Numba cannot be used here, so that a conversion takes about four times as long"
    from dataset_upload.video.kernels import cache_folder

    sample = Picture(*np.zeros((3, 2, 2), np.uint8))
    shrink(sample, sample)
    if not is_new:
        return None
    kept = "not kept, as there is no cache folder that is only this user's"
    if cache_folder() is not None:
        kept = "kept for later runs"
    return f"Compiled the video decoder for this machine in {time.monotonic() - start:.0f} s, {kept}"
