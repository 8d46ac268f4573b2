"""The frames of one episode in a video that may hold many, found by the times at which they are shown.

Nothing of what other episodes show is read, unless this one does not begin with a keyframe: then what stands before it,
from the nearest one on. A frame is taken by its own time, never by counting, so that frames in another order than that
of decoding do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from dataset_upload.errors import EpisodeError, Reason
from dataset_upload.video.decoding import Video
from dataset_upload.video.picture import Picture

TOLERANCE = 1e-4  # seconds, by which a frame's time may differ: LeRobot's own


class VideoPart(Video):
    """Frames of an open video at given times; what else it has is that of `Video`."""

    def __init__(
        self, file: BinaryIO, name: str, *, start: float, times: NDArray[np.float64], fps: float, is_all: bool
    ) -> None:
        """Read the container's header. Nothing is decoded.

        Args:
            file: the video, seekable, open until this object is no longer used.
            name: what error messages call it.
            start: where the episode begins, in seconds.
            times: (T,) rising, of each frame, in seconds from there; T > 0.
            fps: frames a second.
            is_all: whether the video must have no other frames.

        Raises:
            EpisodeError: unreadable, truncated, too large, frame count mismatch.
        """
        self._file, self._name, self._index = file, name, None
        self._moments = start + times
        self.fps, self.num_frames = fps, len(times)
        self.timestamps = times - times[0]
        with self._container() as container:
            stream = self._stream(container)
            self.width, self.height = stream.codec_context.width, stream.codec_context.height
            ends = np.array([entry.pos + entry.size for entry in stream.index_entries], np.int64)
        first = round(start * fps)
        its_own = ends[first : first + self.num_frames]
        if len(its_own) < self.num_frames or (is_all and len(ends) > self.num_frames):
            raise EpisodeError(
                Reason.FRAME_COUNT_MISMATCH,
                f"Error: {self.num_frames} rows for {len(ends) if is_all else len(its_own)} video frames: {name}",
            )
        there = int(np.count_nonzero(its_own <= self._file.seek(0, 2)))
        if there < self.num_frames:
            raise self._truncated(f"{there} of {self.num_frames} frames are there")

    def _decode_from_start(self, wanted: list[int]) -> Iterator[Picture]:
        """From the keyframe before the first wanted one on."""
        moments = self._moments[wanted]
        position = 0
        with self._container() as container:
            for frame in self._frames_from(container, moments[0]):
                self._check(frame, wanted[position])
                late = (np.nan if frame.time is None else frame.time) - moments[position]
                if late < -TOLERANCE:
                    continue
                if not late <= TOLERANCE:
                    break
                yield Picture.of_frame(frame)
                position += 1
                if position == len(wanted):
                    return
        raise self._unreadable(f"no frame at {moments[position]:.4f} s, where frame {wanted[position]} should be")

    def _frames_from(self, container: av.container.InputContainer, moment: float) -> Iterator[av.VideoFrame]:
        """Every frame from a keyframe on that is shown at a moment, or before it."""
        stream, back = self._stream(container), 0.0
        while True:
            # Files are searched by the times of decoding, by which a keyframe that is shown later may be found.
            since = max(moment - back, 0.0)
            container.seek(round(since / float(stream.time_base or 1)), stream=stream)
            frames = self._decode_on(container, stream)
            first = next(frames, None)
            if first is not None and first.key_frame and first.time is not None and first.time <= moment + TOLERANCE:
                yield first
                yield from frames
                return
            if since == 0:
                raise self._unreadable(f"no keyframe at or before {moment:.4f} s")
            back = 2 * back or 1.0

    def _decode_on(self, container: av.container.InputContainer, stream: Any) -> Iterator[av.VideoFrame]:
        for packet in container.demux(stream):
            if packet.is_corrupt:  # the file ends in the middle of it
                raise self._truncated("a packet is incomplete")
            yield from packet.decode()
