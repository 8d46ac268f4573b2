"""A frame's number drawn into its picture: a bar of cells that outlives cropping, scaling and re-encoding.

The bar hangs at the top of the picture's central square. Its outer cells are a white ring, by which it is
found wherever it ends up. Inside, each column is one bit, white over black for 1 and black over white for 0,
so that reading needs no threshold: the number's 16 bits, most significant first, then 4 check bits, the
exclusive-or of its four hexadecimal digits. Nothing else in the picture may be as bright as the ring.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NUMBER_BITS, CHECK_BITS = 16, 4
LARGEST = (1 << NUMBER_BITS) - 1
ROWS, COLUMNS = 4, NUMBER_BITS + CHECK_BITS + 2

_CELL_WIDTH, _CELL_HEIGHT, _TOP = 0.035, 0.03, 0.03  # of the central square's side
_BRIGHT = 0.85  # of the picture's brightest pixel: only the ring and the white cells are
_RING = 0.6  # of the brightest pixel: every cell of the ring is brighter, blurred or not
_CONTRAST = 0.25  # of the brightest pixel: the least difference between a column's two cells


def draw_frame_number(luma: npt.NDArray[np.uint8], number: int) -> tuple[slice, slice]:
    """Draw `number` into a frame's limited-range luma (H, W); return the rows and columns it now fills."""
    height, width = luma.shape
    side = min(height, width)
    left, top = width / 2 - _CELL_WIDTH * side * COLUMNS / 2, (height - side) / 2 + _TOP * side
    x = np.round(left + _CELL_WIDTH * side * np.arange(COLUMNS + 1)).astype(int)
    y = np.round(top + _CELL_HEIGHT * side * np.arange(ROWS + 1)).astype(int)
    cells = np.where(_cells(number), 235, 16).astype(np.uint8)
    where = slice(y[0], y[-1]), slice(x[0], x[-1])
    luma[where] = np.repeat(np.repeat(cells, np.diff(y), axis=0), np.diff(x), axis=1)
    return where


def read_frame_number(image: npt.NDArray[np.uint8]) -> int:
    """The frame number drawn into `image`, (H, W, 3) uint8 RGB or (H, W) uint8 luma, scaled or not.

    Works on the whole frame, its central square or a padded frame, stretched to 128x128 pixels or more.
    Raises ValueError when there is no number or it cannot be read for certain.
    """
    luma = image[..., 1] if image.ndim == 3 else image  # black and white are the same in every channel
    what = f"frame number in this picture of {luma.shape[1]}x{luma.shape[0]} pixels"
    white = float(luma.max())
    if not white:
        raise ValueError(f"no {what}: it is black")
    bright = luma > _BRIGHT * white
    (top, bottom), (left, right) = (_extent(bright.sum(axis=axis)) for axis in (1, 0))
    cells = _sample(luma, top, bottom, left, right)

    ring = np.concatenate([cells[0], cells[-1], cells[1:-1, 0], cells[1:-1, -1]])
    upper, lower = cells[1, 1:-1], cells[2, 1:-1]
    if ring.min() < _RING * white or np.abs(upper - lower).min() < _CONTRAST * white:
        raise ValueError(f"no readable {what}")
    bits = upper > lower
    number = int(bits[:NUMBER_BITS] @ (1 << np.arange(NUMBER_BITS)[::-1]))
    if not np.array_equal(bits, _bits(number)):
        raise ValueError(f"damaged {what}: it reads {number}, which its check bits deny")
    return number


def _extent(brightness: npt.NDArray[np.int64]) -> tuple[int, int]:
    """From where to where there are at least half as many bright pixels as anywhere: more than stray ones."""
    inside = np.flatnonzero(2 * brightness >= brightness.max())
    return int(inside[0]), int(inside[-1]) + 1


def _bits(number: int) -> npt.NDArray[np.bool_]:
    """The columns' (20,) bits: the number, then its check."""
    check = number >> 12 ^ number >> 8 & 15 ^ number >> 4 & 15 ^ number & 15
    return np.array([int(digit) for digit in f"{number:016b}{check:04b}"], np.bool_)


def _cells(number: int) -> npt.NDArray[np.bool_]:
    """The whole bar (ROWS, COLUMNS), True where it is white."""
    cells = np.ones((ROWS, COLUMNS), np.bool_)
    cells[1, 1:-1] = _bits(number)
    cells[2, 1:-1] = ~_bits(number)
    return cells


def _sample(luma: npt.NDArray[np.uint8], top: int, bottom: int, left: int, right: int) -> npt.NDArray[np.float64]:
    """The mean brightness (ROWS, COLUMNS) about the middle of each cell of the bar in that rectangle."""
    inner = np.array([0.35, 0.5, 0.65])
    y = (top + (bottom - top) / ROWS * (np.arange(ROWS)[:, None] + inner)).astype(int)
    x = (left + (right - left) / COLUMNS * (np.arange(COLUMNS)[:, None] + inner)).astype(int)
    means: npt.NDArray[np.float64] = luma[y[:, None, :, None], x[None, :, None, :]].mean(axis=(2, 3))
    return means
