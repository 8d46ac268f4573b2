"""Which frames a clip keeps: what `np.linspace` spreads evenly over the episode, each once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_upload.video.sampling import sample_indices

episodes = st.integers(1, 20_000)
limits = st.integers(1, 1000)


@given(num_frames=episodes, max_frames=limits)
def test_spread_by_linspace(num_frames: int, max_frames: int) -> None:
    expected = np.unique(np.linspace(0, num_frames - 1, max_frames, dtype=int))
    assert np.array_equal(sample_indices(num_frames, max_frames), expected)


@given(num_frames=episodes, max_frames=limits)
def test_as_many_as_asked_for_if_there_are(num_frames: int, max_frames: int) -> None:
    assert len(sample_indices(num_frames, max_frames)) == min(num_frames, max_frames)


@given(num_frames=episodes, max_frames=st.integers(2, 1000))
def test_first_and_last_frame_are_kept(num_frames: int, max_frames: int) -> None:
    indices = sample_indices(num_frames, max_frames)
    assert (indices[0], indices[-1]) == (0, num_frames - 1)


@given(num_frames=episodes, max_frames=limits)
def test_indices_rise(num_frames: int, max_frames: int) -> None:
    assert np.all(np.diff(sample_indices(num_frames, max_frames)) > 0)


@given(num_frames=st.integers(1, 100), max_frames=st.integers(100, 1000))
def test_a_short_episode_is_kept_whole(num_frames: int, max_frames: int) -> None:
    assert np.array_equal(sample_indices(num_frames, max_frames), np.arange(num_frames))


@given(num_frames=episodes)
def test_no_limit_keeps_all(num_frames: int) -> None:
    assert np.array_equal(sample_indices(num_frames, -1), np.arange(num_frames))


@given(num_frames=episodes)
def test_one_frame_is_the_first(num_frames: int) -> None:
    assert sample_indices(num_frames, 1).tolist() == [0]


@pytest.mark.parametrize("max_frames", [-1, 1, 32])
def test_indices_are_whole_numbers(max_frames: int) -> None:
    assert sample_indices(100, max_frames).dtype == np.int64
