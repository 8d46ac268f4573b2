"""Frames of a video by index, decoding no more than those need.

EgoDex's videos are MPEG-4 Part 2 Simple Profile: I- and P-frames only, a keyframe every 12 frames. There the
container's index says where each packet lies, packet i is frame i, and frame i needs just the packets from the keyframe
before it. So a clip of 32 frames reads and decodes those prefixes only, each packet once. A video of any other kind
(B-frames, edit lists, an incomplete index, …) is decoded from its start, which is always right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO, cast, overload

import av
import numpy as np
from numpy.typing import DTypeLike, NDArray

from dataset_upload.errors import EpisodeError, Reason

# A frame in which no macroblock is coded still spends one bit on each. Smaller packets are MPEG-4's "not coded"
# frames, for which a decoder gives out nothing: then packet i would not be frame i.
_MACROBLOCK_PIXELS = 16 * 16

av.logging.set_level(av.logging.CRITICAL)  # what FFmpeg would print, EpisodeError says, with the file's name


class Video:
    """An open video file.

    Attributes:
        num_frames: how many frames a decode from start to end gives.
        width, height: of its frames, in pixels.
        fps: its average frame rate; 0 if the container does not say.
        timestamps: (num_frames,) float64, seconds from the start of the video.

    Errors are `EpisodeError`s: unreadable, truncated, zero frames.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Read the container's header; nothing is decoded.

        Args:
            file: the video, seekable, open until this object is no longer used.
            name: what error messages call it.
        """
        self._file = file
        self._name = name
        with self._container() as container:
            stream = self._stream(container)
            self.width, self.height = stream.codec_context.width, stream.codec_context.height
            self.fps = float(stream.average_rate or 0)
            self._index = _PacketIndex.of(stream)
            promised_frames = stream.frames
        if self._index is not None:
            self._index.check_not_truncated(file, name)
            self.timestamps = self._index.timestamps
        else:
            self.timestamps = self._timestamps_by_decoding()
            if len(self.timestamps) < promised_frames:
                raise self._truncated(len(self.timestamps), promised_frames)
        self.num_frames = len(self.timestamps)
        if self.num_frames == 0:
            raise EpisodeError(Reason.ZERO_FRAMES, f"Error: No frame in video file: {name}")

    def decode(self, indices: Sequence[int] | NDArray[np.int64]) -> Iterator[av.VideoFrame]:
        """Decode frames one at a time, in the decoder's own pixel format.

        Args:
            indices: ascending, unique, each in [0, num_frames).

        Raises:
            EpisodeError: at the first frame that cannot be decoded without damage.
        """
        wanted = [int(index) for index in indices]
        frames = self._decode_sequentially(wanted) if self._index is None else self._decode_indexed(wanted)
        try:
            yield from frames
        except av.FFmpegError as error:
            raise self._unreadable(str(error.strerror)) from error
        except OSError as error:
            raise self._unreadable_source(error) from error

    def _decode_indexed(self, wanted: list[int]) -> Iterator[av.VideoFrame]:
        assert self._index is not None
        if hasattr(self._file, "prefetch"):  # it lies behind a network: a few requests now instead of one a packet
            self._file.prefetch(self._index.byte_ranges(wanted))
        decoder = self._index.new_decoder()
        for start, group in self._index.groups(wanted):
            due = start
            for frame in self._decode_packets(decoder, start, group[-1]):
                if frame.pts != due or frame.is_corrupt or (due == start and not frame.key_frame):
                    raise self._unreadable(f"damaged at frame {due}")
                if due in group:
                    yield frame
                due += 1
            if due != group[-1] + 1:
                raise self._unreadable(f"damaged at frame {due}")

    def _decode_packets(self, decoder: Any, first: int, last: int) -> Iterator[av.VideoFrame]:
        """Decode a run of packets that starts at a keyframe; a frame's pts is its index."""
        assert self._index is not None
        decoded = 0
        for index in range(first, last + 1):
            self._file.seek(self._index.offsets[index])
            data = self._file.read(self._index.sizes[index])
            if len(data) != self._index.sizes[index]:
                raise self._truncated(index, len(self._index.sizes))
            # Packet(data) would leave out the padding that decoders read past the end; update() copies into it.
            packet: Any = av.Packet(len(data))
            packet.update(data)
            packet.pts = packet.dts = index
            for frame in decoder.decode(packet):
                decoded += 1
                yield frame
        if decoded < last + 1 - first:
            yield from decoder.decode(None)  # a decoder that holds frames back
        decoder.flush_buffers()

    def _decode_sequentially(self, wanted: list[int]) -> Iterator[av.VideoFrame]:
        remaining = iter(wanted)
        due = next(remaining, None)
        with self._container() as container:
            for index, frame in enumerate(container.decode(self._stream(container))):
                if due is None:
                    return
                if frame.is_corrupt:
                    raise self._unreadable(f"damaged at frame {index}")
                if index == due:
                    yield frame
                    due = next(remaining, None)
        if due is not None:
            raise self._truncated(due, self.num_frames)

    def _timestamps_by_decoding(self) -> NDArray[np.float64]:
        with self._container() as container:
            frames = container.decode(self._stream(container))
            seconds = [
                frame.time if frame.time is not None else index / (self.fps or 1) for index, frame in enumerate(frames)
            ]
        return np.array(seconds, dtype=np.float64)

    @contextmanager
    def _container(self) -> Iterator[av.container.InputContainer]:
        self._file.seek(0)
        try:
            with av.open(self._file, "r") as container:
                yield container
        except av.FFmpegError as error:
            raise self._unreadable(str(error.strerror)) from error
        except OSError as error:
            raise self._unreadable_source(error) from error

    def _stream(self, container: av.container.InputContainer) -> av.VideoStream:
        if not container.streams.video:
            raise self._unreadable("no video stream")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return stream

    def _unreadable(self, detail: str) -> EpisodeError:
        return EpisodeError(Reason.UNREADABLE_VIDEO, f"Error: Could not open video file: {self._name} ({detail})")

    def _unreadable_source(self, error: OSError) -> EpisodeError:
        return EpisodeError(
            Reason.UNREADABLE_SOURCE, f"Error: Could not read video file: {self._name} ({error.strerror})"
        )

    def _truncated(self, decoded: int, promised: int) -> EpisodeError:
        return EpisodeError(
            Reason.TRUNCATED_VIDEO,
            f"Error: Video file is cut short: {self._name} ({decoded} of {promised} frames are there)",
        )


