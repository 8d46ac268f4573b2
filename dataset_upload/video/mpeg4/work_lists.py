"""What a row of macroblocks needs done, sorted by kind, and the doing of it.

Parsing only notes for each block what is to be done to it. At the end of the row each list runs in a loop of its own.
So no branch is mispredicted on the way from one kind of block to the next, and the kernels' code stays where it is.

A job is two numbers: where in the picture, and from where in the reference, or with which value, or which block of
coefficients.
"""

from __future__ import annotations

from typing import Any

from dataset_upload.video.kernels import inlined, kernel
from dataset_upload.video.memory import load, store
from dataset_upload.video.mpeg4 import motion, transform

# Kinds of jobs. Those of motion have four each, by the half of a sample; the others two, for luma and chroma.
MOVE_LUMA_16, MOVE_LUMA_8, MOVE_CHROMA, ADD_FLAT, ADD_BLOCK, PUT_FLAT, PUT_BLOCK = 0, 4, 8, 12, 14, 16, 18
NUM_KINDS = 20
NUM_BLOCKS = 20  # behind the ends of the lists: how many blocks of coefficients are in use
NUM_ENDS = 21

JOBS_PER_MACROBLOCK = 4  # of one kind, at most


@kernel
def clear(ends: Any, capacity: int) -> None:
    """Empty the lists; each has room for `capacity` jobs."""
    for kind in range(NUM_KINDS):
        store(ends, kind, 2 * capacity * kind)
    store(ends, NUM_BLOCKS, 0)


@inlined
def note(lists: Any, ends: Any, kind: int, where: int, what: int) -> None:
    """Append a job to its list."""
    end = load(ends, kind)
    store(lists, end, where)
    store(lists, end + 1, what)
    store(ends, kind, end + 2)


def _moves(predictions: tuple[Any, ...], kind: int) -> Any:
    whole, half_x, half_y, half_xy = predictions

    @kernel
    def run(target: Any, reference: Any, lists: Any, ends: Any, capacity: int, stride: int) -> None:
        for job in range(2 * capacity * (kind + motion.WHOLE), load(ends, kind + motion.WHOLE), 2):
            where, source = load(lists, job), load(lists, job + 1)
            whole(target, where, stride, reference, source, stride)
        for job in range(2 * capacity * (kind + motion.HALF_X), load(ends, kind + motion.HALF_X), 2):
            where, source = load(lists, job), load(lists, job + 1)
            half_x(target, where, stride, reference, source, stride)
        for job in range(2 * capacity * (kind + motion.HALF_Y), load(ends, kind + motion.HALF_Y), 2):
            where, source = load(lists, job), load(lists, job + 1)
            half_y(target, where, stride, reference, source, stride)
        for job in range(2 * capacity * (kind + motion.HALF_XY), load(ends, kind + motion.HALF_XY), 2):
            where, source = load(lists, job), load(lists, job + 1)
            half_xy(target, where, stride, reference, source, stride)

    return run


def _residuals(flats: list[Any], flat_kind: int, blocks: list[Any], block_kind: int) -> Any:
    flat_luma, flat_chroma, block_luma, block_chroma = *flats, *blocks

    @kernel
    def run(target: Any, coefficients: Any, lists: Any, ends: Any, capacity: int, stride: int) -> None:
        for job in range(2 * capacity * flat_kind, load(ends, flat_kind), 2):
            where, dc = load(lists, job), load(lists, job + 1)
            flat_luma(target, where, stride, transform.flat_value(dc))
        for job in range(2 * capacity * (flat_kind + 1), load(ends, flat_kind + 1), 2):
            where, dc = load(lists, job), load(lists, job + 1)
            flat_chroma(target, where, stride, transform.flat_value(dc))
        for job in range(2 * capacity * block_kind, load(ends, block_kind), 2):
            where, block = load(lists, job), load(lists, job + 1)
            block_luma(target, where, stride, coefficients, block)
        for job in range(2 * capacity * (block_kind + 1), load(ends, block_kind + 1), 2):
            where, block = load(lists, job), load(lists, job + 1)
            block_chroma(target, where, stride, coefficients, block)

    return run


_up_luma_16, _down_luma_16 = _moves(motion.LUMA_16[:4], MOVE_LUMA_16), _moves(motion.LUMA_16[4:], MOVE_LUMA_16)
_up_luma_8, _down_luma_8 = _moves(motion.LUMA_8[:4], MOVE_LUMA_8), _moves(motion.LUMA_8[4:], MOVE_LUMA_8)
_up_chroma, _down_chroma = _moves(motion.CHROMA[:4], MOVE_CHROMA), _moves(motion.CHROMA[4:], MOVE_CHROMA)
_add = _residuals(transform.ADD_FLAT, ADD_FLAT, transform.ADD_BLOCK, ADD_BLOCK)
_put = _residuals(transform.PUT_FLAT, PUT_FLAT, transform.PUT_BLOCK, PUT_BLOCK)


@kernel
def do_all(
    target: Any,
    reference: Any,
    coefficients: Any,
    lists: Any,
    ends: Any,
    capacity: int,
    stride: int,
    rounds_down: int,
) -> None:
    """Do what the lists say, and empty them."""
    if rounds_down:
        _down_luma_16(target, reference, lists, ends, capacity, stride)
        _down_luma_8(target, reference, lists, ends, capacity, stride)
        _down_chroma(target, reference, lists, ends, capacity, stride)
    else:
        _up_luma_16(target, reference, lists, ends, capacity, stride)
        _up_luma_8(target, reference, lists, ends, capacity, stride)
        _up_chroma(target, reference, lists, ends, capacity, stride)
    _add(target, coefficients, lists, ends, capacity, stride)
    _put(target, coefficients, lists, ends, capacity, stride)
    clear(ends, capacity)
