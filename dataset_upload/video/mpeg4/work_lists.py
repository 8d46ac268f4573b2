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
NUM_BLOCKS = 20  # behind the kinds' numbers of jobs: how many blocks of coefficients are in use
NUM_COUNTS = 21

JOBS_PER_MACROBLOCK = 4  # of one kind, at most


@inlined
def note(lists: Any, counts: Any, capacity: int, kind: int, where: int, what: int) -> None:
    """Append a job to its list."""
    count = load(counts, kind)
    job = 2 * (kind * capacity + count)
    store(lists, job, where)
    store(lists, job + 1, what)
    store(counts, kind, count + 1)


@inlined
def _job(lists: Any, counts: Any, capacity: int, kind: int, number: int) -> tuple[int, int]:
    job = 2 * (kind * capacity + number)
    return load(lists, job), load(lists, job + 1)


def _moves(predictions: tuple[Any, ...], kind: int) -> Any:
    whole, half_x, half_y, half_xy = predictions

    @kernel
    def run(target: Any, reference: Any, lists: Any, counts: Any, capacity: int, stride: int) -> None:
        for number in range(load(counts, kind + motion.WHOLE)):
            where, source = _job(lists, counts, capacity, kind + motion.WHOLE, number)
            whole(target, where, stride, reference, source, stride)
        for number in range(load(counts, kind + motion.HALF_X)):
            where, source = _job(lists, counts, capacity, kind + motion.HALF_X, number)
            half_x(target, where, stride, reference, source, stride)
        for number in range(load(counts, kind + motion.HALF_Y)):
            where, source = _job(lists, counts, capacity, kind + motion.HALF_Y, number)
            half_y(target, where, stride, reference, source, stride)
        for number in range(load(counts, kind + motion.HALF_XY)):
            where, source = _job(lists, counts, capacity, kind + motion.HALF_XY, number)
            half_xy(target, where, stride, reference, source, stride)

    return run


def _residuals(flats: list[Any], flat_kind: int, blocks: list[Any], block_kind: int) -> Any:
    flat_luma, flat_chroma, block_luma, block_chroma = *flats, *blocks

    @kernel
    def run(target: Any, coefficients: Any, lists: Any, counts: Any, capacity: int, stride: int) -> None:
        for number in range(load(counts, flat_kind)):
            where, dc = _job(lists, counts, capacity, flat_kind, number)
            flat_luma(target, where, stride, transform.flat_value(dc))
        for number in range(load(counts, flat_kind + 1)):
            where, dc = _job(lists, counts, capacity, flat_kind + 1, number)
            flat_chroma(target, where, stride, transform.flat_value(dc))
        for number in range(load(counts, block_kind)):
            where, block = _job(lists, counts, capacity, block_kind, number)
            block_luma(target, where, stride, coefficients, block)
        for number in range(load(counts, block_kind + 1)):
            where, block = _job(lists, counts, capacity, block_kind + 1, number)
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
    counts: Any,
    capacity: int,
    stride: int,
    rounds_down: int,
) -> None:
    """Do what the lists say, and empty them."""
    if rounds_down:
        _down_luma_16(target, reference, lists, counts, capacity, stride)
        _down_luma_8(target, reference, lists, counts, capacity, stride)
        _down_chroma(target, reference, lists, counts, capacity, stride)
    else:
        _up_luma_16(target, reference, lists, counts, capacity, stride)
        _up_luma_8(target, reference, lists, counts, capacity, stride)
        _up_chroma(target, reference, lists, counts, capacity, stride)
    _add(target, coefficients, lists, counts, capacity, stride)
    _put(target, coefficients, lists, counts, capacity, stride)
    for kind in range(NUM_COUNTS):
        store(counts, kind, 0)
