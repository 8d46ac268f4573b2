"""Motion compensation by one vector: samples of the reference picture between whole positions, as vector kernels.

Half positions are the means of two or four neighbours (ISO/IEC 14496-2, clause 7.6.2.1), rounded up or, with
`rounding_type` = 1, down. Which half a vector has is known when it is parsed, and rounding for the whole picture: so
there is a kernel for each case, and none decides anything for itself.

FFmpeg's code for x86 cuts a corner where blocks of 8 are rounded down: it takes one off the first of two neighbours,
and then rounds up, which is wrong by one where there is nothing to take off. To be exact is to be FFmpeg, here too.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dataset_upload.video.kernels import kernel
from dataset_upload.video.memory import (
    I8,
    I16,
    I64,
    guarded,
    load,
    load_vector,
    pointer,
    require,
    splat,
    store,
    store_vector,
)
from dataset_upload.video.mpeg4 import FOLLOWS_X86_KERNELS

# What half of a sample a vector ends in.
WHOLE, HALF_X, HALF_Y, HALF_XY = range(4)

# Where samples beyond the edge are put together: 17 rows of 17 samples, or 9 rows of 9 pairs.
SCRATCH_STRIDE = 32
SCRATCH_SIZE = 17 * SCRATCH_STRIDE


def _prediction(lanes: int, rows: int, half: int, down: int, neighbour: int) -> Any:
    """Predict a block: `predict(target, target_offset, target_stride, source, source_offset, source_stride)`.

    Args:
        lanes: bytes in a row.
        half: WHOLE to HALF_XY.
        down: rounding_type.
        neighbour: bytes from a sample to the next: 2 where chroma is interleaved.
    """

    cuts_corner = FOLLOWS_X86_KERNELS and lanes // neighbour == 8

    @intrinsic
    def predict(
        typing_context: Any,
        target: Any,
        target_offset: Any,
        target_stride: Any,
        source: Any,
        source_offset: Any,
        source_stride: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target, target_offset, target_stride, source, source_offset, source_stride = arguments
            write = pointer(context, builder, signature.args[0], target, target_offset)
            read = pointer(context, builder, signature.args[3], source, source_offset)
            wide = ir.VectorType(I16, lanes)

            def samples(row: int, shift: int = 0) -> Any:
                start = builder.add(builder.mul(source_stride, I64(row)), I64(shift))
                return load_vector(builder, builder.gep(read, [start]), lanes)

            def pair(row: int) -> Any:
                left, right = samples(row), samples(row, neighbour)
                return builder.add(builder.zext(left, wide), builder.zext(right, wide))

            def less_one(vector: Any) -> Any:
                one = splat(vector.type, 1)
                return builder.sub(builder.select(builder.icmp_unsigned(">", vector, one), vector, one), one)

            def mean(first: Any, second: Any, reduces_second: bool = False) -> Any:
                """Of first and second; `reduces_second`: where a corner is cut, one is taken off the second."""
                if down and cuts_corner:
                    first, second = (first, less_one(second)) if reduces_second else (less_one(first), second)
                total = builder.add(builder.zext(first, wide), builder.zext(second, wide))
                up = builder.lshr(builder.add(total, splat(wide, 1)), splat(wide, 1))
                up = builder.trunc(up, first.type)  # one instruction, which most processors have for rounding up only
                if not down or cuts_corner:
                    return up
                return builder.sub(up, builder.and_(builder.xor(first, second), splat(first.type, 1)))

            above = {WHOLE: None, HALF_X: None, HALF_Y: samples(0), HALF_XY: pair(0)}[half]
            for row in range(rows):
                if half == WHOLE:
                    block_row = samples(row)
                elif half == HALF_X:
                    block_row = mean(samples(row), samples(row, neighbour))
                elif half == HALF_Y:
                    below = samples(row + 1)
                    block_row, above = mean(above, below, reduces_second=row % 2 == 0), below
                else:
                    below = pair(row + 1)
                    total = builder.add(builder.add(above, below), splat(wide, 2 - down))
                    block_row = builder.trunc(builder.lshr(total, splat(wide, 2)), ir.VectorType(I8, lanes))
                    above = below
                start = builder.mul(target_stride, I64(row))
                store_vector(builder, builder.gep(write, [start]), block_row)
            return context.get_dummy_value()

        return types.void(target, *[types.int64] * 2, source, *[types.int64] * 2), generate

    read_rows, read_bytes = rows + (half in (HALF_Y, HALF_XY)), lanes + neighbour * (half in (HALF_X, HALF_XY))

    def spans(
        target: Any, target_offset: int, target_stride: int, source: Any, source_offset: int, source_stride: int
    ) -> None:
        require(target, target_offset, (rows - 1) * target_stride + lanes)
        require(source, source_offset, (read_rows - 1) * source_stride + read_bytes)

    return guarded(predict, spans)


def _predictions(lanes: int, rows: int, neighbour: int) -> tuple[Any, ...]:
    """Kernels for all halves, rounding up, and then for all halves, rounding down."""
    return tuple(_prediction(lanes, rows, half, down, neighbour) for down in (0, 1) for half in range(4))


# For luma of a macroblock; luma of a block; both chroma blocks at once, whose samples alternate.
LUMA_16, LUMA_8, CHROMA = _predictions(16, 16, 1), _predictions(8, 8, 1), _predictions(16, 8, 2)


@kernel
def _gather(
    scratch: Any, source: Any, plane: int, stride: int, x: int, y: int, side: int, width: int, height: int, step: int
) -> None:
    """Copy side x side samples from (x, y) on; beyond the edge, the nearest inside (clause 7.6.4)."""
    for row in range(side):
        start = plane + min(max(y + row, 0), height - 1) * stride
        for column in range(side):
            nearest = start + min(max(x + column, 0), width - 1) * step
            for byte in range(step):
                store(scratch, row * SCRATCH_STRIDE + column * step + byte, load(source, nearest + byte))


def _beyond_edge(predictions: tuple[Any, ...], side: int, step: int) -> Any:
    up_whole, up_x, up_y, up_xy, down_whole, down_x, down_y, down_xy = predictions

    @kernel
    def predict_beyond_edge(
        kind: int,
        target: Any,
        target_offset: int,
        source: Any,
        plane: int,
        stride: int,
        x: int,
        y: int,
        width: int,
        height: int,
        scratch: Any,
    ) -> None:
        _gather(scratch, source, plane, stride, x, y, side, width, height, step)
        if kind == WHOLE:
            up_whole(target, target_offset, stride, scratch, 0, SCRATCH_STRIDE)
        elif kind == HALF_X:
            up_x(target, target_offset, stride, scratch, 0, SCRATCH_STRIDE)
        elif kind == HALF_Y:
            up_y(target, target_offset, stride, scratch, 0, SCRATCH_STRIDE)
        elif kind == HALF_XY:
            up_xy(target, target_offset, stride, scratch, 0, SCRATCH_STRIDE)
        elif kind == 4 + WHOLE:
            down_whole(target, target_offset, stride, scratch, 0, SCRATCH_STRIDE)
        elif kind == 4 + HALF_X:
            down_x(target, target_offset, stride, scratch, 0, SCRATCH_STRIDE)
        elif kind == 4 + HALF_Y:
            down_y(target, target_offset, stride, scratch, 0, SCRATCH_STRIDE)
        else:
            down_xy(target, target_offset, stride, scratch, 0, SCRATCH_STRIDE)

    return predict_beyond_edge


# The same for blocks that lie partly or wholly outside the reference picture, in samples of its plane:
# predict(half + 4 * rounding_type, target, target_offset, source, plane, stride, x, y, width, height, scratch).
beyond_edge_luma_16 = _beyond_edge(LUMA_16, 17, 1)
beyond_edge_luma_8 = _beyond_edge(LUMA_8, 9, 1)
beyond_edge_chroma = _beyond_edge(CHROMA, 9, 2)
