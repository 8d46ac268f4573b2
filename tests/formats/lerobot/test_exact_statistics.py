"""Statistics of all rows together are NumPy's own."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from numpy_statistics import numpy_statistics

from dataset_upload.formats.lerobot.episode_stats import number_stats, united
from dataset_upload.formats.lerobot.exact_statistics import exact_statistics

FLOATS = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=FLOATS), st.integers(1, 7))
def test_they_are_those_of_numpy_however_rows_are_cut(values: NDArray[np.float32], step: int) -> None:
    batches = [{"x": values[start : start + step]} for start in range(0, len(values), step)]
    stats = exact_statistics(lambda: batches)["x"]
    for name, value in numpy_statistics(values).items():
        np.testing.assert_allclose(stats[name], value, rtol=1e-7, atol=1e-6, err_msg=name)
    assert stats["count"] == [len(values)]


def test_counts_are_exact_beyond_single_precision() -> None:
    values = np.arange(2**24 - 50, 2**24 + 51)[:, None]
    stats = exact_statistics(lambda: [{"index": values}])["index"]
    assert (stats["min"], stats["q50"], stats["max"]) == ([2**24 - 50], [2**24], [2**24 + 50])


def test_pixels_of_all_episodes_have_the_mean_and_deviation_of_all() -> None:
    parts = [np.random.default_rng(seed).random((10 + 20 * seed, 3)) for seed in range(3)]
    total = united(number_stats(part) for part in parts)
    pixels = np.concatenate(parts)
    np.testing.assert_allclose(total["mean"], pixels.mean(axis=0))
    np.testing.assert_allclose(total["std"], pixels.std(axis=0))
    assert total["max"] == pixels.max(axis=0).tolist() and total["count"] == [len(pixels)]
