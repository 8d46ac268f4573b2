"""The memory of the decoder: buffers of pictures, and what is kept while one is being parsed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_upload.video.mpeg4 import motion, work_lists
from dataset_upload.video.picture import Picture


class Layout(NamedTuple):
    """Where a picture's samples lie in its buffer: luma, then chroma with U and V alternating, in rows of `stride`."""

    columns: int  # macroblocks
    rows: int
    width: int  # samples that are shown
    height: int
    stride: int
    chroma: int  # where chroma begins


class Workspace(NamedTuple):
    """Memory of the parser."""

    vectors: NDArray[np.int32]  # x and y of two vectors a macroblock, of its lower blocks, and zeros behind the last
    left: NDArray[np.int32]  # x and y of the vectors of the upper and of the lower block to the left
    quantisers: NDArray[np.uint8]  # of intra macroblocks, 0 of others; a row above and a column before the picture
    dc: NDArray[np.int16]  # of all blocks: luma row by row, U, V
    ac: NDArray[np.int16]  # 16 a block
    coefficients: NDArray[np.int16]  # 64 a block, of one row of macroblocks; zeros between two rows
    lists: NDArray[np.int32]
    ends: NDArray[np.int64]  # of the lists
    scratch: NDArray[np.uint8]


def make_layout(width: int, height: int) -> Layout:
    columns, rows = -(-width // 16), -(-height // 16)
    # Vectors of interleaved V reach one byte beyond the last sample; and rows that are a power of two apart would all
    # fall on the same lines of a cache.
    stride = 16 * columns + 64
    if stride & (stride - 1) == 0:
        stride += 64
    return Layout(columns, rows, width, height, stride, 16 * rows * stride)


def make_buffer(layout: Layout) -> NDArray[np.uint8]:
    return np.zeros(24 * layout.rows * layout.stride, np.uint8)


def picture_in(buffer: NDArray[np.uint8], layout: Layout) -> Picture:
    rows = buffer.reshape(-1, layout.stride)
    width, height = -(-layout.width // 2), -(-layout.height // 2)
    chroma = rows[16 * layout.rows :][:height]
    return Picture(rows[: layout.height, : layout.width], chroma[:, : 2 * width : 2], chroma[:, 1 : 2 * width + 1 : 2])


def make_workspace(layout: Layout) -> Workspace:
    columns, rows = layout.columns, layout.rows
    num_blocks = 6 * columns * rows
    capacity = work_lists.JOBS_PER_MACROBLOCK * columns
    return Workspace(
        vectors=np.zeros(4 * columns + 4, np.int32),
        left=np.zeros(4, np.int32),
        quantisers=np.zeros((rows + 1) * (columns + 1), np.uint8),
        dc=np.zeros(num_blocks, np.int16),
        ac=np.zeros(16 * num_blocks, np.int16),
        coefficients=np.zeros(64 * (6 * columns + 1), np.int16),
        lists=np.zeros(2 * work_lists.NUM_KINDS * capacity, np.int32),
        ends=np.zeros(work_lists.NUM_ENDS, np.int64),
        scratch=np.zeros(motion.SCRATCH_SIZE, np.uint8),
    )
