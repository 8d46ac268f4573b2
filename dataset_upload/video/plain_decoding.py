"""Videos and pictures as FFmpeg alone decodes them, from the first frame to the last.

For finished clips, which are read as a whole, and for what checks the converter: nothing here knows its decoder.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import av
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PlainFrame:
    """A decoded frame.

    Attributes:
        seconds: when the file says that it is shown; None where it does not say.
    """

    seconds: float | None
    _frame: av.VideoFrame

    def to_rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        return cast(NDArray[np.uint8], self._frame.to_ndarray(format="rgb24", threads=1))


@dataclass(frozen=True)
class PlainVideo:
    """A video that is being decoded.

    Attributes:
        size: (width, height) in pixels.
        fps: the average frame rate; 0 if the file does not say.
        frames: to be read once. Raises OSError where one cannot be decoded.
    """

    size: tuple[int, int]
    fps: float
    frames: Iterator[PlainFrame]


@contextmanager
def open_plainly(file: BinaryIO) -> Iterator[PlainVideo]:
    """Open an MP4, a JPEG or whatever else FFmpeg knows. Raises OSError where it knows no video in it."""
    with av.open(file, "r") as container:
        if not container.streams.video:
            raise OSError("it holds no video")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        frames = (PlainFrame(frame.time, frame) for frame in container.decode(stream))
        yield PlainVideo(
            (stream.codec_context.width, stream.codec_context.height), float(stream.average_rate or 0), frames
        )


def decode_clip(contents: Iterable[bytes]) -> Iterator[NDArray[np.uint8]]:
    """The (H, W, 3) RGB frames of a finished clip, one at a time.

    Args:
        contents: of the clip's one MP4, or of its JPEGs in order.

    Raises:
        OSError: they cannot be decoded.
    """
    for content in contents:
        with open_plainly(io.BytesIO(content)) as video:
            for frame in video.frames:
                yield frame.to_rgb()
