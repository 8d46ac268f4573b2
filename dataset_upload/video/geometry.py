"""How a frame is resized, with what that does to the camera intrinsics."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from dataset_upload.video import ResizeMode
from dataset_upload.video.picture import Picture, new_frame
from dataset_upload.video.scaling import shrink


@dataclass(frozen=True)
class Resize:
    """Crop, then scale, then pad; every size and offset in pixels, (width, height) or (x, y).

    A pixel (u, v) of the source lands on `(u - crop_offset) * scaled / cropped + pad_offset`. The pixel origin is
    the top-left corner of the image, as in EgoDex's own intrinsics.
    """

    cropped: tuple[int, int]
    crop_offset: tuple[int, int]
    scaled: tuple[int, int]
    pad_offset: tuple[int, int]
    output: tuple[int, int]

    def intrinsics(self, source_intrinsics: NDArray[np.float32]) -> NDArray[np.float32]:
        """The (3, 3) intrinsics of the resized frame, given those of the source frame."""
        scale_x = self.scaled[0] / self.cropped[0]
        scale_y = self.scaled[1] / self.cropped[1]
        source_to_output = np.array(
            [
                [scale_x, 0.0, self.pad_offset[0] - self.crop_offset[0] * scale_x],
                [0.0, scale_y, self.pad_offset[1] - self.crop_offset[1] * scale_y],
                [0.0, 0.0, 1.0],
            ]
        )
        resized: NDArray[np.float32] = (source_to_output @ source_intrinsics).astype(np.float32)
        return resized

    def apply(self, picture: Picture) -> av.VideoFrame:
        """The resized frame, new; `picture` must have the size that the resize was planned for.

        It is yuv420p in limited range and BT.601 colours: what players and readers take a small video for.
        """
        frame = new_frame(*self.output)
        clip = Picture.of_frame(frame)  # whose samples are the frame's own
        if self.scaled != self.output:
            for plane, black in ((clip.y, 16), (clip.u, 128), (clip.v, 128)):
                plane[:] = black
        target = _cut(clip, self.pad_offset, self.scaled)
        source = picture
        if self.cropped != (picture.width, picture.height):
            source = _cut(picture, self.crop_offset, self.cropped)
        if self.scaled[0] <= self.cropped[0] and self.scaled[1] <= self.cropped[1]:
            shrink(source, target)
        else:
            _enlarge(source, target)
        return frame


def plan_resize(
    source: tuple[int, int], mode: ResizeMode, frame_size: int, shortest_edge_size: int | None = None
) -> Resize:
    """Plan how frames of one size become clip frames.

    Args:
        source: (width, height) of the frames to resize.
        mode: `stretch` to a square, cut the central square (`center_crop`), or fit into a square between black
            bars (`pad`).
        frame_size: side of the square, even.
        shortest_edge_size: if given, `stretch` keeps the aspect ratio instead: the shorter side becomes this long,
            both sides even. `center_crop` then cuts a square of this side.
    """
    width, height = source
    square = (frame_size, frame_size) if shortest_edge_size is None else (shortest_edge_size,) * 2
    if mode == "center_crop":
        # Offsets and sizes stay even: in yuv420p a chroma sample spans 2x2 pixels.
        side = _even_below(min(width, height))
        offset = (_even_below((width - side) // 2), _even_below((height - side) // 2))
        return Resize((side, side), offset, square, (0, 0), square)
    if mode == "pad":
        scale = frame_size / max(width, height)
        scaled = (_even_near(width * scale), _even_near(height * scale))
        offset = (_even_below((frame_size - scaled[0]) // 2), _even_below((frame_size - scaled[1]) // 2))
        return Resize(source, (0, 0), scaled, offset, square)
    if shortest_edge_size is not None:
        scale = shortest_edge_size / min(width, height)
        scaled = (_even_near(width * scale), _even_near(height * scale))
        return Resize(source, (0, 0), scaled, (0, 0), scaled)
    return Resize(source, (0, 0), square, (0, 0), square)


def _even_below(length: int) -> int:
    return length - length % 2


def _even_near(length: float) -> int:
    return max(2, 2 * round(length / 2))


def _cut(picture: Picture, offset: tuple[int, int], size: tuple[int, int]) -> Picture:
    """A rectangle of a picture, sharing its samples; offset and size are even, or reach to its edge."""
    (x, y), (width, height) = offset, size
    chroma = np.s_[y // 2 : (y + height + 1) // 2, x // 2 : (x + width + 1) // 2]
    return Picture(picture.y[y : y + height, x : x + width], picture.u[chroma], picture.v[chroma])


def _enlarge(source: Picture, target: Picture) -> None:
    """Write a picture into the samples of one that is larger in some direction."""
    # Left to itself, the scaler starts a thread per core in every worker.
    frame = source.to_frame().reformat(
        target.width,
        target.height,
        format="yuv420p",
        dst_colorspace="ITU601",
        dst_color_range="MPEG",
        interpolation="AREA",
        threads=1,
    )
    enlarged = Picture.of_frame(frame)
    target.y[:], target.u[:], target.v[:] = enlarged.y, enlarged.u, enlarged.v
