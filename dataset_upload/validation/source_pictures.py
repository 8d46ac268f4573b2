"""A clip's pictures beside those of its source video, decoded from the start and scaled without the converter's code.

Scaling is spelled out in NumPy: the mean over all source pixels that a pixel of the clip covers. Pictures are compared
as people see them, in RGB.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dataset_upload.video.plain_decoding import decode_clip, open_plainly

Picture = NDArray[Any]  # (H, W, 3) RGB, 0 to 255: uint8 as decoded, float32 as scaled
Box = tuple[int, int, int, int]  # x, y, width, height in pixels

_MAX_PIXELS = 2**25  # of a source frame: four times 4K
_THUMBNAIL = 64  # sides of the pictures by which a frame is told from others, pixels
_IDENTICAL = 1e-3  # the least mean squared error: a PSNR of 78 dB


@dataclass
class SourceVideo:
    """What a decode of a source video from its first frame to its last gives.

    Attributes:
        times: of each frame, seconds from the first one; counted at `fps` where the file's own are missing or do not
            rise, NaN without that.
        fps: the average frame rate, 0 if the file does not say.
        size: (width, height) in pixels.
        clip_size: that of the clip.
        psnr: of each frame of the clip beside the source frame that it should show, dB.
        resembles: for each frame of the clip the source frame that it resembles most, of all that the clip should
            show and the frames next to these; and by how many dB more than the one that it should show.
    """

    times: NDArray[np.float64]
    fps: float
    size: tuple[int, int]
    clip_size: tuple[int, int]
    psnr: list[float]
    resembles: list[tuple[int, float]]


def compare_pictures(
    file: BinaryIO, clip: Sequence[bytes], indices: Sequence[int], settings: dict[str, Any]
) -> SourceVideo:
    """Decode a source video and a clip side by side.

    Args:
        file: the source video.
        clip: the contents of the clip's MP4, or of its JPEGs.
        indices: of the source frames that the clip should show, ascending.
        settings: of the dataset: how a source frame becomes a clip's.

    Raises:
        OSError, ValueError: one of them cannot be decoded, or they do not have so many frames.
    """
    clip_frames = (frame.astype(np.float32) for frame in decode_clip(clip))
    due = list(indices)
    candidates = {index + step for index in due for step in (-1, 0, 1)}
    source_thumbnails: dict[int, NDArray[np.float32]] = {}
    clip_thumbnails: list[NDArray[np.float32]] = []
    times: list[float | None] = []
    psnr: list[float] = []
    picture = _next(clip_frames, 0)
    clip_size = (picture.shape[1], picture.shape[0])
    with open_plainly(file) as video:
        size, fps = video.size, video.fps
        if size[0] * size[1] > _MAX_PIXELS:
            raise ValueError(f"frames of {size[0]}x{size[1]} pixels are not compared")
        boxes = placement(settings, size, clip_size)
        for number, frame in enumerate(video.frames):
            times.append(frame.seconds)
            if number not in candidates:
                continue
            rgb = frame.to_rgb()
            source_thumbnails[number] = _thumbnail(_cut(rgb, boxes[0]))
            if len(psnr) < len(due) and number == due[len(psnr)]:
                if psnr:
                    picture = _next(clip_frames, len(psnr))
                psnr.append(_psnr(picture - _as_in_clip(rgb, boxes, clip_size)))
                clip_thumbnails.append(_thumbnail(_cut(picture, boxes[1])))
    if len(psnr) < len(due):
        raise ValueError(f"the source video has {len(times)} frames, none with the index {due[len(psnr)]}")
    if next(clip_frames, None) is not None:
        raise ValueError(f"the clip has more than {len(due)} frames")
    resembles = [
        _most_alike(thumbnail, index, source_thumbnails) for thumbnail, index in zip(clip_thumbnails, due, strict=True)
    ]
    return SourceVideo(_seconds(times, fps), fps, size, clip_size, psnr, resembles)


def placement(settings: dict[str, Any], source: tuple[int, int], clip: tuple[int, int]) -> tuple[Box, Box]:
    """Which box of a source frame is shown in which box of a clip's frame; sizes are (width, height).

    All else of the clip's frame is black. As docs/egodex.md describes each mode of `output.resize`.
    """
    width, height = source
    if settings["resize"] == "center_crop":
        side = min(source) // 2 * 2
        return ((width - side) // 4 * 2, (height - side) // 4 * 2, side, side), (0, 0, *clip)
    if settings["resize"] == "pad":
        largest = max(source)
        scaled = [max(2, 2 * round(clip[0] * length / largest / 2)) for length in source]
        x, y = ((side - length) // 4 * 2 for side, length in zip(clip, scaled, strict=True))
        return (0, 0, width, height), (x, y, scaled[0], scaled[1])
    return (0, 0, width, height), (0, 0, *clip)


def _next(pictures: Iterator[Picture], number: int) -> Picture:
    picture = next(pictures, None)
    if picture is None:
        raise ValueError(f"the clip has no frame {number}")
    return picture


def _as_in_clip(frame: NDArray[Any], boxes: tuple[Box, Box], size: tuple[int, int]) -> Picture:
    """A source frame as a clip's frame of this (width, height) should show it."""
    rows = _scale(_cut(frame, boxes[0]), boxes[1][3])
    picture = np.zeros((size[1], size[0], 3), np.float32)
    _cut(picture, boxes[1])[:] = _scale(rows.swapaxes(0, 1), boxes[1][2]).swapaxes(0, 1)
    return picture


def _cut(picture: NDArray[Any], box: Box) -> NDArray[Any]:
    x, y, width, height = box
    return picture[y : y + height, x : x + width]


def _scale(picture: NDArray[Any], length: int) -> NDArray[np.float32]:
    """Scale the first axis to `length`: each new row is the mean of what it covers of the old ones."""
    rows = picture.reshape(len(picture), -1).astype(np.float32)
    edges = np.linspace(0, len(rows), length + 1)
    scaled = np.empty((length, rows.shape[1]), np.float32)
    for number, (start, end) in enumerate(itertools.pairwise(edges.tolist())):
        first, last = int(start), min(math.ceil(end), len(rows))
        covered = [min(row + 1, end) - max(row, start) for row in range(first, last)]
        scaled[number] = np.array(covered, np.float32) @ rows[first:last] / np.float32(end - start)
    return scaled.reshape(length, *picture.shape[1:])


def _thumbnail(picture: NDArray[Any]) -> NDArray[np.float32]:
    """A (H, W, 3) picture's green in a small square: fine enough to tell frames apart, without compression's noise."""
    return _scale(_scale(picture[:, :, 1], _THUMBNAIL).T, _THUMBNAIL).T


def _psnr(difference: NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / max(np.mean(difference**2), _IDENTICAL)))


def _most_alike(
    thumbnail: NDArray[np.float32], index: int, others: dict[int, NDArray[np.float32]]
) -> tuple[int, float]:
    alike = {number: _psnr(thumbnail - other) for number, other in others.items()}
    best = max(alike, key=lambda number: (alike[number], number == index))
    return best, alike[best] - alike[index]


def _seconds(times: Sequence[float | None], fps: float) -> NDArray[np.float64]:
    seconds: NDArray[np.float64] = np.array([np.nan if time is None else time for time in times])
    if len(seconds) and np.isfinite(seconds).all() and (np.diff(seconds) > 0).all():
        seconds -= seconds[0]
        return seconds
    return np.arange(len(times)) / (fps or np.nan)
