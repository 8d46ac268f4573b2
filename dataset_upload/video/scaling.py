"""Pictures to a smaller size by averaging.

Each sample of the result is the average of the area of the source that it covers, a source sample that lies across the
border of two areas counting for each by its share. All is counted in integers: n source samples in a row go to m target
samples, so one source sample is m units long and a target sample n units. Hence the weights of a target sample sum to
exactly n in each direction, and each result is the true average, rounded once.

There are two ways to the same bytes: machine code that Numba makes, and NumPy where Numba is not available.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_upload.video.picture import Picture

Plane = NDArray[np.uint8]


def shrink(source: Picture, target: Picture) -> None:
    """Write `source` into the samples of `target`, which is as large or smaller, in both directions."""
    kernel = _kernel()
    if kernel is None or source.y.size > kernel.MAX_PIXELS:
        for plane, smaller in ((source.y, target.y), (source.u, target.u), (source.v, target.v)):
            shrink_with_numpy(plane, smaller)
        return
    kernel.shrink(*_arguments(kernel, source.y, target.y))
    if _are_interleaved(source.u, source.v):
        kernel.shrink(*_arguments(kernel, source.u, target.u, target.v))
    else:
        kernel.shrink(*_arguments(kernel, np.ascontiguousarray(source.u), target.u))
        kernel.shrink(*_arguments(kernel, np.ascontiguousarray(source.v), target.v))


def shrink_with_numpy(source: Plane, target: Plane) -> None:
    """Write a plane into the samples of a smaller one."""
    (height, width), (target_height, target_width) = source.shape, target.shape
    rows = _shares(height, target_height)
    sums = np.empty((target_height, width + 1), np.uint32)  # of each column, over a target sample's height
    sums[:, -1] = 0
    for y, (first, last) in enumerate(zip(rows.first, rows.last, strict=True)):
        np.add.reduce(source[first + 1 : last], axis=0, dtype=np.uint32, out=sums[y, :-1])
    sums[:, :-1] *= rows.weights[:, 1:2]
    sums[:, :-1] += source[rows.first] * rows.weights[:, 0:1]
    sums[:, :-1] += source[rows.last] * rows.weights[:, 2:3]
    up_to = np.zeros(sums.shape, np.int64)  # sums of all columns before
    np.cumsum(sums[:, :-1], axis=1, out=up_to[:, 1:])
    whole, rest = np.divmod(np.arange(target_width + 1) * width, target_width)  # the borders between target samples
    up_to_border = up_to[:, whole] * target_width + sums[:, whole] * rest
    target[:] = (np.diff(up_to_border) + source.size // 2) // source.size


@cache
def _kernel() -> Any:
    """The module with the machine code, compiled; None where Numba is not available."""
    try:
        from dataset_upload.video import kernels, scaling_kernel

        sample = np.zeros((1, 1), np.uint8)
        kernels.first_call(scaling_kernel.shrink, *_arguments(scaling_kernel, sample, sample))
    except Exception:  # a missing library, another version of it, a processor that it does not know
        return None
    return scaling_kernel


def _arguments(kernel: Any, source: Plane, target: Plane, second_target: Plane | None = None) -> tuple[Any, ...]:
    """What shrinks a plane, or two whose samples alternate, `source` being the first of them."""
    (height, width), (target_height, target_width) = source.shape, target.shape
    step = 1 if second_target is None else 2
    rows = _shares(height, target_height)
    return (
        _bytes(source, (height - 1) * source.strides[0] + step * width, writeable=False),
        source.strides[0],
        step,
        width,
        height,
        rows.first,
        rows.last,
        rows.weights,
        _zeros(step * width),
        *_column_weights(width, target_width, kernel.TOGETHER, kernel.LANES),
        target_width,
        *_target(target),
        *_target(target if second_target is None else second_target),
    )


def _target(plane: Plane) -> tuple[Plane, int]:
    stride = plane.strides[0]
    return _bytes(plane, (plane.shape[0] - 1) * stride + plane.shape[1], writeable=True), stride


def _bytes(plane: Plane, length: int, *, writeable: bool) -> Plane:
    """The memory from a plane's first sample on."""
    return np.lib.stride_tricks.as_strided(plane, (length,), (1,), writeable=writeable)


def _are_interleaved(u: Plane, v: Plane) -> bool:
    return u.strides == v.strides and u.strides[1] == 2 and v.ctypes.data - u.ctypes.data == 1


class _Shares(NamedTuple):
    """Which samples along one axis each of m target samples covers."""

    first: NDArray[np.int64]  # (m,)
    last: NDArray[np.int64]  # (m,)
    weights: NDArray[np.uint32]  # (m, 3): of the first, of each between the first and the last, of the last


@lru_cache(maxsize=16)
def _shares(source: int, target: int) -> _Shares:
    borders = np.arange(target + 1) * source  # in units of which a source sample has `target`
    first, last = borders[:-1] // target, (borders[1:] - 1) // target
    of_first = np.minimum(borders[1:], (first + 1) * target) - borders[:-1]
    of_last = np.where(last > first, borders[1:] - last * target, 0)
    weights = np.stack([of_first, np.full(target, target), of_last], axis=1)
    return _Shares(first, last, weights.astype(np.uint32))


@lru_cache(maxsize=16)
def _column_weights(
    source: int, target: int, column_multiple: int, weight_multiple: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Each target sample's first source sample, and the weights of that one and those behind it, equally many for all.

    Both numbers are rounded up to the multiples; what is more has no weight.
    """
    first, last, weights = _shares(source, target)
    columns = -(-target // column_multiple) * column_multiple
    most = int((last - first).max()) + 1
    starts = np.zeros(columns, np.int64)
    starts[:target] = first
    by_column = np.zeros((columns, -(-most // weight_multiple) * weight_multiple), np.uint32)
    for column, (count, (of_first, of_inner, of_last)) in enumerate(zip(last - first, weights, strict=True)):
        by_column[column, 1:count] = of_inner
        by_column[column, count] = of_last
        by_column[column, 0] = of_first
    return starts, by_column.ravel()


@lru_cache(maxsize=16)
def _zeros(length: int) -> Plane:
    zeros = np.zeros(length, np.uint8)
    zeros.setflags(write=False)
    return zeros
