"""Averaging as machine code: `scaling.shrink` by Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from dataset_upload.video.kernels import entry_point

LANES = 16  # 32-bit sums that are multiplied and added at once; the length of a target pixel's weights is a multiple
MAX_PIXELS = 2**23  # of a plane: up to here every sum fits into 32 bits, and the last division is exact

_SHIFT = 55

_uint32, _uint64 = np.uint32, np.uint64


def _make_dot(step: int) -> Any:
    def dot(_context: Any, sums: Any, sum_offset: Any, weights: Any, weight_offset: Any) -> Any:
        """The sum of sums[sum_offset + step * i] * weights[weight_offset + i] for i < LANES, modulo 2**32."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def load(number: int, length: int) -> Any:
                array = context.make_array(signature.args[number])(context, builder, arguments[number])
                pointer = builder.gep(array.data, [arguments[number + 1]])
                vector = ir.VectorType(int32, length)
                return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)

            int32 = ir.IntType(32)
            chosen = ir.Constant(ir.VectorType(int32, LANES), list(range(0, step * LANES, step)))
            values = load(0, step * LANES)
            values = builder.shuffle_vector(values, values, chosen)
            name = f"llvm.vector.reduce.add.v{LANES}i32"
            module = builder.module
            add = module.globals.get(name) or ir.Function(module, ir.FunctionType(int32, [chosen.type]), name)
            return builder.call(add, [builder.mul(values, load(2, LANES))])

        return types.uint32(sums, types.int64, weights, types.int64), generate

    return intrinsic(dot)


_dot, _dot_every_second = _make_dot(1), _make_dot(2)


def _shrink(
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
    target: NDArray[np.uint8],
    target_stride: int,
    second_target: NDArray[np.uint8],
    second_stride: int,
) -> None:
    """Shrink one plane, or two whose samples alternate; `scaling` has what the weights are.

    Args:
        source: (height - 1) * stride + step * width bytes.
        step: bytes from a sample to the next; 2: the second plane's samples lie between those of the first.
        width, height: of a plane.
        zeros: step * width of them.
        column_weights: for each target column as many, a multiple of LANES.
        target, second_target: memory of the results; the second is left alone where there is one plane only.
    """
    length = step * width
    target_width = len(first_columns)
    num_weights = len(column_weights) // target_width
    # One target row's sums over its height. Weights beyond a target sample are zero, so what is behind does not count.
    sums = np.zeros(step * (width + num_weights), np.uint32)
    half = _uint64(width * height // 2)
    reciprocal = _uint64(((1 << _SHIFT) + width * height - 1) // (width * height))
    for y in range(len(first_rows)):
        # 32-bit numbers throughout: Numba would widen them, and half as many would fit into a vector.
        first, last = first_rows[y], last_rows[y]
        of_first, of_inner, of_last = row_weights[y, 0], row_weights[y, 1], row_weights[y, 2]
        top, bottom = source[first * stride :][:length], source[last * stride :][:length]
        for x in range(length):
            sums[x] = _uint32(_uint32(top[x]) * of_first) + _uint32(_uint32(bottom[x]) * of_last)
        for row in range(first + 1, last, 4):
            row_0 = source[row * stride :][:length]
            row_1 = source[(row + 1) * stride :][:length] if row + 1 < last else zeros
            row_2 = source[(row + 2) * stride :][:length] if row + 2 < last else zeros
            row_3 = source[(row + 3) * stride :][:length] if row + 3 < last else zeros
            for x in range(length):
                inner = _uint32(row_0[x]) + _uint32(row_1[x]) + _uint32(row_2[x]) + _uint32(row_3[x])
                sums[x] += _uint32(_uint32(inner) * of_inner)
        for x in range(target_width):
            column, weights = first_columns[x], x * num_weights
            if step == 1:
                total = half
                for k in range(0, num_weights, LANES):
                    total += _uint64(_dot(sums, column + k, column_weights, weights + k))
                target[y * target_stride + x] = (total * reciprocal) >> _uint64(_SHIFT)
            else:
                total = second_total = half
                for k in range(0, num_weights, LANES):
                    pair = 2 * (column + k)
                    total += _uint64(_dot_every_second(sums, pair, column_weights, weights + k))
                    second_total += _uint64(_dot_every_second(sums, pair + 1, column_weights, weights + k))
                target[y * target_stride + x] = (total * reciprocal) >> _uint64(_SHIFT)
                second_target[y * second_stride + x] = (second_total * reciprocal) >> _uint64(_SHIFT)


shrink = entry_point(_shrink)
