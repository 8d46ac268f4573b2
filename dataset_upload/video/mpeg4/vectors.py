"""The motion vectors of a macroblock: read, and noted; those that lead outside the picture are followed at once."""

from __future__ import annotations

from typing import Any

from dataset_upload.video.kernels import inlined, kernel
from dataset_upload.video.memory import load, store
from dataset_upload.video.mpeg4 import motion, tables
from dataset_upload.video.mpeg4.coefficients import FAILED
from dataset_upload.video.mpeg4.prediction import NO_VECTOR, median, read_vector_part
from dataset_upload.video.mpeg4.work_lists import MOVE_CHROMA, MOVE_LUMA_8, MOVE_LUMA_16, note

_CHROMA_ROUNDING = tables.CHROMA_ROUNDING


@inlined
def predicted(a: int, column: int, number: int, start: int, columns: int, b: int, c: int) -> int:
    """x or y of a vector's prediction in an upper block of macroblock `number`; `start`: its video packet's first.

    In the first row of a video packet there is nothing above, but for the last macroblock of that row, where C is the
    first one of the packet.
    """
    if number >= start + columns:
        return median(a, b, c)
    if number + 1 == start + columns and column + 1 != columns:
        return c if column == 0 else median(a, 0, c)
    return a


@inlined
def move_macroblock(
    x: int,
    y: int,
    row: int,
    column: int,
    luma: int,
    chroma: int,
    rounds_down: int,
    layout: Any,
    work: Any,
    target: Any,
    reference: Any,
) -> None:
    """Predict a macroblock by one vector, in half samples; what lies within the picture is only noted."""
    stride = layout.stride
    width, height = 16 * layout.columns, 16 * layout.rows
    from_x, from_y, half = 16 * column + (x >> 1), 16 * row + (y >> 1), (x & 1) | (y & 1) << 1
    # Chroma's vector is half of luma's; its quarters count as halves.
    chroma_x, chroma_y = 8 * column + (x >> 2), 8 * row + (y >> 2)
    chroma_half = (1 if x & 3 else 0) | (2 if y & 3 else 0)
    if from_x >= 0 and from_y >= 0 and from_x + (x & 1) <= width - 16 and from_y + (y & 1) <= height - 16:
        note(work.lists, work.ends, MOVE_LUMA_16 + half, luma, from_y * stride + from_x)
        source = layout.chroma + chroma_y * stride + 2 * chroma_x
        note(work.lists, work.ends, MOVE_CHROMA + chroma_half, chroma, source)
    else:
        half, chroma_half = half + 4 * rounds_down, chroma_half + 4 * rounds_down
        motion.beyond_edge_luma_16(
            half, target, luma, reference, 0, stride, from_x, from_y, width, height, work.scratch
        )
        motion.beyond_edge_chroma(
            chroma_half,
            target,
            chroma,
            reference,
            layout.chroma,
            stride,
            chroma_x,
            chroma_y,
            width >> 1,
            height >> 1,
            work.scratch,
        )


@kernel
def move_blocks(
    packet: Any,
    position: int,
    row: int,
    column: int,
    start: int,
    left: Any,
    luma: int,
    chroma: int,
    vop: Any,
    layout: Any,
    work: Any,
    target: Any,
    reference: Any,
) -> int:
    """Read the four vectors of a macroblock, and predict it by them; returns the position after them, or FAILED.

    Args:
        left: x and y of the vectors of the upper and of the lower block to the left; overwritten.
    """
    vectors, stride, columns = work.vectors, layout.stride, layout.columns
    width, height = 16 * columns, 16 * layout.rows
    number, above = row * columns + column, 4 * column
    upper_left_x = upper_left_y = upper_right_x = upper_right_y = lower_left_x = lower_left_y = x = y = 0
    sum_x = sum_y = 0
    for n in range(4):
        if n < 2:
            b, c = above + 2 * n, above + 4
            a_x, a_y = (load(left, 0), load(left, 1)) if n == 0 else (upper_left_x, upper_left_y)
            x = predicted(a_x, column, number, start, columns, load(vectors, b), load(vectors, c))
            y = predicted(a_y, column, number, start, columns, load(vectors, b + 1), load(vectors, c + 1))
        else:
            a_x, a_y = (load(left, 2), load(left, 3)) if n == 2 else (lower_left_x, lower_left_y)
            x = median(a_x, upper_left_x, upper_right_x)
            y = median(a_y, upper_left_y, upper_right_y)
        position, x = read_vector_part(packet, position, x, vop.fcode)
        position, y = read_vector_part(packet, position, y, vop.fcode)
        if x == NO_VECTOR or y == NO_VECTOR:
            return FAILED
        sum_x, sum_y = sum_x + x, sum_y + y
        if n == 0:
            upper_left_x, upper_left_y = x, y
        elif n == 1:
            upper_right_x, upper_right_y = x, y
        elif n == 2:
            lower_left_x, lower_left_y = x, y
        # FFmpeg lets a block lie no farther outside than just beyond the edge, and there no half samples.
        from_x = max(16 * column + 8 * (n & 1) + (x >> 1), -16)
        from_y = max(16 * row + 8 * (n >> 1) + (y >> 1), -16)
        half = (x & 1) | (y & 1) << 1
        if from_x >= layout.width:
            from_x, half = layout.width, half & 2
        if from_y >= layout.height:
            from_y, half = layout.height, half & 1
        where = luma + (n & 1) * 8 + (n >> 1) * 8 * stride
        if 0 <= from_x <= width - 9 and 0 <= from_y <= height - 9:
            note(work.lists, work.ends, MOVE_LUMA_8 + half, where, from_y * stride + from_x)
        else:
            half += 4 * vop.rounds_down
            motion.beyond_edge_luma_8(
                half, target, where, reference, 0, stride, from_x, from_y, width, height, work.scratch
            )
    store(left, 0, upper_right_x)
    store(left, 1, upper_right_y)
    store(left, 2, x)
    store(left, 3, y)
    store(vectors, above, lower_left_x)
    store(vectors, above + 1, lower_left_y)
    store(vectors, above + 2, x)
    store(vectors, above + 3, y)
    x = load(_CHROMA_ROUNDING, sum_x & 15) + ((sum_x >> 3) & ~1)
    y = load(_CHROMA_ROUNDING, sum_y & 15) + ((sum_y >> 3) & ~1)
    from_x, from_y = max(8 * column + (x >> 1), -8), max(8 * row + (y >> 1), -8)
    half = (x & 1) | (y & 1) << 1
    if from_x >= layout.width >> 1:
        from_x, half = layout.width >> 1, half & 2
    if from_y >= layout.height >> 1:
        from_y, half = layout.height >> 1, half & 1
    width, height = width >> 1, height >> 1
    if 0 <= from_x <= width - 9 and 0 <= from_y <= height - 9:
        source = layout.chroma + from_y * stride + 2 * from_x
        note(work.lists, work.ends, MOVE_CHROMA + half, chroma, source)
    else:
        motion.beyond_edge_chroma(
            half + 4 * vop.rounds_down,
            target,
            chroma,
            reference,
            layout.chroma,
            stride,
            from_x,
            from_y,
            width,
            height,
            work.scratch,
        )
    return position
