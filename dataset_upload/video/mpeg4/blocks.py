"""The coefficients of a macroblock's six blocks: read, and noted for reconstruction."""

from __future__ import annotations

from typing import Any

from dataset_upload.video.kernels import inlined
from dataset_upload.video.memory import load, store
from dataset_upload.video.mpeg4.coefficients import FAILED, MAX_COEFFICIENT, read_block
from dataset_upload.video.mpeg4.prediction import finish_levels, keep_dc, read_dc
from dataset_upload.video.mpeg4.work_lists import ADD_BLOCK, ADD_FLAT, NUM_BLOCKS, PUT_BLOCK, PUT_FLAT, note


@inlined
def _place_of(n: int, luma: int, chroma: int, stride: int) -> int:
    """Where block n of a macroblock begins, in the buffer."""
    return luma + (n & 1) * 8 + (n >> 1) * 8 * stride if n < 4 else chroma + n - 4


@inlined
def read_intra(
    packet: Any,
    position: int,
    pattern: int,
    predicts_ac: int,
    is_coded_as_dc: int,
    quantiser: int,
    row: int,
    column: int,
    luma: int,
    chroma: int,
    layout: Any,
    work: Any,
    keeps_levels: int,
) -> int:
    """Note the blocks of an intra macroblock; returns the position after it, or FAILED."""
    columns = layout.columns
    here = (row + 1) * (columns + 1) + column + 1
    quantiser_a = load(work.quantisers, here - 1)
    quantiser_c = load(work.quantisers, here - columns - 1)
    neighbours = (1 if quantiser_a else 0) | (4 if quantiser_c else 0)
    if load(work.quantisers, here - columns - 2):
        neighbours |= 2
    store(work.quantisers, here, quantiser)
    num_macroblocks = columns * layout.rows
    for n in range(6):
        is_chroma = n >> 2
        if is_chroma:
            row_length = columns
            place = n * num_macroblocks + row * columns + column
        else:
            row_length = 2 * columns
            place = (2 * row + (n >> 1)) * row_length + 2 * column + (n & 1)
        position, level, is_from_above = read_dc(
            packet, position, n, is_coded_as_dc, neighbours, quantiser, work.dc, place, row_length
        )
        if position < 0:
            return FAILED
        block = load(work.ends, NUM_BLOCKS) * 64
        scan, factor, offset = 0, 2 * quantiser, (quantiser - 1) | 1
        if keeps_levels:
            factor, offset = 1, 0
            if predicts_ac:
                scan = 2 - is_from_above
        places = 0
        if (pattern >> (5 - n)) & 1:
            position, places = read_block(
                packet, position, work.coefficients, block, is_coded_as_dc, 1, scan, factor, offset
            )
            if places < 0:
                return FAILED
        if keeps_levels:
            if not is_coded_as_dc:
                level += load(work.coefficients, block)
            neighbour_quantiser = quantiser
            if is_from_above and n != 2 and n != 3:
                neighbour_quantiser = quantiser_c
            elif not is_from_above and n != 1 and n != 3:
                neighbour_quantiser = quantiser_a
            places = finish_levels(
                work.coefficients,
                block,
                quantiser,
                predicts_ac,
                is_from_above,
                neighbour_quantiser,
                work.ac,
                place,
                row_length,
            )
            if places < 0:
                return FAILED
        value = keep_dc(n, level, quantiser, work.dc, place)
        if abs(value) > MAX_COEFFICIENT:
            return FAILED
        where = _place_of(n, luma, chroma, layout.stride)
        if places == 0:
            store(work.coefficients, block, 0)
            note(work.lists, work.ends, PUT_FLAT + is_chroma, where, value)
        else:
            store(work.coefficients, block, value)
            note(work.lists, work.ends, PUT_BLOCK + is_chroma, where, block)
            store(work.ends, NUM_BLOCKS, (block >> 6) + 1)
    return position


@inlined
def read_differences(
    packet: Any, position: int, pattern: int, quantiser: int, luma: int, chroma: int, layout: Any, work: Any
) -> int:
    """Note what is added to the prediction of an inter macroblock; returns the position after it, or FAILED."""
    for n in range(6):
        if (pattern >> (5 - n)) & 1:
            block = load(work.ends, NUM_BLOCKS) * 64
            position, places = read_block(
                packet, position, work.coefficients, block, 0, 0, 0, 2 * quantiser, (quantiser - 1) | 1
            )
            if places < 0:
                return FAILED
            where = _place_of(n, luma, chroma, layout.stride)
            is_chroma = n >> 2
            if places == 0:
                note(work.lists, work.ends, ADD_FLAT + is_chroma, where, load(work.coefficients, block))
                store(work.coefficients, block, 0)
            else:
                note(work.lists, work.ends, ADD_BLOCK + is_chroma, where, block)
                store(work.ends, NUM_BLOCKS, (block >> 6) + 1)
    return position