@dataclass(frozen=True)
class _PacketIndex:
    """Where each packet of a video lies, for videos in which packet i is provably frame i."""

    codec: str
    extradata: bytes | None
    size: tuple[int, int]
    offsets: list[int]
    sizes: list[int]
    keyframes: NDArray[np.int64]
    timestamps: NDArray[np.float64]

    @classmethod
    def of(cls, stream: av.VideoStream) -> _PacketIndex | None:
        """The index of a video stream, or None where the proof does not hold."""
        codec = stream.codec_context
        # MPEG-4's Simple Profile has no B-frames: nothing is reordered, every coded packet is one frame.
        if codec.name != "mpeg4" or codec.profile != "Simple Profile" or codec.has_b_frames:
            return None
        entries = list(stream.index_entries)
        if not entries or len(entries) != stream.frames or not entries[0].is_keyframe:
            return None
        if any(entry.is_discard for entry in entries):  # an edit list hides frames
            return None
        if any(entry.size < codec.width * codec.height / _MACROBLOCK_PIXELS / 8 for entry in entries):
            return None
        ticks = np.array([entry.timestamp for entry in entries], dtype=np.int64)
        if not np.all(np.diff(ticks) > 0):
            return None
        return cls(
            codec=codec.name,
            extradata=codec.extradata,
            size=(codec.width, codec.height),
            offsets=[entry.pos for entry in entries],
            sizes=[entry.size for entry in entries],
            keyframes=np.array([i for i, entry in enumerate(entries) if entry.is_keyframe], dtype=np.int64),
            timestamps=(ticks - ticks[0]) * float(stream.time_base or Fraction(0)),
        )

    def check_not_truncated(self, file: BinaryIO, name: str) -> None:
        file_size = file.seek(0, 2)
        whole = sum(offset + size <= file_size for offset, size in zip(self.offsets, self.sizes, strict=True))
        if whole < len(self.offsets):
            raise EpisodeError(
                Reason.TRUNCATED_VIDEO,
                f"Error: Video file is cut short: {name} ({whole} of {len(self.offsets)} frames are there)",
            )

    def new_decoder(self) -> Any:
        decoder: Any = av.CodecContext.create(self.codec, "r")
        decoder.extradata = self.extradata
        decoder.width, decoder.height = self.size
        decoder.thread_count = 1
        return decoder

    def byte_ranges(self, wanted: list[int]) -> list[tuple[int, int]]:
        """[start, end) of the packets that wanted frames need, in the file."""
        runs = (range(start, group[-1] + 1) for start, group in self.groups(wanted))
        return [(self.offsets[i], self.offsets[i] + self.sizes[i]) for run in runs for i in run]

    def groups(self, wanted: list[int]) -> Iterator[tuple[int, list[int]]]:
        """Wanted frames by group of pictures: (index of the keyframe, wanted frames in ascending order)."""
        starts = self.keyframes[np.searchsorted(self.keyframes, wanted, side="right") - 1]
        for start in np.unique(starts):
            yield int(start), [index for index, its_start in zip(wanted, starts, strict=True) if its_start == start]


