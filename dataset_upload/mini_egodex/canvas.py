"""A video frame that convex polygons are painted into, fast enough to draw full-size video with NumPy alone.

All polygons of a picture are cut into runs of pixels at once by NumPy; only writing the runs is a loop.
They go straight into the memory of the yuv420p frame that will be encoded: nothing is converted or copied.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dataset_upload.mini_egodex.camera import Array
from dataset_upload.mini_egodex.frame_code import draw_frame_number
from dataset_upload.video.picture import new_frame

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_INK = [bytes([value]) for value in range(256)]


class Canvas:
    """One yuv420p frame of `size` (width, height), even numbers of pixels, to be painted over and over."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.width, self.height = size
        self.frame = new_frame(self.width, self.height)
        self._memory = [memoryview(plane) for plane in self.frame.planes]
        self._strides = [plane.line_size for plane in self.frame.planes]
        self._luma, *self._chroma = (
            np.frombuffer(memory, np.uint8).reshape(-1, stride)[: self.height >> halved, : self.width >> halved]
            for memory, stride, halved in zip(self._memory, self._strides, (0, 1, 1), strict=True)
        )

    def clear(self, rgb: npt.ArrayLike) -> None:
        """Fill with one colour that darkens upwards."""
        y, u, v = _yuv(np.asarray(rgb, np.float64))
        self._luma[:] = (y * np.linspace(0.85, 1.0, self.height)).astype(np.uint8)[:, None]
        self._chroma[0][:], self._chroma[1][:] = int(u), int(v)

    def paint(self, polygons: Array, rgb: Array, relief: Array, tinted: Bools) -> None:
        """Fill convex `polygons` (P, V, 2), in pixels, in their order.

        Their colours are `rgb` (P, 3), by the fraction `relief` (P,) brighter at the top, darker at the
        bottom. One that is not `tinted` (P,) sets only how bright its pixels are, not their colour, as a
        shadow does.
        """
        which, row, left, right = _runs(polygons, self.width, self.height)
        y, u, v = np.clip(_yuv(rgb) + 0.5, 16, 240).astype(np.uint8).T
        top, bottom = polygons[:, :, 1].min(axis=1), polygons[:, :, 1].max(axis=1)
        sunk = (row + 0.5 - top[which]) / (bottom - top)[which]
        self._write(0, row, left, right, np.clip(y[which] * (1 + relief[which] * (1 - 2 * sunk)), 16, 235))

        kept = tinted[which] & (row % 2 == 0)
        which, row, left, right = which[kept], row[kept] // 2, (left[kept] + 1) // 2, (right[kept] + 1) // 2
        self._write(1, row, left, right, u[which])
        self._write(2, row, left, right, v[which])

    def number(self, number: int) -> None:
        """Draw the frame's number over everything."""
        rows, columns = draw_frame_number(self._luma, number)
        for plane in self._chroma:
            plane[rows.start // 2 : -(-rows.stop // 2), columns.start // 2 : -(-columns.stop // 2)] = 128

    def _write(self, plane: int, row: Ints, left: Ints, right: Ints, values: npt.NDArray[np.number]) -> None:
        """Write R runs of one plane, in order: (R,) rows, first columns, columns after the last, values."""
        start, memory = row * self._strides[plane] + left, self._memory[plane]
        runs = start.tolist(), (start + right - left).tolist(), values.astype(np.uint8).tolist()
        for first, end, value in zip(*runs, strict=True):
            memory[first:end] = _INK[value] * (end - first)


def _runs(polygons: Array, width: int, height: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Cut convex polygons (P, V, 2) into pixel runs: (R,) polygons, rows, first columns, end columns.

    A pixel belongs to a polygon when its centre does. On a row, every edge on the polygon's left bounds the
    run from the left, every edge on its right from the right, wherever the edge ends: it is convex.
    """
    x, y = np.moveaxis(polygons.astype(np.float32), (1, 2), (1, 0))  # (V, P)
    dx, dy = np.roll(x, -1, axis=0) - x, np.roll(y, -1, axis=0) - y
    clockwise = np.sign(np.sum(x * np.roll(y, -1, axis=0) - y * np.roll(x, -1, axis=0), axis=0))
    slanted = np.abs(dy) > 1e-4
    slope = np.where(slanted, dx / np.where(slanted, dy, 1), 0)
    column = x + (0.5 - y) * slope  # where the edge's line crosses the centre of row 0

    first, last = (np.clip(np.ceil(edge - 0.5), 0, height).astype(np.int64) for edge in (y.min(axis=0), y.max(axis=0)))
    counts = last - first
    which = np.repeat(np.arange(len(polygons)), counts)
    row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - first, counts)
    level = row.astype(np.float32)

    def bound(direction: int, outermost: int, narrow: np.ufunc) -> Ints:
        bounding = slanted & (dy * clockwise * direction > 0)
        starts, slopes = np.where(bounding, column, np.float32(outermost)), np.where(bounding, slope, 0)
        edge = np.full(len(row), outermost, np.float32)
        for start, lean in zip(starts, slopes, strict=True):
            narrow(edge, start.take(which) + lean.take(which) * level, out=edge)
        columns: Ints = np.ceil(edge - 0.5).astype(np.int64)
        return columns

    left, right = bound(-1, 0, np.maximum), bound(1, width, np.minimum)
    seen = left < right
    return which[seen], row[seen], left[seen], right[seen]


def _yuv(rgb: Array) -> Array:
    """Limited-range BT.601 YUV (..., 3) of RGB (..., 3): what players assume unless a video says."""
    matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
    yuv: Array = rgb @ matrix.T + np.array([16.0, 128.0, 128.0])
    return yuv
