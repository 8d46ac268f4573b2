"""Frames of a video by index, decoding no more than those need.

EgoDex's videos are MPEG-4 Part 2 Simple Profile: I- and P-frames only, a keyframe every 12 frames. There the
container's index says where each packet lies, packet i is frame i, and frame i needs just the packets from the
keyframe before it. So a clip of 32 frames reads and decodes those prefixes only, each packet once. A video of any
other kind (B-frames, edit lists, H.264, …) is decoded from its start, which is always right.

Such groups go to our own decoder (`mpeg4`), which gives what FFmpeg gives for a third of its cost. Where it finds
anything that it does not know, FFmpeg decodes the group, and says what is wrong with it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from dataset_upload.errors import EpisodeError, Reason
from dataset_upload.video.mp4_limits import check_claims
from dataset_upload.video.mpeg4 import FFMPEG_OPTIONS
from dataset_upload.video.mpeg4.headers import OtherStream, RefusedPacket, read_stream_header
from dataset_upload.video.picture import Picture, has_plain_colours
from dataset_upload.video.preparation import decoder_class

if TYPE_CHECKING:
    from dataset_upload.video.mpeg4.group_decoder import GroupDecoder

av.logging.set_level(av.logging.CRITICAL)  # FFmpeg prints nothing; what it had to say is in its errors

# Some old encoders end their frames wrongly. Whether this is one, FFmpeg guesses from the frames decoded so far, and as
# long as it thinks so, it overlooks damage. For its own encoder, sound since 2018, it is told not to guess.
_SOUND_ENCODER = re.compile(rb"Lavc(5[89]|[6-9]\d)\.")

# Which decoders may run, and up to how many pixels of a frame. Those of MPEG-4 and JPEG hold up to four frames. Others
# hold 16 that later ones refer to and some more, at up to 7 bytes a pixel, already while a file is being opened.
_MAX_PIXELS = {"mpeg4": 4096 * 4096, "mjpeg": 4096 * 4096} | dict.fromkeys(
    ("h264", "hevc", "vp9", "libdav1d"), 2560 * 1440
)
# FFmpeg goes by content, not by name: without this it takes texts for videos, and playlists make it open other files.
_OPEN_OPTIONS = {"format_whitelist": "mov", "ignore_chapters": "1", "max_streams": "8"}

# In an MPEG-4 frame every macroblock takes a bit or more, whereas a "not coded" one, for which a decoder gives out no
# frame, ends after its header: 19 bytes at most by FFmpeg's own reckoning.
_MACROBLOCK_PIXELS = 16 * 16
_NOT_CODED_BYTES = 19


class Video:
    """An open video file.

    Attributes:
        num_frames: how many frames a decode from start to end gives.
        width, height: of its frames, in pixels.
        fps: its average frame rate; 0 if the container does not say.
        timestamps: (num_frames,) float64, seconds from the first frame. Where the file's own are missing or do not
            rise from frame to frame, they are counted at `fps`, and NaN without that.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Read the container's header. Nothing is decoded, unless only decoding tells how many frames there are.

        Args:
            file: the video, seekable, open until this object is no longer used.
            name: what error messages call it.

        Raises:
            EpisodeError: unreadable, truncated, too large, zero frames.
        """
        self._file = file
        self._name = name
        with self._container() as container:
            stream = self._stream(container)
            self.width, self.height = stream.codec_context.width, stream.codec_context.height
            self.fps = float(stream.average_rate or 0)
            self._time_base = float(stream.time_base or 0)
            self._index = _PacketIndex.of(stream)
        if self._index is not None:
            self._check_not_truncated(self._index)
        self.timestamps = self._timestamps_by_decoding() if self._index is None else self._index.timestamps
        self.num_frames = len(self.timestamps)
        if self.num_frames == 0:
            raise EpisodeError(Reason.ZERO_FRAMES, f"Error: No frame in video file: {name}")

    def reopened(self, file: BinaryIO) -> Video:
        """The same video, read through another file; its header is not read again."""
        video = copy.copy(self)
        video._file = file
        return video

    def decode(self, indices: Sequence[int] | NDArray[np.int64]) -> Iterator[Picture]:
        """Decode frames one at a time; each is valid until the next is asked for.

        Args:
            indices: ascending, unique, each in [0, num_frames). Be done with them before asking for others.

        Raises:
            EpisodeError: at the first frame that cannot be decoded without damage.
        """
        wanted = [int(index) for index in indices]
        if not wanted:
            return iter(())
        return self._decode_from_start(wanted) if self._index is None else self._decode_groups(self._index, wanted)

    def coded(self, count: int) -> Iterator[av.Packet[Any]]:
        """The first `count` frames as they are in the file, each valid with its `stream` until the next is asked for.

        Raises:
            EpisodeError: the file does not prove that each of its packets is a frame that needs no later one.
        """
        if self._index is None:
            raise self._unreadable("what it holds cannot be copied frame by frame, only encoded anew")
        with self._container() as container:
            yield from islice((packet for packet in container.demux(self._stream(container)) if packet.size), count)

    def _decode_groups(self, index: _PacketIndex, wanted: list[int]) -> Iterator[Picture]:
        """The wanted frames, by decoding those that they need, too."""
        if hasattr(self._file, "prefetch"):  # it lies behind a network: a few requests now instead of one a packet
            self._file.prefetch(index.byte_ranges(wanted))
        is_wanted = set(wanted)
        with self._container() as container:
            # The very decoder that a decode from the start would use.
            ffmpeg: Any = self._stream(container).codec_context
            own = _own_decoder(ffmpeg)
            for first, last in index.groups(wanted):
                given = first - 1  # the last frame of this group that was given out
                if own is not None:
                    try:
                        own.start_group()
                        for number in range(first, last + 1):
                            picture = own.decode(self._read_packet(index, number))
                            if number in is_wanted:
                                yield picture
                                given = number
                        continue
                    except RefusedPacket:
                        pass
                    except OtherStream:  # what there is in the headers may hold for the rest of the stream
                        own = None
                ffmpeg.flush_buffers()
                for number in range(first, last + 1):
                    frames = ffmpeg.decode(_padded(self._read_packet(index, number)))
                    if len(frames) != 1 or (number == first and not frames[0].key_frame):
                        raise self._unreadable(f"damaged at frame {number}")
                    self._check(frames[0], number)
                    if number in is_wanted and number > given:
                        yield Picture.of_frame(frames[0])

    def _read_packet(self, index: _PacketIndex, number: int) -> bytes:
        self._file.seek(index.offsets[number])
        data = self._file.read(index.sizes[number])
        if len(data) != index.sizes[number]:
            raise self._truncated(f"frame {number} of {self.num_frames} is missing")
        return data

    def _decode_from_start(self, wanted: list[int]) -> Iterator[Picture]:
        remaining = iter(wanted)
        due = next(remaining)
        for number, frame in self._decode_all():
            self._check(frame, number)
            if number == due:
                yield Picture.of_frame(frame)
                if number == wanted[-1]:
                    return
                due = next(remaining)
        raise self._truncated(f"frame {due} of {self.num_frames} is missing")

    def _check(self, frame: av.VideoFrame, number: int) -> None:
        if frame.is_corrupt or (frame.width, frame.height) != (self.width, self.height):
            raise self._unreadable(f"damaged at frame {number}")

    def _decode_all(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Every frame from the start, by index."""
        with self._container() as container:
            stream = self._stream(container)
            num_packets = num_frames = 0
            for packet in container.demux(stream):
                if packet.is_corrupt:  # the file ends in the middle of it
                    raise self._truncated(f"packet {num_packets} is incomplete")
                num_packets += packet.size > 0
                for frame in packet.decode():
                    yield num_frames, frame
                    num_frames += 1
            if num_packets < len(stream.index_entries):
                raise self._truncated(f"{num_packets} of {len(stream.index_entries)} packets are there")

    def _timestamps_by_decoding(self) -> NDArray[np.float64]:
        pts = np.array([frame.pts for _, frame in self._decode_all()], dtype=np.float64)  # None becomes NaN
        if np.isnan(pts).any() or np.any(np.diff(pts) <= 0):
            return np.arange(len(pts)) / (self.fps or np.nan)
        return (pts - pts[:1]) * self._time_base

    @contextmanager
    def _container(self) -> Iterator[av.container.InputContainer]:
        """The container, just opened; whatever fails while it is open becomes an EpisodeError."""
        if self._file.seek(0, 2) == 0:  # where FFmpeg would seek to before the start
            raise self._unreadable("it is empty")
        try:
            check_claims(self._file, self._name)
            with self._open_for("mpeg4") as container:
                decoder = self._stream(container).codec_context.name
                if decoder == "mpeg4":
                    yield container
                    return
            with self._open_for(decoder) as container:
                yield container
        except av.FFmpegError as error:
            if "Picture size" in str(error):  # beyond max_pixels
                raise self._unreadable("its frames are too large", Reason.TOO_LARGE) from error
            raise self._unreadable(str(error.strerror)) from error
        except OSError as error:
            raise EpisodeError(
                Reason.UNREADABLE_SOURCE, f"Error: Could not read video file: {self._name} ({error.strerror})"
            ) from error

    def _open_for(self, decoder: str) -> av.container.InputContainer:
        """The container, opened with the help of one decoder: opening decodes the first frames of each stream."""
        self._file.seek(0)
        options = {**_OPEN_OPTIONS, "codec_whitelist": decoder, "max_pixels": str(_MAX_PIXELS[decoder])}
        return av.open(self._file, "r", options=options, metadata_errors="replace")

    def _stream(self, container: av.container.InputContainer) -> av.VideoStream:
        if not container.streams.video:
            raise self._unreadable("no video stream")
        stream = container.streams.video[0]
        codec: Any = stream.codec_context
        if codec is None:
            raise self._unreadable("unknown codec")
        if codec.name not in _MAX_PIXELS:
            raise self._unreadable(f"codec {codec.name}, which is not supported")
        if codec.width * codec.height > _MAX_PIXELS[codec.name]:
            raise self._unreadable(f"frames of {codec.width}x{codec.height} pixels", Reason.TOO_LARGE)
        if codec.name != "mpeg4" and len(container.streams.video) > 1:
            raise self._unreadable("several videos in one file")
        codec.thread_count = 1
        codec.options = {"max_pixels": str(_MAX_PIXELS[codec.name])}
        if codec.name == "mpeg4":
            codec.options |= FFMPEG_OPTIONS
            if _SOUND_ENCODER.search(codec.extradata or b""):
                codec.options["bug"] = "0"
        return stream

    def _check_not_truncated(self, index: _PacketIndex) -> None:
        file_size = self._file.seek(0, 2)
        num_whole = int(np.count_nonzero(index.offsets + index.sizes <= file_size))
        if num_whole < len(index.offsets):
            raise self._truncated(f"{num_whole} of {len(index.offsets)} frames are there")

    def _unreadable(self, detail: str, reason: Reason = Reason.UNREADABLE_VIDEO) -> EpisodeError:
        return EpisodeError(reason, f"Error: Could not open video file: {self._name} ({detail})")

    def _truncated(self, detail: str) -> EpisodeError:
        return EpisodeError(Reason.TRUNCATED_VIDEO, f"Error: Video file is cut short: {self._name} ({detail})")


