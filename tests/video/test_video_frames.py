"""The frames of a trajectory: a read-only sequence of RGB images that decodes what it is asked for, nothing else."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from video_streams import FPS, SMALL, encode

from dataset_upload.errors import EpisodeError, Reason
from dataset_upload.video.decoding import Video
from dataset_upload.video.frames import VideoFrames

COUNT = 40
NAME = "task/0.mp4"


def open_path(path: str) -> BinaryIO:
    return open(path, "rb")


@pytest.fixture(scope="module", params=[0, 2], ids=["Simple Profile", "B-frames"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "0.mp4"
    path.write_bytes(encode("mpeg4", COUNT, b_frames=request.param))
    return path


@pytest.fixture(scope="module")
def plain(path: Path) -> NDArray[np.uint8]:
    """(T, H, W, 3): a plain decode."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def frames(path: Path) -> VideoFrames:
    return VideoFrames(partial(open_path, str(path)), NAME)


# A sequence ------------------------------------------------------------------------------------------------


def test_it_is_a_sequence(frames: VideoFrames) -> None:
    assert isinstance(frames, Sequence)


def test_length_and_shape(frames: VideoFrames) -> None:
    assert len(frames) == COUNT
    assert frames.shape == (COUNT, SMALL[1], SMALL[0], 3)


def test_frames_are_rgb_images(frames: VideoFrames) -> None:
    assert frames[0].shape == (SMALL[1], SMALL[0], 3)
    assert frames[0].dtype == np.uint8


@pytest.mark.parametrize("index", [0, 1, 11, 12, COUNT - 1, -1, -2, -COUNT, np.int64(7)])
def test_index(frames: VideoFrames, plain: NDArray[np.uint8], index: int) -> None:
    assert np.array_equal(frames[index], plain[index])


@pytest.mark.parametrize("index", [COUNT, -COUNT - 1, 10**9])
def test_index_beyond_the_ends(frames: VideoFrames, index: int) -> None:
    with pytest.raises(IndexError):
        frames[index]


def test_index_of_another_kind(frames: VideoFrames) -> None:
    with pytest.raises(TypeError):
        frames["0"]  # type: ignore[call-overload]


def test_iteration(frames: VideoFrames, plain: NDArray[np.uint8]) -> None:
    assert np.array_equal(np.stack(list(frames)), plain)


def test_two_iterations_at_once(frames: VideoFrames, plain: NDArray[np.uint8]) -> None:
    for one, other, expected in zip(frames, frames, plain, strict=True):
        assert np.array_equal(one, expected)
        assert np.array_equal(other, expected)


def test_reversed(frames: VideoFrames, plain: NDArray[np.uint8]) -> None:
    assert np.array_equal(np.stack(list(reversed(frames[:5]))), plain[4::-1])


_bounds = st.none() | st.integers(-COUNT - 3, COUNT + 3)


@settings(max_examples=60)
@given(start=_bounds, stop=_bounds, step=st.none() | st.integers(-9, 9).filter(bool), again=_bounds)
def test_slices_are_those_of_a_list(start: int | None, stop: int | None, step: int | None, again: int | None) -> None:
    frames = _simple_frames()
    numbers = list(range(COUNT))[start:stop:step][again:]
    view = frames[start:stop:step][again:]
    assert isinstance(view, VideoFrames)
    assert list(view.indices) == numbers
    assert view.shape == (len(numbers), SMALL[1], SMALL[0], 3)
    assert np.array_equal(view.timestamps, frames.timestamps[numbers])


@pytest.mark.parametrize(
    "part", [slice(3, 9), slice(None, None, 7), slice(None, None, -7), slice(9, 3, -1), slice(5, 5)]
)
def test_a_slice_holds_the_frames_of_a_slice(frames: VideoFrames, plain: NDArray[np.uint8], part: slice) -> None:
    assert np.array_equal(np.asarray(frames[part]), plain[part])
    assert all(np.array_equal(frame, expected) for frame, expected in zip(frames[part], plain[part], strict=True))


# An array --------------------------------------------------------------------------------------------------


def test_asarray(frames: VideoFrames, plain: NDArray[np.uint8]) -> None:
    array = np.asarray(frames)
    assert array.dtype == np.uint8
    assert np.array_equal(array, plain)


def test_asarray_with_type(frames: VideoFrames, plain: NDArray[np.uint8]) -> None:
    array = np.asarray(frames[:3], dtype=np.float32)
    assert array.dtype == np.float32
    assert np.array_equal(array, plain[:3])


def test_asarray_without_copying_is_impossible(frames: VideoFrames) -> None:
    with pytest.raises(ValueError, match="copy=False"):
        np.asarray(frames, copy=False)


def test_frames_cannot_be_set(frames: VideoFrames) -> None:
    with pytest.raises(TypeError):
        frames[0] = np.zeros(frames.shape[1:])  # type: ignore[index]


