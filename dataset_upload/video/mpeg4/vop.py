"""One picture from one packet: macroblock after macroblock is parsed into work lists, which are done row by row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_upload.video.kernels import entry_point, inlined
from dataset_upload.video.memory import borrow, load, load_bits, shift_right, store
from dataset_upload.video.mpeg4 import tables, work_lists
from dataset_upload.video.mpeg4.blocks import read_differences, read_intra
from dataset_upload.video.mpeg4.frames import Layout, Workspace
from dataset_upload.video.mpeg4.macroblock_headers import read_header
from dataset_upload.video.mpeg4.prediction import NO_VECTOR, read_vector_part
from dataset_upload.video.mpeg4.tables import INTER_4V, INTER_Q, INTRA, INTRA_Q, SKIPPED, STUFFING
from dataset_upload.video.mpeg4.vectors import move_blocks, move_macroblock, predicted
from dataset_upload.video.mpeg4.video_packets import is_end, read_packet_header
from dataset_upload.video.mpeg4.work_lists import MOVE_CHROMA, MOVE_LUMA_16, note

_DQUANT = tables.DQUANT

# What `decode_vop` returns.
DONE, REFUSED, WANTS_LEVELS = range(3)


class Vop(NamedTuple):
    """The header of a picture, as the macroblocks need it."""

    first_bit: int  # of the macroblocks, in the packet
    end: int  # of the packet, in bits
    is_inter: int
    rounds_down: int  # rounding_type
    dc_threshold: int  # from which quantiser on DC coefficients are coded like the others
    quantiser: int
    fcode: int
    marker_zeros: int  # zeros that a resync marker begins with; 0: the stream has none
    number_bits: int  # of a macroblock's number behind a marker
    time_bits: int  # of vop_time_increment behind a marker


@inlined
def _changed(quantiser: int, packet: Any, position: int) -> int:
    """The quantiser after dquant."""
    return min(max(quantiser + load(_DQUANT, shift_right(load_bits(packet, position), 62)), 1), 31)


@entry_point
def decode_vop(
    packet_bytes: NDArray[np.uint8],
    vop: Vop,
    layout: Layout,
    target_buffer: NDArray[np.uint8],
    reference_buffer: NDArray[np.uint8],
    workspace: Workspace,
    keeps_levels: int,
) -> int:
    """Decode a packet's picture.

    Args:
        packet_bytes: with PADDING zeros behind it.
        target_buffer: the picture's.
        reference_buffer: that of the picture that it is predicted from.
        keeps_levels: whether the levels of intra blocks are kept, for AC prediction.

    Returns:
        DONE; REFUSED: there is something here that FFmpeg must look at; WANTS_LEVELS: it works with `keeps_levels`.
        Unless DONE, `workspace.coefficients` must be zeroed before the next call.
    """
    columns, rows, stride = layout.columns, layout.rows, layout.stride
    capacity = work_lists.JOBS_PER_MACROBLOCK * columns
    packet, target, reference = borrow(packet_bytes), borrow(target_buffer), borrow(reference_buffer)
    vectors, left, quantisers = borrow(workspace.vectors), borrow(workspace.left), borrow(workspace.quantisers)
    work = Workspace(
        vectors,
        left,
        quantisers,
        borrow(workspace.dc),
        borrow(workspace.ac),
        borrow(workspace.coefficients),
        borrow(workspace.lists),
        borrow(workspace.ends),
        borrow(workspace.scratch),
    )
    for index in range(workspace.vectors.size):
        store(vectors, index, 0)
    for index in range(workspace.quantisers.size):
        store(quantisers, index, 0)
    work_lists.clear(work.ends, capacity)
    position, quantiser = vop.first_bit, vop.quantiser
    start = 0  # the first macroblock of the video packet
    for row in range(rows):
        for index in range(4):
            store(left, index, 0)
        for column in range(columns):
            number = row * columns + column
            if vop.marker_zeros and number:
                position, changed = read_packet_header(packet, position, number, vop)
                if position < 0:
                    return REFUSED
                if changed >= 0:
                    quantiser = changed if changed else quantiser
                    start = number
                    for index in range(4):
                        store(left, index, 0)
                    # Nothing before the marker predicts anything after it.
                    here = (row + 1) * (columns + 1) + column + 1
                    for index in range(here - columns - 2, here):
                        store(work.quantisers, index, 0)
            kind = STUFFING
            pattern = predicts_ac = 0
            while kind == STUFFING:
                if position > vop.end:
                    return REFUSED
                position, kind, pattern, predicts_ac = read_header(packet, position, vop.is_inter)
                if position < 0:
                    return REFUSED
            luma = 16 * row * stride + 16 * column
            chroma = layout.chroma + 8 * row * stride + 16 * column
            above = 4 * column
            if kind == SKIPPED:
                note(work.lists, work.ends, MOVE_LUMA_16, luma, luma)
                note(work.lists, work.ends, MOVE_CHROMA, chroma, chroma)
                for index in range(4):
                    store(left, index, 0)
                    store(vectors, above + index, 0)
                continue
            is_coded_as_dc = 1 if quantiser < vop.dc_threshold else 0
            if kind in (INTER_Q, INTRA_Q):
                quantiser = _changed(quantiser, packet, position)
                position += 2
            if kind >= INTRA:
                if not keeps_levels and (predicts_ac or not is_coded_as_dc):
                    return WANTS_LEVELS
                for index in range(4):
                    store(left, index, 0)
                    store(vectors, above + index, 0)
                position = read_intra(
                    packet,
                    position,
                    pattern,
                    predicts_ac,
                    is_coded_as_dc,
                    quantiser,
                    row,
                    column,
                    luma,
                    chroma,
                    layout,
                    work,
                    keeps_levels,
                )
                if position < 0:
                    return REFUSED
                continue
            if kind == INTER_4V:
                position = move_blocks(
                    packet,
                    position,
                    row,
                    column,
                    start,
                    left,
                    luma,
                    chroma,
                    vop,
                    layout,
                    work,
                    target,
                    reference,
                )
                if position < 0:
                    return REFUSED
            else:
                x = predicted(
                    load(left, 0), column, number, start, columns, load(vectors, above), load(vectors, above + 4)
                )
                y = predicted(
                    load(left, 1), column, number, start, columns, load(vectors, above + 1), load(vectors, above + 5)
                )
                position, x = read_vector_part(packet, position, x, vop.fcode)
                position, y = read_vector_part(packet, position, y, vop.fcode)
                if x == NO_VECTOR or y == NO_VECTOR:
                    return REFUSED
                for index in range(0, 4, 2):
                    store(left, index, x)
                    store(left, index + 1, y)
                    store(vectors, above + index, x)
                    store(vectors, above + index + 1, y)
                move_macroblock(x, y, row, column, luma, chroma, vop.rounds_down, layout, work, target, reference)
            if pattern:
                position = read_differences(packet, position, pattern, quantiser, luma, chroma, layout, work)
                if position < 0:
                    return REFUSED
        work_lists.do_all(
            target, reference, work.coefficients, work.lists, work.ends, capacity, stride, vop.rounds_down
        )
    return DONE if is_end(packet, position, vop) else REFUSED
