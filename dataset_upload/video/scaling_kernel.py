"""Averaging as machine code: what `scaling.shrink` calls where there is Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from dataset_upload.video.kernels import entry_point, inlined
from dataset_upload.video.memory import I32, guarded, load_vector, pointer, require, shuffle, store_vector

LANES = 16  # sums of 32 bits in a vector; each target column has a multiple of so many weights
TOGETHER = 4  # target columns
MAX_PIXELS = 2**23  # of a plane: up to here every sum fits into 32 bits, and the last division is exact

_SHIFT = 55

_uint32, _uint64 = np.uint32, np.uint64


def _make_dot_products(step: int) -> Any:
    """dot_products(totals, x, sums, offsets, weights, start, distance): for each of the TOGETHER numbers k, add to
    totals[x + k] the sum of sums[offsets[k] + step * i] * weights[start + k * distance + i] over all i < LANES."""

    def dot_products(
        typing_context: Any, totals: Any, x: Any, sums: Any, offsets: Any, weights: Any, start: Any, distance: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def address(number: int, offset: Any) -> Any:
                return pointer(context, builder, signature.args[number], arguments[number], offset)

            products = []
            weights_at = arguments[5]
            for number in range(TOGETHER):
                offset = builder.extract_value(arguments[3], number)
                values = load_vector(builder, address(2, offset), step * LANES, I32)
                values = shuffle(builder, values, values, list(range(0, step * LANES, step)))
                products.append(builder.mul(values, load_vector(builder, address(4, weights_at), LANES, I32)))
                weights_at = builder.add(weights_at, arguments[6])
            pairs = [_halve(builder, products[:2], 2), _halve(builder, products[2:], 2)]
            total = _halve(builder, pairs, TOGETHER)
            while total.type.count > TOGETHER:
                total = _halve(builder, [total], TOGETHER)
            at = address(0, arguments[1])
            store_vector(builder, at, builder.add(load_vector(builder, at, TOGETHER, I32), total))
            return context.get_dummy_value()

        offset_types: Any = types.UniTuple(types.int64, TOGETHER)
        return types.void(totals, types.int64, sums, offset_types, weights, types.int64, types.int64), generate

    def spans(totals: Any, x: Any, sums: Any, offsets: Any, weights: Any, start: Any, distance: Any) -> None:
        require(totals, x, TOGETHER)
        for number in range(TOGETHER):
            require(sums, offsets[number], step * LANES)
            require(weights, start + number * distance, LANES)

    return guarded(intrinsic(dot_products), spans)


def _halve(builder: Any, vectors: list[Any], sums: int) -> Any:
    """One vector of sums that have half as many parts, which lie side by side, as those in one or two vectors."""
    lanes = np.arange(sum(vector.type.count for vector in vectors)).reshape(sums, 2, -1)
    halves = (shuffle(builder, vectors[0], vectors[-1], lanes[:, half].ravel().tolist()) for half in (0, 1))
    return builder.add(*halves)


_dot_products, _dot_products_of_every_second = _make_dot_products(1), _make_dot_products(2)


@inlined
def _inner_row(source: Any, stride: int, row: int, last: int, zeros: Any) -> Any:
    return source[row * stride :][: len(zeros)] if row < last else zeros


@entry_point
def shrink(
    source: NDArray[np.uint8],
    stride: int,
    step: int,
    width: int,
    height: int,
    first_rows: NDArray[np.int64],
    last_rows: NDArray[np.int64],
    row_weights: NDArray[np.uint32],
    zeros: NDArray[np.uint8],
    first_columns: NDArray[np.int64],
    column_weights: NDArray[np.uint32],
    target_width: int,
    target: NDArray[np.uint8],
    target_stride: int,
    second_target: NDArray[np.uint8],
    second_stride: int,
) -> None:
    """Shrink one plane, or two whose samples alternate; `scaling` tells what the weights are.

    Args:
        source: (height - 1) * stride + step * width bytes.
        step: bytes from a sample to the next; 2: the second plane's samples lie between those of the first.
        width, height: of a plane.
        zeros: step * width of them.
        first_columns: a multiple of TOGETHER; those beyond `target_width` have no weight.
        column_weights: for each of these columns as many, a multiple of LANES.
        target, second_target: memory of the results; the second is left alone where there is one plane only.
    """
    length = step * width
    num_weights = len(column_weights) // len(first_columns)
    # The sums over the height of one target row. Behind them lie weights of zero only.
    sums = np.zeros(step * (width + num_weights), np.uint32)
    totals = np.zeros(len(first_columns), np.uint32)
    half = _uint64(width * height // 2)
    reciprocal = _uint64(((1 << _SHIFT) + width * height - 1) // (width * height))
    for y in range(len(first_rows)):
        # Numbers of 32 bits throughout: Numba would widen them, and half as many would fit into a vector.
        first, last = first_rows[y], last_rows[y]
        of_first, of_inner, of_last = row_weights[y, 0], row_weights[y, 1], row_weights[y, 2]
        top, bottom = source[first * stride :][:length], source[last * stride :][:length]
        for x in range(length):
            sums[x] = _uint32(_uint32(top[x]) * of_first) + _uint32(_uint32(bottom[x]) * of_last)
        for row in range(first + 1, last, 4):
            row_0 = _inner_row(source, stride, row, last, zeros)
            row_1 = _inner_row(source, stride, row + 1, last, zeros)
            row_2 = _inner_row(source, stride, row + 2, last, zeros)
            row_3 = _inner_row(source, stride, row + 3, last, zeros)
            for x in range(length):
                inner = _uint32(row_0[x]) + _uint32(row_1[x]) + _uint32(row_2[x]) + _uint32(row_3[x])
                sums[x] += _uint32(_uint32(inner) * of_inner)
        for part in range(step):
            totals[:] = 0
            for x in range(0, len(first_columns), TOGETHER):
                for k in range(0, num_weights, LANES):
                    c0, c1 = first_columns[x] + k, first_columns[x + 1] + k
                    c2, c3 = first_columns[x + 2] + k, first_columns[x + 3] + k
                    weights = x * num_weights + k
                    if step == 1:
                        _dot_products(totals, x, sums, (c0, c1, c2, c3), column_weights, weights, num_weights)
                    else:
                        pairs = (2 * c0 + part, 2 * c1 + part, 2 * c2 + part, 2 * c3 + part)
                        _dot_products_of_every_second(totals, x, sums, pairs, column_weights, weights, num_weights)
            if part == 0:
                out = target[y * target_stride :][:target_width]
            else:
                out = second_target[y * second_stride :][:target_width]
            for x in range(target_width):
                out[x] = ((_uint64(totals[x]) + half) * reciprocal) >> _uint64(_SHIFT)