@dataclass(frozen=True)
class _PacketIndex:
    """Where each packet of a video lies, for videos in which packet i is provably frame i."""

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    keyframes: NDArray[np.int64]
    timestamps: NDArray[np.float64]

    @classmethod
    def of(cls, stream: av.VideoStream) -> _PacketIndex | None:
        """The index of a video stream, or None where the proof fails."""
        codec = stream.codec_context
        if codec.name != "mpeg4" or codec.profile != "Simple Profile" or codec.has_b_frames:
            return None  # frames may be shown in another order than they are decoded in
        entries = np.fromiter(
            ((e.pos, e.size, e.timestamp, e.is_keyframe, e.is_discard) for e in stream.index_entries),
            dtype=[("offset", "i8"), ("size", "i8"), ("ticks", "i8"), ("is_keyframe", "?"), ("is_discard", "?")],
        )
        if len(entries) == 0 or len(entries) != stream.frames or entries["is_discard"].any():
            return None  # fragments, or an edit list that hides frames or shows them twice
        if not entries["is_keyframe"][0] or entries["is_keyframe"].all():
            return None  # the container does not say which are keyframes
        least_bits = codec.width * codec.height // _MACROBLOCK_PIXELS
        if entries["size"].min() <= max(_NOT_CODED_BYTES, least_bits // 8):
            return None  # some packet may be no frame
        if entries["ticks"][0] != stream.start_time or np.any(np.diff(entries["ticks"]) <= 0):
            return None  # the index has the times of decoding, not those of showing
        return cls(
            offsets=entries["offset"],
            sizes=entries["size"],
            keyframes=np.flatnonzero(entries["is_keyframe"]),
            timestamps=(entries["ticks"] - entries["ticks"][0]) * float(stream.time_base or 0),
        )

    def byte_ranges(self, wanted: list[int]) -> list[tuple[int, int]]:
        """[start, end) of the packets that wanted frames need, in the file."""
        numbers = np.concatenate([np.arange(first, last + 1) for first, last in self.groups(wanted)])
        return list(zip(self.offsets[numbers].tolist(), (self.offsets + self.sizes)[numbers].tolist(), strict=True))

    def groups(self, wanted: list[int]) -> Iterable[tuple[int, int]]:
        """Wanted frames by group of pictures: (its keyframe, the last that is wanted of it)."""
        keyframes = self.keyframes[np.searchsorted(self.keyframes, wanted, side="right") - 1]
        return dict(zip(keyframes.tolist(), wanted, strict=True)).items()


def _own_decoder(codec: Any) -> GroupDecoder | None:
    """Our own decoder of FFmpeg's stream; None where it does not take it, or Numba is not available."""
    try:
        header = read_stream_header(codec.extradata or b"")
    except OtherStream:
        return None
    if (header.width, header.height) != (codec.width, codec.height) or not has_plain_colours(codec):
        return None
    decoder = decoder_class()
    return None if decoder is None else decoder(header)


def _padded(data: bytes) -> Any:
    # Packet(data) would leave out the padding that decoders read past the end; update() copies into it.
    packet: Any = av.Packet(len(data))
    packet.update(data)
    return packet
