"""A smaller picture holds averages of the larger one's areas, rounded once: the same bytes with and without Numba."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataset_upload.video import scaling
from dataset_upload.video.picture import Picture
from dataset_upload.video.scaling import shrink, shrink_with_numpy

Plane = NDArray[np.uint8]

needs_numba = pytest.mark.skipif(scaling._kernel() is None, reason="Numba is not available here")


def noise(height: int, width: int, seed: int = 0) -> Plane:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def noisy_picture(size: tuple[int, int], *, interleaved: bool, seed: int = 0) -> Picture:
    """A picture whose rows are longer than it is wide, so that what lies beside it would be noticed."""
    width, height = size
    chroma = (height + 1) // 2, (width + 1) // 2
    luma = noise(height, width + 5, seed)[:, 2 : width + 2]
    if interleaved:
        pairs = noise(chroma[0], 2 * chroma[1] + 6, seed + 1)[:, 3:]
        return Picture(luma, pairs[:, : 2 * chroma[1] : 2], pairs[:, 1 : 2 * chroma[1] : 2])
    u, v = (noise(chroma[0], chroma[1] + 3, seed + number)[:, 1 : chroma[1] + 1] for number in (1, 2))
    return Picture(luma, u, v)


def empty_picture(size: tuple[int, int]) -> Picture:
    """A picture of zeros, amid others."""
    width, height = size
    chroma = (height + 1) // 2, (width + 1) // 2
    y, u, v = (np.zeros((rows + 2, columns + 3), np.uint8) for rows, columns in ((height, width), chroma, chroma))
    return Picture(y[1:-1, 1:-2], u[1:-1, 1:-2], v[1:-1, 1:-2])


def planes(picture: Picture) -> tuple[Plane, Plane, Plane]:
    return picture.y, picture.u, picture.v


def shares(source: int, target: int) -> NDArray[np.float64]:
    """(target, source): the share that each source sample has in each target sample."""
    borders = np.arange(target + 1) * source
    samples = np.arange(source) * target
    overlap = np.minimum(borders[1:, None], samples + target) - np.maximum(borders[:-1, None], samples)
    result: NDArray[np.float64] = np.clip(overlap, 0, None) / source
    return result


def true_average(plane: Plane, target: tuple[int, int]) -> NDArray[np.float64]:
    rows = shares(plane.shape[0], target[0]) @ plane.astype(np.float64)
    average: NDArray[np.float64] = rows @ shares(plane.shape[1], target[1]).T
    return average


def assert_is_average(source: Picture, target: Picture) -> None:
    """Each sample is the float64 average, rounded; where that lies half-way, up, which float64 cannot tell."""
    for before, after in zip(planes(source), planes(target), strict=True):
        assert np.abs(after - true_average(before, after.shape)).max() <= 0.5 + 1e-9


# The average ----------------------------------------------------------------------------------------------

LARGE = [
    ((1920, 1080), (256, 256)),
    ((1080, 1080), (224, 224)),
    ((1920, 1080), (456, 256)),
    ((1920, 1080), (256, 144)),
    ((1919, 1079), (256, 256)),
    ((1921, 1081), (1920, 1080)),
    ((640, 480), (640, 480)),
    ((4096, 64), (16, 16)),
    ((17, 2000), (16, 16)),
    ((3840, 2160), (16, 16)),
]


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("source, target", LARGE, ids=str)
def test_every_sample_is_an_average(source: tuple[int, int], target: tuple[int, int], interleaved: bool) -> None:
    before, after = noisy_picture(source, interleaved=interleaved), empty_picture(target)
    shrink(before, after)
    assert_is_average(before, after)


def test_a_plane_beyond_what_32_bits_can_sum_up_is_averaged() -> None:
    before, after = noisy_picture((4096, 4098), interleaved=True), empty_picture((256, 256))
    before.y[:] |= 0xF0
    shrink(before, after)
    assert_is_average(before, after)


@given(st.data())
@settings(max_examples=200)
def test_averages_are_rounded_once(data: st.DataObject) -> None:
    """Against fractions, which know no error of their own."""
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    plane = np.array(data.draw(st.lists(st.integers(0, 255), min_size=height * width, max_size=height * width)))
    plane = plane.astype(np.uint8).reshape(height, width)
    shrunk = np.empty((rows, columns), np.uint8)
    shrink_with_numpy(plane, shrunk)
    for y, x in np.ndindex(rows, columns):
        average = Fraction(0)
        for i, j in np.ndindex(height, width):
            tall = max(0, min((y + 1) * height, (i + 1) * rows) - max(y * height, i * rows))
            wide = max(0, min((x + 1) * width, (j + 1) * columns) - max(x * width, j * columns))
            average += Fraction(tall * wide * int(plane[i, j]), height * width)
        assert shrunk[y, x] == (average + Fraction(1, 2)).__floor__()


_sides = st.one_of(st.integers(1, 40), st.integers(1, 400))


def test_numba_is_used_where_it_can_be_imported() -> None:
    pytest.importorskip("numba")
    assert scaling._kernel() is not None


@needs_numba
@given(st.data(), st.booleans(), st.integers(0, 1000))
@settings(max_examples=150)
def test_numba_and_numpy_give_the_same_bytes(data: st.DataObject, interleaved: bool, seed: int) -> None:
    source = data.draw(_sides), data.draw(_sides)
    target = data.draw(st.integers(1, source[0])), data.draw(st.integers(1, source[1]))
    before = noisy_picture(source, interleaved=interleaved, seed=seed)
    by_numba, by_numpy = empty_picture(target), empty_picture(target)
    shrink(before, by_numba)
    for plane, smaller in zip(planes(before), planes(by_numpy), strict=True):
        shrink_with_numpy(plane, smaller)
    for one, other in zip(planes(by_numba), planes(by_numpy), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_numba_the_bytes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    before, with_numba = noisy_picture((99, 51), interleaved=True), empty_picture((16, 20))
    shrink(before, with_numba)
    monkeypatch.setattr(scaling, "_kernel", lambda: None)
    without = empty_picture((16, 20))
    shrink(before, without)
    for one, other in zip(planes(with_numba), planes(without), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("interleaved", [False, True])
def test_nothing_but_the_target_is_written(interleaved: bool) -> None:
    before, after = noisy_picture((64, 48), interleaved=interleaved), empty_picture((30, 22))
    shrink(before, after)
    for plane in planes(after):
        surroundings = np.array(plane.base)
        surroundings[1:-1, 1:-2] = 0
        assert not surroundings.any()


# The weights ----------------------------------------------------------------------------------------------


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_weights_of_each_target_sample_sum_to_one(one: int, other: int) -> None:
    source, target = max(one, other), min(one, other)
    shares = scaling._shares(source, target)
    inner = np.maximum(shares.last - shares.first - 1, 0)
    sums = shares.weights[:, 0] + inner * shares.weights[:, 1].astype(np.int64) + shares.weights[:, 2]
    assert (sums == source).all()
    first, weights = scaling._column_weights(source, target, 4, 16)
    by_column = weights.reshape(len(first), -1)
    assert by_column.shape[0] % 4 == by_column.shape[1] % 16 == 0
    assert (by_column[:target].sum(axis=1) == source).all() and not by_column[target:].any()


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("source, target", [((1920, 1080), (256, 256)), ((333, 777), (30, 16))], ids=str)
def test_a_uniform_picture_stays_as_it_is(source: tuple[int, int], target: tuple[int, int], level: int) -> None:
    before, after = noisy_picture(source, interleaved=True), empty_picture(target)
    for plane in planes(before):
        plane[:] = level
    shrink(before, after)
    for plane in planes(after):
        assert (plane == level).all()


def test_a_picture_of_the_same_size_stays_as_it_is() -> None:
    before, after = noisy_picture((61, 47), interleaved=True), empty_picture((61, 47))
    shrink(before, after)
    for one, other in zip(planes(before), planes(after), strict=True):
        np.testing.assert_array_equal(one, other)
