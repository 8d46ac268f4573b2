"""Small videos of every structure, whose frames say in their pixels which they are."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from dataset_upload.video.picture import Picture

FPS = 30
SMALL = (64, 48)

_BITS = 8
_CELL = 8  # pixels, side of the square that shows a bit


def draw(number: int, size: tuple[int, int] = SMALL) -> av.VideoFrame:
    """A textured yuv420p frame that moves with its number (0 to 255), which its top rows show bit by bit."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    luma = 110 + 40 * np.sin((x + 2 * number) / 5) * np.cos(y / 7) + (x * y + 31 * number) % 23
    bits = [number >> bit & 1 for bit in range(_BITS)]
    luma[:_CELL, : _BITS * _CELL] = np.where(np.repeat(bits, _CELL), 235, 16)
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 100 + number % 50)
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, samples in zip(frame.planes, (luma, chroma, 255 - chroma), strict=True):
        rows(plane)[: samples.shape[0], : samples.shape[1]] = samples
    return frame


def read_number(frame: av.VideoFrame | Picture) -> int:
    """The number that was drawn into a frame."""
    luma = frame.y if isinstance(frame, Picture) else rows(frame.planes[0])
    middles = luma[_CELL // 2, _CELL // 2 : _BITS * _CELL : _CELL]
    return sum(1 << bit for bit, middle in enumerate(middles) if middle > 126)


def rows(plane: Any) -> NDArray[np.uint8]:
    """A plane's samples and their padding, (rows, bytes per row), writable."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)


def pixels(frame: av.VideoFrame | Picture) -> bytes:
    """Everything about an 8-bit frame's picture: size, format, every sample."""
    if isinstance(frame, Picture):
        frame = frame.to_frame()
    samples = b"".join(rows(plane)[:, : plane.width].tobytes() for plane in frame.planes)
    return f"{frame.width}x{frame.height} {frame.format.name} ".encode() + samples


# Files -----------------------------------------------------------------------------------------------------


def encode(
    codec: str,
    count: int = 30,
    *,
    container: str = "mp4",
    size: tuple[int, int] = SMALL,
    gop: int = 12,
    b_frames: int = 0,
    times: Iterable[int] | None = None,
    numbers: Iterable[int] | None = None,
    tag: str | None = None,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> bytes:
    """A video of `count` drawn frames, numbered from 0.

    Args:
        times: of the frames, in frame durations; None: 0, 1, 2, …
        numbers: what the frames show; None: 0, 1, 2, …
        tag: four characters that name the codec in the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video")
        with av.open(str(path), "w", format=container, options=dict(container_options or {})) as output:
            stream: Any = output.add_stream(codec, rate=FPS, options={"threads": "1", **(options or {})})
            stream.width, stream.height = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.gop_size, stream.max_b_frames = gop, b_frames
            if tag is not None:
                stream.codec_context.codec_tag = tag
            shown = range(count) if numbers is None else numbers
            for number, time in zip(shown, range(count) if times is None else times, strict=False):
                frame = draw(number, size)
                frame.pts, frame.time_base = time, Fraction(1, FPS)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path.read_bytes()


class Packet(NamedTuple):
    """An encoded frame; times in the time base of its file."""

    data: bytes
    pts: int | None
    dts: int | None
    is_keyframe: bool


def packets(video: bytes) -> list[Packet]:
    """A file's packets, in the order in which they are decoded."""
    with av.open(io.BytesIO(video), "r") as source:
        demuxed = source.demux(source.streams.video[0])
        return [Packet(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in demuxed if packet.size]


def remux(video: bytes, new_packets: Iterable[Packet], container: str = "mp4") -> bytes:
    """A file like `video` with other packets."""
    result = io.BytesIO()
    with av.open(io.BytesIO(video), "r") as source, av.open(result, "w", format=container) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for new in new_packets:
            packet: Any = av.Packet(len(new.data))
            packet.update(new.data)
            packet.pts, packet.dts, packet.is_keyframe = new.pts, new.dts, new.is_keyframe
            packet.time_base, packet.stream = source.streams.video[0].time_base, stream
            output.mux(packet)
    return result.getvalue()


def replace_boxes(mp4: bytes, replacements: Mapping[bytes, Callable[[bytes], bytes]]) -> bytes:
    """An MP4 file in which the content of some kinds of boxes is replaced, wherever they lie."""
    result, position = b"", 0
    while position < len(mp4):
        size, kind = struct.unpack_from(">I4s", mp4, position)
        content = mp4[position + 8 : position + size]
        if kind in replacements:
            content = replacements[kind](content)
        elif kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf"):
            content = replace_boxes(content, replacements)
        result += struct.pack(">I4s", len(content) + 8, kind) + content
        position += size
    return result


# The plain way ---------------------------------------------------------------------------------------------


class PlainFrame(NamedTuple):
    """A frame as a decode from start to end gives it."""

    seconds: float | None
    pixels: bytes
    number: int
    is_corrupt: bool


def plain_decode(video: bytes) -> list[PlainFrame]:
    """Decode a file from start to end as anyone would, but go on after packets that cannot be decoded."""
    frames = []
    with av.open(io.BytesIO(video), "r", metadata_errors="replace") as source:
        stream = source.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in source.demux(stream):
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                continue
            frames += [PlainFrame(f.time, pixels(f), read_number(f), f.is_corrupt) for f in decoded]
    return frames
