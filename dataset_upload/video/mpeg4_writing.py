"""Videos that are coded as EgoDex's own: MPEG-4 Part 2 Simple Profile, I- and P-frames, in an MP4."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av


@contextmanager
def mpeg4_writer(
    path: Path, size: tuple[int, int], *, fps: int, gop: int, bit_rate: int, coarsest: int
) -> Iterator[Callable[[av.VideoFrame], None]]:
    """A file and the function that appends a yuv420p frame to it; the same frames give the same bytes.

    Args:
        path: written over; whole when the context ends without an error.
        size: (width, height) of the frames in pixels.
        fps: frame rate.
        gop: frames from a keyframe to the next.
        bit_rate: bits a second, on average.
        coarsest: the largest quantiser, 1 to 31: no frame looks worse, however many bits that takes.
    """
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=fps, options={"qmax": str(coarsest)})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = bit_rate
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        count = 0

        def append(frame: av.VideoFrame) -> None:
            nonlocal count
            frame.pts = count
            container.mux(stream.encode(frame))
            count += 1

        yield append
        container.mux(stream.encode(None))
