"""A decoded frame as its three planes, whichever decoder it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

# AVColorSpace and AVColorRange: what a small video without any statement is taken for, stated or not.
_BT601 = (2, 5, 6)  # unspecified, BT.470BG, SMPTE 170M
_LIMITED = (0, 1)  # unspecified, MPEG


def has_plain_colours(frame: Any) -> bool:
    """Whether a frame, or a codec, has limited range and BT.601 colours, or says nothing about them."""
    return frame.colorspace in _BT601 and frame.color_range in _LIMITED


def new_frame(width: int, height: int) -> av.VideoFrame:
    """A yuv420p frame to be painted: its `planes` are writable memory, `line_size` bytes a row."""
    return av.VideoFrame(width, height, "yuv420p")


@dataclass(frozen=True, eq=False)
class Picture:
    """A frame in yuv420p, limited range, BT.601 colours.

    Its planes lie in the decoder's own memory: it is valid until the next picture is asked for.

    Attributes:
        y: (H, W) uint8.
        u, v: (ceil(H/2), ceil(W/2)) uint8; neighbours in a row may lie one or two bytes apart.
    """

    y: NDArray[np.uint8]
    u: NDArray[np.uint8]
    v: NDArray[np.uint8]
    _frame: av.VideoFrame | None = field(default=None, repr=False)

    @classmethod
    def of_frame(cls, frame: av.VideoFrame) -> Picture:
        """A frame of FFmpeg's; its planes are shared where they are in the right format, else converted."""
        converted = frame
        if frame.format.name != "yuv420p" or not has_plain_colours(frame):
            converted = frame.reformat(
                format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG", interpolation="AREA", threads=1
            )
        y, u, v = _planes(converted)
        return cls(y, u, v, frame)

    @property
    def width(self) -> int:
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        return int(self.y.shape[0])

    def to_frame(self) -> av.VideoFrame:
        """The picture as FFmpeg knows it: the very frame that it was made of, or a copy."""
        if self._frame is not None:
            return self._frame
        frame = new_frame(self.width, self.height)
        for copy, plane in zip(_planes(frame), (self.y, self.u, self.v), strict=True):
            copy[:] = plane
        return frame

    def to_rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, a copy."""
        return cast(NDArray[np.uint8], self.to_frame().to_ndarray(format="rgb24", threads=1))


def _planes(frame: av.VideoFrame) -> list[NDArray[np.uint8]]:
    """Views of a yuv420p frame's samples, without the padding of their rows."""
    return [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]  # type: ignore[call-overload]
        for plane in frame.planes
    ]
