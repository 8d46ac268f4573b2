"""MPEG-4 streams with everything that FFmpeg's encoder can be asked for, and what FFmpeg's decoder makes of packets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from video_streams import rows

from dataset_upload.video.mpeg4 import FFMPEG_OPTIONS

Planes = list[NDArray[np.uint8]]


class Stream(NamedTuple):
    """An encoded stream."""

    configuration: bytes
    packets: list[bytes]


@lru_cache(maxsize=4)
def _texture(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """(3, height, width) smooth and sharp structures over the full range of values, black and white included."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (3, height // 8 + 2, width // 8 + 2)).astype(np.float32)
    smooth = np.kron(coarse, np.ones((8, 8), np.float32))[:, :height, :width]
    y, x = np.mgrid[:height, :width]
    waves = 90 * np.sin(x / 5 + y / 3) * np.cos(y / 9 - x / 17)
    noise = random.normal(0, 12, (3, height, width))
    result: NDArray[np.uint8] = np.clip(0.7 * smooth + waves + noise, 0, 255).astype(np.uint8)
    return result


def _frame(number: int, size: tuple[int, int], motion: int, seed: int) -> av.VideoFrame:
    """A frame whose left part moves one way, the right part another, with a still stripe between them."""
    width, height = size
    texture = _texture(width, height, seed)
    left = np.roll(texture, (number * motion * 3 // 4, number * motion), (1, 2))
    right = np.roll(texture[:, ::-1], (-number * motion // 3, -number * motion // 2), (1, 2))
    picture = np.concatenate(
        [left[..., : width // 2], texture[..., width // 2 : width // 2 + 24], right[..., width // 2 + 24 :]], axis=2
    )
    if number % 9 == 7:  # something new, which no vector finds
        picture = picture.copy()
        picture[:, : height // 3] = 255 - picture[:, : height // 3]
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, samples in zip(frame.planes, (picture[0], picture[1, ::2, ::2], picture[2, ::2, ::2]), strict=True):
        rows(plane)[: plane.height, : plane.width] = samples
    return frame


def make_stream(
    size: tuple[int, int] = (160, 96),
    count: int = 12,
    *,
    gop: int = 12,
    quantisers: tuple[int, int] = (2, 31),
    bit_rate: int = 400_000,
    flags: str = "",
    motion: int = 5,
    seed: int = 0,
    options: Mapping[str, str] | None = None,
) -> Stream:
    """Encode moving structures.

    Args:
        quantisers: the least and the largest that may occur.
        flags: of the encoder, as "+mv4+aic".
        motion: pixels from frame to frame.
    """
    encoder: Any = av.CodecContext.create("mpeg4", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 30), Fraction(30)
    encoder.bit_rate, encoder.gop_size, encoder.thread_count = bit_rate, gop, 1
    least, largest = (str(quantiser) for quantiser in quantisers)
    encoder.options = {
        "flags": f"+global_header{flags}",
        **{"qmin": least, "qmax": largest, "mblmin": least, "mblmax": largest},
        **(options or {}),
    }
    packets = []
    for number in range(count):
        frame = _frame(number, size, motion, seed)
        frame.pts, frame.time_base = number, Fraction(1, 30)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    packets += [bytes(packet) for packet in encoder.encode(None)]
    return Stream(bytes(encoder.extradata), packets)


class Reference:
    """FFmpeg's decoder of a stream, as `Video` uses it."""

    def __init__(self, configuration: bytes) -> None:
        self._decoder: Any = av.CodecContext.create("mpeg4", "r")
        self._decoder.extradata = configuration
        self._decoder.thread_count = 1
        self._decoder.options = {"bug": "0", **FFMPEG_OPTIONS}

    def start_group(self) -> None:
        self._decoder.flush_buffers()

    def decode(self, data: bytes) -> Planes | None:
        """The planes of a packet's frame; None if FFmpeg calls it damaged, complains, or gives none."""
        packet: Any = av.Packet(len(data))
        packet.update(data)
        try:
            with av.logging.Capture() as complaints:
                frames = self._decoder.decode(packet)
        except av.FFmpegError:
            return None
        if len(frames) != 1 or frames[0].is_corrupt or complaints:
            return None
        return [rows(plane)[: plane.height, : plane.width] for plane in frames[0].planes]


def same(expected: Planes, planes: Sequence[NDArray[np.uint8]]) -> bool:
    """Whether two pictures agree in every sample."""
    return all(np.array_equal(*pair) for pair in zip(expected, planes, strict=True))