class VideoFrames(Sequence[NDArray[np.uint8]]):
    """The frames of a video as a read-only sequence of (H, W, 3) uint8 RGB images, decoded when asked for.

    `frames[3]` decodes one frame, `frames[::10]` is again lazy, `for frame in frames` holds one frame at a time,
    and `np.asarray(frames)` decodes them all to (T, H, W, 3). The file is opened for each request and closed
    after it, so keeping many trajectories keeps no file open.
    """

    def __init__(self, open_file: Callable[[], BinaryIO], name: str, indices: range | None = None) -> None:
        """
        Args:
            open_file: opens the video for reading.
            name: what error messages call it.
            indices: the video's frames that this sequence holds; None: all.
        """
        self._open_file = open_file
        self._name = name
        with self.open() as video:
            self.video_shape = (video.num_frames, video.height, video.width, 3)
            self.fps = video.fps
            self._timestamps = video.timestamps
        self.indices = range(video.num_frames) if indices is None else indices

    @contextmanager
    def open(self) -> Iterator[Video]:
        """The video itself, for frames in the decoder's pixel format; its indices are those of the file."""
        with self._open_file() as file:
            yield Video(file, self._name)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, 3), without decoding."""
        return (len(self), *self.video_shape[1:])

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """(T,) seconds from the start of the video."""
        return self._timestamps[list(self.indices)]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, index: slice) -> VideoFrames: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | VideoFrames:
        if isinstance(index, slice):
            view = object.__new__(VideoFrames)
            view.__dict__.update(self.__dict__, indices=self.indices[index])
            return view
        with self.open() as video:
            (frame,) = video.decode([self.indices[index]])
            return _rgb(frame)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        if self.indices.step < 0:
            yield from (self[position] for position in range(len(self)))
            return
        with self.open() as video:
            for frame in video.decode(self.indices):
                yield _rgb(frame)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("frames are decoded into a new array: copy=False cannot be honoured")
        decoded = np.empty(self.shape, np.uint8)
        ascending = self if self.indices.step > 0 else self[::-1]
        for position, frame in enumerate(ascending):
            decoded[position] = frame
        return (decoded if self.indices.step > 0 else decoded[::-1]).astype(dtype or np.uint8, copy=False)

    def __repr__(self) -> str:
        return f"VideoFrames({self._name!r}, shape={self.shape}, dtype=uint8)"


def _rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return cast(NDArray[np.uint8], frame.to_ndarray(format="rgb24", threads=1))
