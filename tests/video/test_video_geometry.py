"""A clip frame shows what was asked for, and its intrinsics say where each point of it went."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from video_streams import FPS, rows

from dataset_upload.video import ResizeMode
from dataset_upload.video.decoding import Video
from dataset_upload.video.geometry import plan_resize
from dataset_upload.video.picture import Picture

FULL_HD = (1920, 1080)
MODES: tuple[ResizeMode, ...] = ("stretch", "center_crop", "pad")
PLANS: list[tuple[ResizeMode, int | None]] = [
    ("stretch", None),
    ("center_crop", None),
    ("pad", None),
    ("stretch", 224),
    ("center_crop", 224),
]
INTRINSICS = np.array([[736.6339, 0, 960], [0, 736.6339, 540], [0, 0, 1]], np.float32)  # EgoDex's
BLACK, WHITE = 16, 235  # of limited range


def gray(size: tuple[int, int], luma: int, pixel_format: str = "yuv420p") -> av.VideoFrame:
    frame = av.VideoFrame(*size, pixel_format)
    for plane, value in zip(frame.planes, (luma, 128, 128), strict=False):
        rows(plane)[:] = value
    return frame


def with_dot(size: tuple[int, int], centre: tuple[int, int], radius: int = 4) -> av.VideoFrame:
    """A black frame with a white square about the corner between four pixels, where (u, v) is `centre`."""
    frame = gray(size, BLACK)
    x, y = centre
    rows(frame.planes[0])[y - radius : y + radius, x - radius : x + radius] = WHITE
    return frame


def luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return rows(frame.planes[0])[: frame.height, : frame.width]


def find_dot(frame: av.VideoFrame) -> NDArray[np.float64]:
    """(u, v) of the bright spot's middle; the first pixel's centre is at (0.5, 0.5)."""
    weight = np.clip(luma(frame).astype(float) - BLACK - 4, 0, None)
    v, u = np.indices(weight.shape) + 0.5
    return np.array([np.average(u, weights=weight), np.average(v, weights=weight)])


def viewing_ray(intrinsics: NDArray[np.float32], pixel: tuple[int, int]) -> NDArray[np.float64]:
    """A point of the world, in camera axes, that is seen at a pixel."""
    return np.linalg.solve(intrinsics.astype(np.float64), np.array([*pixel, 1.0]))


def project(intrinsics: NDArray[np.float32], point: NDArray[np.float64]) -> NDArray[np.float64]:
    u, v, depth = intrinsics @ point
    return np.array([u / depth, v / depth])


# Intrinsics ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, shortest_edge_size", PLANS)
@pytest.mark.parametrize("size", [FULL_HD, (1919, 1079), (321, 241), (200, 120), (1080, 1920)], ids=str)
def test_a_point_is_where_the_intrinsics_say(
    size: tuple[int, int], mode: ResizeMode, shortest_edge_size: int | None
) -> None:
    resize = plan_resize(size, mode, 256, shortest_edge_size)
    left, top = resize.crop_offset
    right, bottom = left + resize.cropped[0], top + resize.cropped[1]
    clip_intrinsics = resize.intrinsics(INTRINSICS)
    for pixel in [(left + 9, top + 9), (right - 9, top + 30), ((left + right) // 2 + 7, bottom - 9)]:
        seen_at = find_dot(resize.apply(Picture.of_frame(with_dot(size, pixel))))
        np.testing.assert_allclose(seen_at, project(clip_intrinsics, viewing_ray(INTRINSICS, pixel)), atol=0.3)


@pytest.mark.parametrize("mode, shortest_edge_size", PLANS)
def test_a_point_of_a_video_is_where_the_intrinsics_say(mode: ResizeMode, shortest_edge_size: int | None) -> None:
    pixel = (1301, 333)
    video = Video(io.BytesIO(encode_twice(with_dot(FULL_HD, pixel, radius=12))), "dot.mp4")
    resize = plan_resize((video.width, video.height), mode, 256, shortest_edge_size)
    (picture,) = video.decode([1])
    expected = project(resize.intrinsics(INTRINSICS), viewing_ray(INTRINSICS, pixel))
    np.testing.assert_allclose(find_dot(resize.apply(picture)), expected, atol=0.3)


def encode_twice(frame: av.VideoFrame) -> bytes:
    """A video like EgoDex's, of two equal frames."""
    result = io.BytesIO()
    with av.open(result, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=FPS, options={"qmin": "1", "qmax": "1"})
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
        for number in range(2):
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return result.getvalue()


def test_known_intrinsics_of_a_stretched_frame() -> None:
    intrinsics = plan_resize(FULL_HD, "stretch", 256).intrinsics(INTRINSICS)
    x, y = 256 / 1920, 256 / 1080
    expected = np.array([[736.6339 * x, 0, 128], [0, 736.6339 * y, 128], [0, 0, 1]])
    np.testing.assert_allclose(intrinsics.astype(float), expected, rtol=1e-6)
    assert intrinsics.dtype == np.float32


def test_known_intrinsics_of_a_padded_frame() -> None:
    intrinsics = plan_resize(FULL_HD, "pad", 256).intrinsics(INTRINSICS)
    scale = 256 / 1920
    expected = np.array([[736.6339 * scale, 0, 128], [0, 736.6339 * scale, 56 + 72], [0, 0, 1]])
    np.testing.assert_allclose(intrinsics.astype(float), expected, rtol=1e-6)


