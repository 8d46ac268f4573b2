"""A picture has the samples of the frame that it was made of, and the same colours."""

from __future__ import annotations

import numpy as np
import pytest
from video_streams import draw, rows

from dataset_upload.video.picture import Picture


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (1, 1)])
def test_a_picture_shares_the_planes_of_a_frame(size: tuple[int, int]) -> None:
    frame = draw(3, (max(size[0], 64), max(size[1], 48))).reformat(*size, format="yuv420p")
    picture = Picture.of_frame(frame)
    assert (picture.width, picture.height) == size
    for plane, samples in zip(frame.planes, (picture.y, picture.u, picture.v), strict=True):
        assert samples.shape == (plane.height, plane.width)
        assert np.shares_memory(samples, rows(plane))
    assert picture.u.shape == (-(-size[1] // 2), -(-size[0] // 2))
    assert picture.to_frame() is frame
    np.testing.assert_array_equal(picture.to_rgb(), frame.to_ndarray(format="rgb24"))


@pytest.mark.parametrize("size", [(64, 48), (65, 47)])
def test_a_picture_of_planes_has_the_colours_that_the_frame_has(size: tuple[int, int]) -> None:
    frame = draw(7, (66, 48)).reformat(*size, format="yuv420p")
    shared = Picture.of_frame(frame)
    interleaved = np.stack([shared.u, shared.v], axis=-1)
    picture = Picture(shared.y.copy(), interleaved[..., 0], interleaved[..., 1])
    np.testing.assert_array_equal(picture.to_rgb(), frame.to_ndarray(format="rgb24"))


@pytest.mark.parametrize(
    ("pixel_format", "colorspace", "color_range"),
    [
        ("rgb24", None, None),
        ("yuv444p", None, None),
        ("yuvj420p", None, None),
        ("gray", None, None),
        ("yuv420p", "ITU709", "MPEG"),
        ("yuv420p", "ITU601", "JPEG"),
    ],
)
def test_other_frames_are_converted_and_keep_their_own_colours(
    pixel_format: str, colorspace: str | None, color_range: str | None
) -> None:
    frame = draw(5).reformat(format=pixel_format, dst_colorspace=colorspace, dst_color_range=color_range)
    picture = Picture.of_frame(frame)
    assert picture.y.shape == (48, 64)
    assert picture.u.shape == picture.v.shape == (24, 32)
    expected = frame.to_ndarray(format="rgb24")
    np.testing.assert_array_equal(picture.to_rgb(), expected)
    of_planes = Picture(picture.y, picture.u, picture.v).to_rgb()  # taken for limited range and BT.601
    assert np.abs(of_planes.astype(int) - expected).mean() < 2
