"""The frames of a video as a sequence of RGB images, decoded when they are asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, overload

import av
import numpy as np
from numpy.typing import DTypeLike, NDArray

from dataset_upload.video.decoding import Video
from dataset_upload.video.picture import Picture


class OpenFrames:
    """Frames of a video that is open.

    Attributes:
        width, height: in pixels.
    """

    def __init__(self, video: Video, indices: range) -> None:
        self.width, self.height = video.width, video.height
        self._video = video
        self._indices = indices

    def decode(self, indices: Sequence[int] | NDArray[np.int64]) -> Iterator[Picture]:
        """As `Video.decode`; 0 is the first of these frames. Of a sequence that runs backwards only one at a time."""
        return self._video.decode([self._indices[int(index)] for index in indices])

    def coded(self, count: int) -> Iterator[av.Packet[Any]]:
        """As `Video.coded`, of a sequence that begins with the file's first frame and leaves none out."""
        if self._indices[:count] != range(count):
            raise ValueError(f"{count} frames of {self._indices}")
        return self._video.coded(count)


class VideoFrames(Sequence[NDArray[np.uint8]]):
    """The frames of a video as a read-only sequence of (H, W, 3) uint8 RGB images, decoded when asked for.

    The file is opened for each request and closed after it, so keeping many trajectories keeps no file open.

    len(frames): T, without decoding.
    frames[3], frames[-1]: one frame, decoded with no more of its neighbours than it needs.
    frames[10:], frames[::-2]: again such a sequence; nothing is decoded.
    for frame in frames: holds one frame at a time, and decodes the file once.
    np.asarray(frames): all of them, (T, H, W, 3) uint8.

    Whatever decodes raises EpisodeError at the first frame that cannot be decoded without damage.

    Attributes:
        shape: (T, H, W, 3).
        timestamps: (T,) float64, seconds from the first frame of the file.
        fps: the file's average frame rate, of a slice as well; 0 if the file does not say.
        indices: which frames of the file these are.
        open(): the video behind them, for pictures as they were decoded, without RGB.
    """

    def __init__(
        self,
        open_file: Callable[[], BinaryIO],
        name: str,
        indices: range | None = None,
        read: Callable[[BinaryIO, str], Video] = Video,
    ) -> None:
        """
        Args:
            open_file: opens the video for reading.
            name: what error messages call it.
            indices: the video's frames that this sequence holds; None: all.
            read: makes a video of the open file and its name; `VideoPart` has a part of its frames.
        """
        self._open_file = open_file
        self._name = name
        with open_file() as file:
            self._video = read(file, name).reopened(io.BytesIO())  # keeps nothing of the file but its header
        self.fps = self._video.fps
        self._frame_shape = (self._video.height, self._video.width, 3)
        self._timestamps = self._video.timestamps
        self.indices = range(self._video.num_frames) if indices is None else indices

    @contextmanager
    def open(self) -> Iterator[OpenFrames]:
        """The video, for its pictures as they were decoded; indices are those of this sequence, not of the file."""
        with self._open() as video:
            yield OpenFrames(video, self.indices)

    @contextmanager
    def _open(self) -> Iterator[Video]:
        with self._open_file() as file:
            yield self._video.reopened(file)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, 3), without decoding."""
        return (len(self), *self._frame_shape)

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """(T,) seconds from the first frame of the video."""
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
        wanted = self.indices[index]
        with self._open() as video:
            (picture,) = video.decode([wanted])
            return picture.to_rgb()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        if self.indices.step < 0:
            yield from (self[position] for position in range(len(self)))
            return
        with self._open() as video:
            for picture in video.decode(self.indices):
                yield picture.to_rgb()

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