def test_changing_an_image_changes_no_frame(frames: VideoFrames, plain: NDArray[np.uint8]) -> None:
    frames[0][:] = 0
    assert np.array_equal(frames[0], plain[0])


# What it knows without decoding ----------------------------------------------------------------------------


def test_timestamps_and_fps(frames: VideoFrames) -> None:
    assert frames.fps == FPS
    np.testing.assert_allclose(frames.timestamps, np.arange(COUNT) / FPS)
    np.testing.assert_allclose(frames[10:2:-4].timestamps, [10 / FPS, 6 / FPS])


def test_repr_says_which_video(frames: VideoFrames) -> None:
    assert repr(frames[::2]) == f"VideoFrames('{NAME}', shape=(20, 48, 64, 3), dtype=uint8)"


def test_pickled(frames: VideoFrames, plain: NDArray[np.uint8]) -> None:
    pickled = pickle.dumps(frames[5:])
    assert len(pickled) < 2000
    assert np.array_equal(np.asarray(pickle.loads(pickled)), plain[5:])


def test_no_file_stays_open(path: Path) -> None:
    files: list[BinaryIO] = []

    def open_file() -> BinaryIO:
        files.append(open_path(str(path)))
        return files[-1]

    frames = VideoFrames(open_file, NAME)
    np.asarray(frames[::7]), frames[3], list(frames[:2])
    assert len(files) == 4
    assert all(file.closed for file in files)


def test_open_decodes_the_frames_of_the_sequence(frames: VideoFrames) -> None:
    with frames[10:40:3].open() as video:
        assert (video.width, video.height) == frames.shape[2:0:-1]
        decoded = [picture.to_rgb() for picture in video.decode([0, 4])]
    assert np.array_equal(decoded, [frames[10], frames[22]])


def test_a_broken_video_is_a_failure_when_it_is_made() -> None:
    with pytest.raises(EpisodeError, match=NAME) as caught:
        VideoFrames(lambda: io.BytesIO(b"no video"), NAME)
    assert caught.value.reason == Reason.UNREADABLE_VIDEO


# Laziness --------------------------------------------------------------------------------------------------


def _simple_frames() -> VideoFrames:
    return VideoFrames(partial(io.BytesIO, _SIMPLE), NAME)


_SIMPLE = encode("mpeg4", COUNT)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The packets that are decoded, as it happens."""
    numbers: list[int] = []
    read_packet = Video._read_packet

    def watched(self: Video, index: Any, number: int) -> Any:
        numbers.append(number)
        return read_packet(self, index, number)

    monkeypatch.setattr(Video, "_read_packet", watched)
    return numbers


@pytest.fixture
def lazy(decoded: list[int]) -> VideoFrames:
    return _simple_frames()


def test_nothing_is_decoded_before_it_is_asked_for(lazy: VideoFrames, decoded: list[int]) -> None:
    view = lazy[::-3][2:]
    assert (view.shape, len(view), view.timestamps.shape, view.fps) == ((12, 48, 64, 3), 12, (12,), FPS)
    iter(view)
    assert decoded == []


def test_a_frame_costs_its_group_up_to_it(lazy: VideoFrames, decoded: list[int]) -> None:
    lazy[14]
    assert decoded == [12, 13, 14]


def test_a_slice_costs_its_frames_groups_once(lazy: VideoFrames, decoded: list[int]) -> None:
    np.asarray(lazy[1:30:13])
    assert decoded == [0, 1, 12, 13, 14, 24, 25, 26, 27]


def test_a_reversed_slice_costs_no_more(lazy: VideoFrames, decoded: list[int]) -> None:
    np.asarray(lazy[27:0:-13])
    assert decoded == [0, 1, 12, 13, 14, 24, 25, 26, 27]


def test_iteration_decodes_as_it_goes(lazy: VideoFrames, decoded: list[int]) -> None:
    iterator = iter(lazy)
    next(iterator), next(iterator)
    assert decoded == [0, 1]


def test_nothing_costs_nothing(lazy: VideoFrames, decoded: list[int]) -> None:
    assert np.asarray(lazy[5:5]).shape == (0, 48, 64, 3)
    assert list(lazy[5:5]) == []
    assert decoded == []


def test_other_videos_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    decode_all = Video._decode_all

    def watched(self: Video, *reduction: int) -> Iterator[Any]:
        counts.append(0)
        for pair in decode_all(self, *reduction):
            counts[-1] += 1
            yield pair

    monkeypatch.setattr(Video, "_decode_all", watched)
    frames = VideoFrames(partial(io.BytesIO, encode("mpeg4", COUNT, b_frames=2)), NAME)
    frames[3], frames[5:10][2]
    assert counts == [COUNT, 4, 8]
