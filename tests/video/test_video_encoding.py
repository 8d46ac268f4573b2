"""Clips are small files that every player plays: the right frames, in order, the same bytes each time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from video_streams import draw, read_number, rows

from dataset_upload.errors import EpisodeError, Reason
from dataset_upload.video.encoding import write_jpegs, write_mp4

SIZE = (256, 256)
COUNT = 32


def clip_frames(count: int = COUNT) -> Iterator[av.VideoFrame]:
    return (draw(number, SIZE) for number in range(count))


def natural(count: int = 8) -> list[av.VideoFrame]:
    """Frames of what is in a photo: smooth shading, edges, fine grain, something that moves."""
    y, x = np.mgrid[:256, :256] / 256
    grain = np.random.default_rng(0).normal(0, 1.5, (256, 256, 3))
    frames = []
    for number in range(count):
        image = np.stack([150 + 60 * x, 110 + 50 * y, 90 + 40 * np.sin(6 * x * y)], axis=-1) + grain
        disk = (x - 0.3 - 0.03 * number) ** 2 + (y - 0.5) ** 2 < 0.02
        image[disk] = image[disk] * 0.4 + 20
        frames.append(av.VideoFrame.from_ndarray(image.clip(0, 255).astype(np.uint8)).reformat(format="yuv420p"))
    return frames


def rgb(frame: av.VideoFrame) -> NDArray[np.int64]:
    return frame.to_ndarray(format="rgb24").astype(np.int64)


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path), "r") as container:
        return list(container.decode(video=0))


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_mp4(clip_frames(), path, fps=30, crf=18)
    return path


# MP4 -------------------------------------------------------------------------------------------------------


def test_mp4_is_h264_yuv420p(mp4: Path) -> None:
    with av.open(str(mp4), "r") as container:
        (stream,) = container.streams
        assert isinstance(stream, av.VideoStream)
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.codec_context.width, stream.codec_context.height) == SIZE


def test_mp4_has_its_index_in_front(mp4: Path) -> None:
    data = mp4.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("fps", [1, 5, 30, 60])
def test_mp4_plays_at_its_frame_rate(tmp_path: Path, fps: int) -> None:
    write_mp4(clip_frames(10), tmp_path / "clip.mp4", fps=fps, crf=18)
    with av.open(str(tmp_path / "clip.mp4"), "r") as container:
        stream = container.streams.video[0]
        assert stream.average_rate == fps
        assert stream.frames == 10
        assert stream.duration is not None and stream.time_base is not None
        assert stream.duration * stream.time_base == Fraction(10, fps)


def test_mp4_frames_follow_each_other_from_0(mp4: Path) -> None:
    assert [frame.time for frame in decode(mp4)] == pytest.approx([number / 30 for number in range(COUNT)])


def test_mp4_frames_are_in_order(mp4: Path) -> None:
    assert [read_number(frame) for frame in decode(mp4)] == list(range(COUNT))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_mp4_of_a_few_frames(tmp_path: Path, count: int) -> None:
    write_mp4(clip_frames(count), tmp_path / "clip.mp4", fps=30, crf=18)
    assert [read_number(frame) for frame in decode(tmp_path / "clip.mp4")] == list(range(count))


def test_mp4_looks_like_its_source(tmp_path: Path) -> None:
    write_mp4(natural(), tmp_path / "clip.mp4", fps=30, crf=18)
    errors = [np.abs(rgb(a) - rgb(b)).mean() for a, b in zip(decode(tmp_path / "clip.mp4"), natural(), strict=True)]
    assert max(errors) < 3


def test_mp4_crf_decides_on_size(tmp_path: Path, mp4: Path) -> None:
    write_mp4(clip_frames(), tmp_path / "clip.mp4", fps=30, crf=35)
    assert (tmp_path / "clip.mp4").stat().st_size < 0.5 * mp4.stat().st_size


def test_mp4_is_the_same_every_time(tmp_path: Path, mp4: Path) -> None:
    write_mp4(clip_frames(), tmp_path / "again.mp4", fps=30, crf=18)
    assert (tmp_path / "again.mp4").read_bytes() == mp4.read_bytes()


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (128, 128), (192, 192), (224, 224), (456, 256)], ids=str)
def test_mp4_of_any_size_is_the_same_every_time(tmp_path: Path, size: tuple[int, int]) -> None:
    contents = []
    for name in ("one.mp4", "other.mp4"):
        write_mp4((draw(number, size) for number in range(COUNT)), tmp_path / name, fps=30, crf=18)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_mp4_does_not_depend_on_what_the_frames_were_before(tmp_path: Path, mp4: Path) -> None:
    """A decoded frame remembers its picture type, and x264 would obey it; and when it was shown."""

    def with_a_past() -> Iterator[av.VideoFrame]:
        for number, frame in enumerate(clip_frames()):
            frame.pict_type = 1  # I
            frame.pts, frame.time_base = 9999 - 7 * number, Fraction(1, 15360)
            yield frame

    write_mp4(with_a_past(), tmp_path / "again.mp4", fps=30, crf=18)
    assert (tmp_path / "again.mp4").read_bytes() == mp4.read_bytes()


def test_mp4_has_one_keyframe(mp4: Path) -> None:
    assert [frame.key_frame for frame in decode(mp4)].count(True) == 1


def test_mp4_is_encoded_by_one_thread(tmp_path: Path) -> None:
    def threads() -> int:
        tasks = Path("/proc/self/task")
        return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()

    counts = []

    def watched() -> Iterator[av.VideoFrame]:
        for frame in clip_frames():
            counts.append(threads())
            yield frame

    write_mp4(watched(), tmp_path / "clip.mp4", fps=30, crf=18)
    assert max(counts) == counts[0]


@pytest.mark.parametrize("num_before", [0, 1, 5])
def test_failure_of_the_source_comes_through(tmp_path: Path, num_before: int) -> None:
    def failing() -> Iterator[av.VideoFrame]:
        yield from clip_frames(num_before)
        raise EpisodeError(Reason.UNREADABLE_VIDEO, "damaged")

    with pytest.raises(EpisodeError, match="damaged"):
        write_mp4(failing(), tmp_path / "clip.mp4", fps=30, crf=18)
    with pytest.raises(EpisodeError, match="damaged"):
        write_jpegs(failing(), tmp_path / "clip")


# JPEG files ------------------------------------------------------------------------------------------------


def test_jpegs_are_named_by_number(tmp_path: Path) -> None:
    names = write_jpegs(clip_frames(12), tmp_path / "clip")
    assert names == [f"frame_{number:04d}.jpg" for number in range(12)]
    assert sorted(file.name for file in (tmp_path / "clip").iterdir()) == names


def test_jpegs_are_in_order(tmp_path: Path) -> None:
    names = write_jpegs(clip_frames(12), tmp_path / "clip")
    assert [read_number(decode(tmp_path / "clip" / name)[0]) for name in names] == list(range(12))


def test_jpegs_are_jpegs(tmp_path: Path) -> None:
    (name,) = write_jpegs(clip_frames(1), tmp_path / "clip")
    data = (tmp_path / "clip" / name).read_bytes()
    assert data.startswith(b"\xff\xd8\xff") and data.endswith(b"\xff\xd9")
    (frame,) = decode(tmp_path / "clip" / name)
    assert (frame.width, frame.height) == SIZE


def test_jpegs_look_like_their_source(tmp_path: Path) -> None:
    names = write_jpegs(natural(), tmp_path / "clip")
    for name, source in zip(names, natural(), strict=True):
        (frame,) = decode(tmp_path / "clip" / name)
        assert np.abs(rgb(frame) - rgb(source)).mean() < 1.6


@pytest.mark.parametrize("luma", [16, 126, 235])
def test_jpegs_keep_brightness(tmp_path: Path, luma: int) -> None:
    source = av.VideoFrame(*SIZE, "yuv420p")
    for plane, value in zip(source.planes, (luma, 128, 128), strict=True):
        rows(plane)[:] = value
    (name,) = write_jpegs([source], tmp_path / "clip")
    assert rgb(decode(tmp_path / "clip" / name)[0]).mean() == pytest.approx((luma - 16) * 255 / 219, abs=1.5)


def test_jpegs_are_the_same_every_time(tmp_path: Path) -> None:
    contents = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        contents.append([(folder / name).read_bytes() for name in write_jpegs(clip_frames(4), folder)])
    assert contents[0] == contents[1]
