"""Videos of many clips, joined by copying coded pictures: nothing is decoded, nothing encoded.

Frame k of a file is shown at k / fps, whatever clips it is made of. Every clip begins with a keyframe and has no frame
that needs one of its neighbours' or a later one, so coded order is the order of showing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import av
import numpy as np
from numpy.typing import NDArray

from dataset_upload.storage.damage import DamagedFileError, reading

TICKS = 512  # a frame: with 30 frames a second the clock of files that FFmpeg writes by itself


class ClipPlace(NamedTuple):
    """Where the coded pictures of a clip are: `length` frames from frame `start` on of a video."""

    path: Path
    start: int
    length: int


def coding_of(stream: Any) -> str:
    """How pictures are coded: codec, size, and the fingerprint of what a decoder must know before the first of them.

    Those of one file are all coded so.
    """
    context = stream.codec_context
    return f"{context.name} {context.width}x{context.height} {sha256(context.extradata or b'').hexdigest()[:12]}"


class Coding(NamedTuple):
    """What a video's pictures are: width and height, and FFmpeg's name of their codec."""

    size: tuple[int, int]
    codec: str


def read_coding(path: Path) -> Coding:
    """What the pictures of a video are. Raises DamagedFileError, OSError."""
    with reading(path), av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        return Coding((context.width, context.height), context.name)


def packets_of(path: Path) -> Iterator[av.Packet[Any]]:
    """The coded pictures of a whole video, in order. Raises OSError where it cannot be read."""
    with av.open(str(path)) as container:
        yield from (packet for packet in container.demux(video=0) if packet.size)


class ClipReader:
    """Reads coded pictures of clips; what follows in the same file is read on, without a search.

    As a context it closes the file that was opened last.
    """

    def __init__(self, fps: int) -> None:
        """`fps` of all videos."""
        self.fps = fps
        self._stack = ExitStack()
        self._path: Path | None = None
        self._next = 0
        self._stream: Any = None
        self._packets: Iterator[av.Packet[Any]] = iter(())

    def open(self, clip: ClipPlace) -> Any:
        """The stream that a clip is in, positioned at its first frame. Raises DamagedFileError, OSError."""
        with reading(clip.path):
            if clip.path != self._path or clip.start < self._next:
                self._stack.close()
                container = self._stack.enter_context(av.open(str(clip.path)))
                self._path, self._next, self._stream = clip.path, 0, container.streams.video[0]
                self._packets = (packet for packet in container.demux(self._stream) if packet.size)
            if clip.start != self._next:
                self._stream.container.seek(round(clip.start * self._step), stream=self._stream)
                self._next = clip.start
        return self._stream

    def read(self, clip: ClipPlace) -> Iterator[av.Packet[Any]]:
        """The coded pictures of the clip that was opened last. Raises DamagedFileError, OSError."""
        count = 0
        with reading(clip.path):
            for number, packet in enumerate(islice(self._packets, clip.length)):
                if packet.pts is None or packet.pts != round((clip.start + number) * self._step):
                    raise DamagedFileError(clip.path, f"frame {clip.start + number} is not where it should be")
                if number == 0 and not packet.is_keyframe:
                    raise DamagedFileError(clip.path, f"frame {clip.start} should be a keyframe")
                count += 1
                yield packet
        if count != clip.length:
            raise DamagedFileError(clip.path, f"frame {clip.start + count} is missing")
        self._next = clip.start + clip.length

    @property
    def _step(self) -> Fraction:
        """From a frame to the next, in ticks of the file's clock."""
        return 1 / (self.fps * Fraction(self._stream.time_base))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()


def join_clips(clips: Iterable[ClipPlace], path: Path, reader: ClipReader) -> None:
    """Write an MP4 of clips of one coding, with its index in front.

    Raises:
        DamagedFileError: a clip is not as it should be, or coded otherwise than the first.
        OSError: a file cannot be read or written.
    """

    def packets() -> Iterator[av.Packet[Any]]:
        coding = None
        for clip in clips:
            its_coding = coding_of(reader.open(clip))
            if its_coding != (coding := coding or its_coding):
                raise DamagedFileError(clip.path, f"coded as {its_coding}, what comes before it as {coding}")
            yield from reader.read(clip)

    write_packets(packets(), path, reader.fps)


def write_packets(packets: Iterable[av.Packet[Any]], path: Path, fps: int) -> None:
    """Write an MP4 of coded pictures, each for 1/fps seconds, with its index in front.

    The bytes depend only on the coded pictures and the arguments. Raises OSError.
    """
    clock, stream = Fraction(1, fps * TICKS), None
    # The bit rate that the first clip's file tells of is not that of all.
    options = {"movflags": "+faststart", "write_btrt": "0"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        for number, packet in enumerate(packets):
            if stream is None:
                stream = container.add_stream_from_template(packet.stream, opaque=True)
                stream.time_base = clock
            packet.stream, packet.time_base = stream, clock
            packet.pts = packet.dts = number * TICKS
            packet.duration = TICKS
            container.mux(packet)


def decode_frames(clip: ClipPlace, fps: int) -> Iterator[NDArray[np.uint8]]:
    """The (H, W, 3) RGB frames of a clip, one at a time. Raises OSError, DamagedFileError."""
    with ClipReader(fps) as reader:
        stream = reader.open(clip)
        decoder = stream.codec_context
        count = 0
        for packet in chain(reader.read(clip), [None]):
            for frame in decoder.decode(packet):
                if frame.is_corrupt:
                    raise DamagedFileError(clip.path, f"frame {clip.start + count} is damaged")
                count += 1
                yield frame.to_ndarray(format="rgb24", threads=1)
        if count != clip.length:
            raise DamagedFileError(clip.path, f"{count} of {clip.length} frames from {clip.start} on can be decoded")
