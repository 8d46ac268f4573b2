"""The inverse transform of 8x8 blocks, in the very integers of FFmpeg's "simple" one, as vector kernels.

ISO/IEC 14496-2 leaves the last bit of the transform open (Annex A), but predictions from predictions add such bits up:
to be exact is to be FFmpeg. A block is kept transposed, column by column. So the rows' pass reads eight vectors, one
for each coefficient of all rows, works on all rows at once, and after one transposition the columns' pass does the
same.

Beyond what sound streams hold, sums are taken modulo 2**32, and the rows' results saturate to 16 bits, as in FFmpeg's
kernels for x86, or are taken modulo 2**16, as in its C code.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dataset_upload.video.kernels import inlined
from dataset_upload.video.memory import (
    I8,
    I16,
    I32,
    I64,
    clip,
    guarded,
    load_vector,
    pointer,
    require,
    shuffle,
    splat,
    store_vector,
)
from dataset_upload.video.mpeg4 import FOLLOWS_X86_KERNELS

# cos(i * pi / 16) * sqrt(2) * 2**14, rounded, but for the fourth, which FFmpeg has one lower.
_W1, _W2, _W3, _W4, _W5, _W6, _W7 = 22725, 21407, 19266, 16383, 12873, 8867, 4520
_ROW_ROUNDING, _ROW_SHIFT = 1 << 10, 11
_COLUMN_ROUNDING, _COLUMN_SHIFT = (1 << 19) // _W4, 20  # added to the first input, in 16 bits, as FFmpeg does

_SHORTS, _INTS, _BYTES = ir.VectorType(I16, 8), ir.VectorType(I32, 8), ir.VectorType(I8, 8)
_WIDE_SHORTS, _WIDE_BYTES = ir.VectorType(I16, 16), ir.VectorType(I8, 16)
_EVERY_SECOND = [lane // 2 + 8 * (lane % 2) for lane in range(16)]  # of a vector of 8, with zeros between
_KEEP_BETWEEN = [lane + 16 * (lane % 2) for lane in range(16)]  # even lanes of the first, odd lanes of the second


def _pass(builder: Any, v: list[Any], rounding: Any, shift: int) -> list[Any]:
    """Eight one-dimensional transforms side by side; `v` has their eight inputs, each a vector of int32."""

    def weighted(*terms: tuple[Any, int]) -> Any:
        products = [builder.mul(vector, splat(_INTS, weight)) for vector, weight in terms]
        total = products[0]
        for product in products[1:]:
            total = builder.add(total, product)
        return total

    start = builder.add(weighted((v[0], _W4)), rounding)
    even = [
        builder.add(start, weighted((v[2], _W2), (v[4], _W4), (v[6], _W6))),
        builder.add(start, weighted((v[2], _W6), (v[4], -_W4), (v[6], -_W2))),
        builder.add(start, weighted((v[2], -_W6), (v[4], -_W4), (v[6], _W2))),
        builder.add(start, weighted((v[2], -_W2), (v[4], _W4), (v[6], -_W6))),
    ]
    odd = [
        weighted((v[1], _W1), (v[3], _W3), (v[5], _W5), (v[7], _W7)),
        weighted((v[1], _W3), (v[3], -_W7), (v[5], -_W1), (v[7], -_W5)),
        weighted((v[1], _W5), (v[3], -_W1), (v[5], _W7), (v[7], _W3)),
        weighted((v[1], _W7), (v[3], -_W5), (v[5], _W3), (v[7], -_W1)),
    ]
    first = [builder.add(e, o) for e, o in zip(even, odd, strict=True)]
    last = [builder.sub(e, o) for e, o in zip(reversed(even), reversed(odd), strict=True)]
    return [builder.ashr(total, splat(_INTS, shift)) for total in first + last]


def _transposed(builder: Any, v: list[Any]) -> list[Any]:
    """8x8 values the other way round, by three perfect shuffles."""
    low, high = [0, 8, 1, 9, 2, 10, 3, 11], [4, 12, 5, 13, 6, 14, 7, 15]
    for _ in range(3):
        v = [shuffle(builder, v[k // 2], v[k // 2 + 4], high if k % 2 else low) for k in range(8)]
    return v


def _inverse(builder: Any, address: Any) -> list[Any]:
    """The eight rows of a block's samples or differences, before clipping; clears the block."""
    columns = [builder.gep(address, [I64(8 * k)]) for k in range(8)]
    v = [builder.sext(load_vector(builder, column, 8, I16), _INTS) for column in columns]
    for column in columns:
        store_vector(builder, column, splat(_SHORTS, 0))
    others = v[1]
    for vector in v[2:]:
        others = builder.or_(others, vector)
    # FFmpeg gives a row of which only the first coefficient is there exactly 8 times that: 16384 times, not 16383.
    is_flat = builder.icmp_signed("==", others, splat(_INTS, 0))
    correction = builder.select(is_flat, v[0], splat(_INTS, 0))
    v = _pass(builder, v, builder.add(correction, splat(_INTS, _ROW_ROUNDING)), _ROW_SHIFT)
    if FOLLOWS_X86_KERNELS:
        v = [clip(builder, vector, -(1 << 15), (1 << 15) - 1) for vector in v]
    v = _transposed(builder, [builder.trunc(vector, _SHORTS) for vector in v])
    if FOLLOWS_X86_KERNELS:  # which add it in 16 bits
        v[0] = builder.add(v[0], splat(_SHORTS, _COLUMN_ROUNDING))
    v = [builder.sext(vector, _INTS) for vector in v]
    if not FOLLOWS_X86_KERNELS:
        v[0] = builder.add(v[0], splat(_INTS, _COLUMN_ROUNDING))
    return _pass(builder, v, splat(_INTS, 0), _COLUMN_SHIFT)


