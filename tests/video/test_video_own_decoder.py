"""Videos are decoded by our own decoder where it takes them; what it refuses is FFmpeg's to judge."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("numba", reason="without Numba, FFmpeg decodes")

from video_streams import encode, pixels, plain_decode

from dataset_upload.errors import EpisodeError
from dataset_upload.video import decoding
from dataset_upload.video.decoding import Video
from dataset_upload.video.mpeg4.group_decoder import GroupDecoder
from dataset_upload.video.mpeg4.headers import OtherStream, RefusedPacket

NAME = "/data/egodex/test/task/0.mp4"
COUNT = 36  # three groups of 12


@pytest.fixture(scope="module")
def video() -> bytes:
    return encode("mpeg4", COUNT)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What our decoder is asked for: "group" or "packet"; packet number n raises what is stored under n."""
    calls: list[str] = []
    start_group, decode = GroupDecoder.start_group, GroupDecoder.decode

    def watched_start(self: GroupDecoder) -> None:
        calls.append("group")
        start_group(self)

    def watched_decode(self: GroupDecoder, packet: bytes) -> Any:
        calls.append("packet")
        error = REFUSALS.get(calls.count("packet") - 1)
        if error is not None:
            raise error
        return decode(self, packet)

    monkeypatch.setattr(GroupDecoder, "start_group", watched_start)
    monkeypatch.setattr(GroupDecoder, "decode", watched_decode)
    yield calls
    REFUSALS.clear()


REFUSALS: dict[int, Exception] = {}


def decode(data: bytes, wanted: range) -> list[bytes]:
    return [pixels(picture) for picture in Video(io.BytesIO(data), NAME).decode(wanted)]


def plain(data: bytes, wanted: range) -> list[bytes]:
    frames = plain_decode(data)
    return [frames[number].pixels for number in wanted]


def test_it_decodes_what_it_takes(video: bytes, calls: list[str]) -> None:
    assert decode(video, range(COUNT)) == plain(video, range(COUNT))
    assert calls == (["group"] + 12 * ["packet"]) * 3


@pytest.mark.parametrize(
    "options", [{"flags": "+qpel"}, {"mpeg_quant": "1"}, {"flags": "+bitexact"}], ids=lambda options: str(options)
)
def test_it_is_not_asked_for_other_streams(calls: list[str], options: dict[str, str]) -> None:
    data = encode("mpeg4", 15, options=options)
    assert decode(data, range(15)) == plain(data, range(15))
    assert calls == []


def test_a_refused_packet_costs_its_group_only(video: bytes, calls: list[str]) -> None:
    REFUSALS[17] = RefusedPacket()
    assert decode(video, range(COUNT)) == plain(video, range(COUNT))
    assert calls == ["group", *12 * ["packet"], "group", *6 * ["packet"], "group", *12 * ["packet"]]


def test_frames_before_a_refused_packet_are_not_given_out_twice(video: bytes, calls: list[str]) -> None:
    REFUSALS[5] = RefusedPacket()
    wanted = range(1, 12, 3)
    assert decode(video, wanted) == plain(video, wanted)


def test_another_header_sends_the_rest_to_ffmpeg(video: bytes, calls: list[str]) -> None:
    REFUSALS[14] = OtherStream()
    assert decode(video, range(COUNT)) == plain(video, range(COUNT))
    assert calls == ["group", *12 * ["packet"], "group", *3 * ["packet"]]


def test_ffmpeg_says_what_is_wrong(video: bytes) -> None:
    with_damage = bytearray(video)
    middle = len(video) // 3
    with_damage[middle : middle + 400] = bytes(400)
    with pytest.raises(EpisodeError, match=r"Could not open video file: .*0\.mp4 \(damaged at frame \d+\)"):
        decode(bytes(with_damage), range(COUNT))


def test_it_is_done_without(video: bytes, monkeypatch: pytest.MonkeyPatch, calls: list[str]) -> None:
    monkeypatch.setattr(decoding, "decoder_class", lambda: None)
    assert decode(video, range(COUNT)) == plain(video, range(COUNT))
    assert calls == []


def test_two_videos_at_once_do_not_disturb_each_other(video: bytes) -> None:
    other = encode("mpeg4", COUNT, gop=7)
    first, second = (Video(io.BytesIO(data), NAME).decode(range(COUNT)) for data in (video, other))
    both = [(pixels(mine), pixels(yours)) for mine, yours in zip(first, second, strict=True)]
    assert both == list(zip(plain(video, range(COUNT)), plain(other, range(COUNT)), strict=True))
