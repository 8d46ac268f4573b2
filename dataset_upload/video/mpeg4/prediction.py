"""What a block's neighbours say about it: motion vectors (clause 7.6.5), DC and AC coefficients (clause 7.4.3).

The neighbours of a block or macroblock X are named as in the standard:

    B C
    A X
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_upload.video.kernels import inlined, kernel
from dataset_upload.video.memory import load, load_bits, shift_right, store
from dataset_upload.video.mpeg4 import tables
from dataset_upload.video.mpeg4.coefficients import FAILED, MAX_COEFFICIENT
from dataset_upload.video.mpeg4.tables import DC_SIZE_BITS, MVD_BITS, SHORT_MVD_BITS

_MVD, _SHORT_MVD, _DC_SIZE, _DC_SCALER, _RECIPROCAL = (
    tables.MVD,
    tables.SHORT_MVD,
    tables.DC_SIZE,
    tables.DC_SCALER,
    tables.RECIPROCAL,
)

NO_VECTOR = 1 << 20  # where a code of a vector is none of the standard's

_UNKNOWN_DC = 1024  # what a neighbour's DC counts as where there is none


def _neighbours() -> NDArray[np.int32]:
    """Which neighbours of block n have a DC coefficient, given which neighbours of its macroblock have them.

    Both as bits 1 (A), 2 (B) and 4 (C). Blocks 0 to 3 are luma, in reading order, 4 and 5 chroma.
    """
    table = np.zeros((6, 8), np.int32)
    for macroblocks in range(8):
        a, b, c = macroblocks & 1, macroblocks >> 1 & 1, macroblocks >> 2
        for n, known in enumerate([(a, b, c), (1, c, c), (a, a, 1), (1, 1, 1), (a, b, c), (a, b, c)]):
            table[n, macroblocks] = sum(bit << shift for shift, bit in enumerate(known))
    return table.reshape(-1)


_NEIGHBOURS = _neighbours()


@inlined
def median(a: int, b: int, c: int) -> int:
    return max(min(a, b), min(max(a, b), c))


@inlined
def read_vector_part(packet: Any, position: int, predicted: int, fcode: int) -> tuple[int, int]:
    """x or y of a motion vector in half samples, and the position after it; NO_VECTOR where there is none."""
    bits = load_bits(packet, position)
    entry = load(_SHORT_MVD, fcode << SHORT_MVD_BITS | shift_right(bits, 64 - SHORT_MVD_BITS))
    length = entry & 255
    if length == 0:
        return _read_long_vector_part(packet, position, predicted, fcode)
    residual_bits = (entry >> 8) & 255
    least = entry >> 16
    sign = least >> 63
    residual = shift_right(shift_right(bits << length, 1), 63 - residual_bits)
    return position + length + residual_bits, _wrapped(predicted + least + ((residual ^ sign) - sign), fcode)


@kernel
def _read_long_vector_part(packet: Any, position: int, predicted: int, fcode: int) -> tuple[int, int]:
    bits = load_bits(packet, position)
    entry = load(_MVD, shift_right(bits, 64 - MVD_BITS))
    length, magnitude = entry & 255, entry >> 8
    if length == 0:
        return position, NO_VECTOR
    bits <<= length
    sign = bits >> 63  # 0 or -1; all long codes have one
    residual = shift_right(shift_right(bits << 1, 1), 64 - fcode)
    difference = ((((magnitude - 1) << (fcode - 1)) + 1 + residual) ^ sign) - sign
    return position + length + fcode, _wrapped(predicted + difference, fcode)


@inlined
def _wrapped(part: int, fcode: int) -> int:
    """Within [-(16 << fcode), 16 << fcode): beyond one end, vectors begin again at the other."""
    return (part << (59 - fcode)) >> (59 - fcode)


@inlined
def read_dc(
    packet: Any,
    position: int,
    n: int,
    is_coded_as_dc: int,
    neighbours: int,
    quantiser: int,
    dc: Any,
    place: int,
    row_length: int,
) -> tuple[int, int, int]:
    """The quantised DC coefficient of intra block n, or what is predicted for it where its code stands elsewhere.

    Args:
        neighbours: which macroblocks are known, as bits 1 (A), 2 (B) and 4 (C).
        dc: the DC coefficients of a plane's blocks, dequantised.
        place: of this block in `dc`, `row_length` after the one above.

    Returns:
        The position after it, the coefficient, and whether block C predicts it rather than A. The position is FAILED
        where there is no code, or one that FFmpeg calls damaged.
    """
    known = load(_NEIGHBOURS, n << 3 | neighbours)
    a = load(dc, place - 1) if known & 1 else _UNKNOWN_DC
    b = load(dc, place - row_length - 1) if known & 2 else _UNKNOWN_DC
    c = load(dc, place - row_length) if known & 4 else _UNKNOWN_DC
    is_from_above = 1 if abs(a - b) < abs(b - c) else 0
    scaler = load(_DC_SCALER, (n >> 2) << 5 | quantiser)
    predicted = ((c if is_from_above else a) + (scaler >> 1)) * load(_RECIPROCAL, scaler) >> 20
    if not is_coded_as_dc:
        return position, predicted, is_from_above
    bits = load_bits(packet, position)
    entry = load(_DC_SIZE, (n >> 2) << DC_SIZE_BITS | shift_right(bits, 64 - DC_SIZE_BITS))
    if entry == 0:
        return FAILED, 0, 0
    length, size = entry & 255, entry >> 8
    bits <<= length
    # A difference is so many bits; those of a negative one are inverted.
    difference = shift_right(shift_right(bits, 1), 63 - size) - (((1 << size) - 1) & ~(bits >> 63))
    position += length + size + (1 if size > 8 else 0)  # a marker bit follows a large one
    level = predicted + difference
    return (FAILED if level < 0 else position), level, is_from_above


@inlined
def keep_dc(n: int, level: int, quantiser: int, dc: Any, place: int) -> int:
    """Dequantise a DC coefficient, and keep it for the blocks that follow, which see it clipped."""
    value = level * load(_DC_SCALER, (n >> 2) << 5 | quantiser)
    store(dc, place, min(max(value, 0), 2047))
    return value


@kernel
def finish_levels(
    coefficients: Any,
    block: int,
    quantiser: int,
    predicts: int,
    is_from_above: int,
    neighbour_quantiser: int,
    ac: Any,
    place: int,
    row_length: int,
) -> int:
    """Predict the first row or column of an intra block's levels, keep both for later blocks, dequantise all of them.

    Args:
        predicts: ac_pred_flag.
        neighbour_quantiser: of the block that would predict; 0 where that has no coefficients.
        ac: for each block of a plane the 8 levels of its first column, then of its first row.

    Returns:
        As `coefficients.read_block` does, FAILED where a coefficient is too large.
    """
    if predicts and neighbour_quantiser:
        neighbour = (place - row_length) * 16 + 8 if is_from_above else (place - 1) * 16
        step = 8 if is_from_above else 1  # blocks are kept column by column
        for k in range(1, 8):
            level = load(ac, neighbour + k)
            if neighbour_quantiser != quantiser:
                level = _rounded_quotient(level * neighbour_quantiser, quantiser)
            store(coefficients, block + k * step, load(coefficients, block + k * step) + level)
    for k in range(1, 8):
        store(ac, place * 16 + k, load(coefficients, block + k))
        store(ac, place * 16 + 8 + k, load(coefficients, block + 8 * k))
    places = 0
    factor, offset = 2 * quantiser, (quantiser - 1) | 1
    for k in range(1, 64):
        level = load(coefficients, block + k)
        if level != 0:
            value = level * factor + (offset if level > 0 else -offset)
            if abs(value) > MAX_COEFFICIENT:
                return FAILED
            store(coefficients, block + k, value)
            places |= k
    return places


@inlined
def _rounded_quotient(dividend: int, divisor: int) -> int:
    """To the nearest integer, halves away from 0."""
    quotient = (abs(dividend) + (divisor >> 1)) // divisor
    return quotient if dividend >= 0 else -quotient