def _row_address(builder: Any, start: Any, stride: Any, row: int) -> Any:
    return builder.gep(start, [builder.mul(stride, I64(row))])


def _block(adds: bool, is_chroma: bool) -> Any:
    """`finish(target, offset, stride, coefficients, index)`: transform a block, then add it or put it."""

    @intrinsic
    def finish(typing_context: Any, target: Any, offset: Any, stride: Any, coefficients: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target, offset, stride, coefficients, index = arguments
            start = pointer(context, builder, signature.args[0], target, offset)
            block = _inverse(builder, pointer(context, builder, signature.args[3], coefficients, index))
            for row, values in enumerate(block):
                address = _row_address(builder, start, stride, row)
                if is_chroma:  # every second byte is of this plane
                    old = load_vector(builder, address, 16)
                    spread = shuffle(builder, builder.trunc(values, _SHORTS), splat(_SHORTS, 0), _EVERY_SECOND)
                    if adds:
                        spread = builder.add(spread, builder.zext(old, _WIDE_SHORTS))
                    new = builder.trunc(clip(builder, spread, 0, 255), _WIDE_BYTES)
                    store_vector(builder, address, shuffle(builder, new, old, _KEEP_BETWEEN))
                else:
                    if adds:
                        values = builder.add(values, builder.zext(load_vector(builder, address, 8), _INTS))
                    store_vector(builder, address, builder.trunc(clip(builder, values, 0, 255), _BYTES))
            return context.get_dummy_value()

        return types.void(target, *[types.int64] * 2, coefficients, types.int64), generate

    lanes = 16 if is_chroma else 8

    def spans(target: Any, offset: int, stride: int, coefficients: Any, index: int) -> None:
        require(target, offset, 7 * stride + lanes)
        require(coefficients, index, 64)

    return guarded(finish, spans)


def _constant(adds: bool, is_chroma: bool) -> Any:
    """`finish(target, offset, stride, value)`: the same for a block that is one value everywhere."""
    bytes_type, shorts_type = (_WIDE_BYTES, _WIDE_SHORTS) if is_chroma else (_BYTES, _SHORTS)
    lanes = bytes_type.count

    @intrinsic
    def finish(typing_context: Any, target: Any, offset: Any, stride: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target, offset, stride, value = arguments
            start = pointer(context, builder, signature.args[0], target, offset)
            zeros = splat(shorts_type, 0)
            one = builder.insert_element(zeros, builder.trunc(value, I16), I32(0))
            other_lane = lanes if is_chroma else 0  # a zero, or the value
            values = shuffle(builder, one, zeros, [other_lane * (lane % 2) for lane in range(lanes)])
            for row in range(8):
                address = _row_address(builder, start, stride, row)
                old = load_vector(builder, address, lanes)
                total = builder.add(values, builder.zext(old, shorts_type)) if adds else values
                new = builder.trunc(clip(builder, total, 0, 255), bytes_type)
                if is_chroma:
                    new = shuffle(builder, new, old, _KEEP_BETWEEN)
                store_vector(builder, address, new)
            return context.get_dummy_value()

        return types.void(target, *[types.int64] * 3), generate

    def spans(target: Any, offset: int, stride: int, value: int) -> None:
        require(target, offset, 7 * stride + lanes)

    return guarded(finish, spans)


@inlined
def flat_value(dc: int) -> int:
    """What the transform makes of a block of which only the first coefficient is there, everywhere."""
    return _W4 * (8 * dc + _COLUMN_ROUNDING) >> _COLUMN_SHIFT


# [is_chroma] each: differences are added to a prediction, intra samples are put where they belong.
ADD_BLOCK, PUT_BLOCK = [_block(True, chroma) for chroma in (False, True)], [_block(False, c) for c in (False, True)]
ADD_FLAT, PUT_FLAT = [_constant(True, chroma) for chroma in (False, True)], [_constant(False, c) for c in (False, True)]