# Sizes -----------------------------------------------------------------------------------------------------

_sides = st.integers(16, 4096)
_even_sides = st.integers(8, 512).map(lambda half: 2 * half)


@given(source=st.tuples(_sides, _sides), plan=st.sampled_from(PLANS), side=_even_sides)
def test_every_plan_fits(source: tuple[int, int], plan: tuple[ResizeMode, int | None], side: int) -> None:
    mode, shortest_edge_size = plan
    resize = plan_resize(source, mode, side, None if shortest_edge_size is None else side)
    for axis in (0, 1):
        assert resize.output[axis] % 2 == 0
        assert 0 <= resize.crop_offset[axis] <= source[axis] - resize.cropped[axis]
        assert 0 <= resize.pad_offset[axis] <= resize.output[axis] - resize.scaled[axis]


@pytest.mark.parametrize("mode", MODES)
def test_clips_are_square(mode: ResizeMode) -> None:
    assert plan_resize(FULL_HD, mode, 256).output == (256, 256)


def test_shortest_edge_keeps_the_aspect_ratio() -> None:
    assert plan_resize(FULL_HD, "stretch", 256, 288).output == (512, 288)


def test_shortest_edge_of_a_crop_is_its_side() -> None:
    assert plan_resize(FULL_HD, "center_crop", 256, 224).output == (224, 224)


def test_crop_is_in_the_middle() -> None:
    resize = plan_resize(FULL_HD, "center_crop", 256)
    assert (resize.crop_offset, resize.cropped) == ((420, 0), (1080, 1080))


@pytest.mark.parametrize("mode, shortest_edge_size", PLANS)
@pytest.mark.parametrize("size", [(1919, 1079), (321, 241), (17, 33)], ids=str)
def test_odd_sizes_are_resized(size: tuple[int, int], mode: ResizeMode, shortest_edge_size: int | None) -> None:
    resize = plan_resize(size, mode, 256, shortest_edge_size)
    frame = resize.apply(Picture.of_frame(gray(size, 200)))
    assert (frame.width, frame.height, frame.format.name) == (*resize.output, "yuv420p")
    assert luma(frame)[128, 128] == 200


# Pixels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, bars", [(FULL_HD, np.s_[:, :56]), ((1080, 1920), np.s_[:56, :])], ids=str)
def test_padding_is_black(size: tuple[int, int], bars: tuple[slice, slice]) -> None:
    frame = plan_resize(size, "pad", 256).apply(Picture.of_frame(gray(size, 200)))
    columns, lines = bars
    assert np.all(luma(frame)[lines, columns] == BLACK)
    assert np.all(luma(frame)[::-1, ::-1][lines, columns] == BLACK)
    assert frame.to_ndarray(format="rgb24")[0, 0].tolist() == [0, 0, 0]
    assert np.count_nonzero(luma(frame) == 200) == 256 * 144


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "pixel_format, tagged_full_range",
    [
        ("yuv420p", False),
        ("yuv420p", True),
        ("yuvj420p", False),
        ("yuvj420p", True),
        ("yuv422p", False),
        ("yuv444p", False),
        ("yuvj444p", True),
        ("gray", True),
    ],
)
def test_brightness_is_kept(mode: ResizeMode, pixel_format: str, tagged_full_range: bool) -> None:
    source = gray((320, 240), 200, pixel_format)
    if tagged_full_range:
        source.color_range = 2
    frame = plan_resize((320, 240), mode, 128).apply(Picture.of_frame(source))
    is_full_range = tagged_full_range or "j" in pixel_format
    expected = BLACK + 200 * (WHITE - BLACK) / 255 if is_full_range else 200
    assert luma(frame)[64, 64] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("mode", MODES)
def test_colour_is_kept(mode: ResizeMode) -> None:
    orange = av.VideoFrame.from_ndarray(np.full((240, 320, 3), (220, 120, 40), np.uint8), format="rgb24")
    bt_709 = orange.reformat(format="yuv444p", dst_colorspace="ITU709")
    frame = plan_resize((320, 240), mode, 128).apply(Picture.of_frame(bt_709))
    frame.colorspace, frame.color_range = 2, 0  # as a player finds it, who is told nothing
    np.testing.assert_allclose(frame.to_ndarray(format="rgb24")[64, 64], [220, 120, 40], atol=5)


@pytest.mark.parametrize("mode", MODES)
def test_a_resized_frame_stays_as_it_is_when_the_next_is_made(mode: ResizeMode) -> None:
    """Encoders look ahead: they hold frames for a while."""
    resize = plan_resize((320, 240), mode, 128)
    frames = [resize.apply(Picture.of_frame(gray((320, 240), level))) for level in (50, 100, 150)]
    assert [luma(frame)[64, 64] for frame in frames] == [50, 100, 150]


def test_scaling_averages_all_pixels() -> None:
    """Stripes of one pixel become gray; a scaler that picks pixels would show stripes."""
    source = gray((2048, 2048), BLACK)
    rows(source.planes[0])[:, ::2] = WHITE
    clip = luma(plan_resize((2048, 2048), "stretch", 256).apply(Picture.of_frame(source)))
    assert np.abs(clip.astype(int) - (BLACK + WHITE) // 2).max() <= 2
