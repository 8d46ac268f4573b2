"""Which streams the decoder takes is seen in their headers; whatever it does not know goes to FFmpeg."""

from __future__ import annotations

from typing import Any

import pytest
from mpeg4_streams import Stream, make_stream

from dataset_upload.video.mpeg4.headers import (
    OtherStream,
    PictureHeader,
    StreamHeader,
    read_picture_header,
    read_stream_header,
)

VOL, USER_DATA = b"\0\0\1\x20", b"\0\0\1\xb2"


def stream_of(**options: Any) -> Stream:
    return make_stream((64, 48), 3, gop=2, **options)


@pytest.fixture(scope="module")
def plain() -> Stream:
    return stream_of()


@pytest.fixture(scope="module")
def header(plain: Stream) -> StreamHeader:
    return read_stream_header(plain.configuration)


def with_user_data(configuration: bytes, name: bytes) -> bytes:
    return configuration[: configuration.index(USER_DATA) + 4] + name


def with_bit(data: bytes, start: bytes, bit: int, value: int) -> bytes:
    """Data with another bit, counted from after a start code."""
    changed = bytearray(data)
    byte = data.index(start) + 4 + bit // 8
    mask = 0x80 >> bit % 8
    changed[byte] = changed[byte] | mask if value else changed[byte] & ~mask
    return bytes(changed)


def test_what_a_stream_says(plain: Stream, header: StreamHeader) -> None:
    assert header == StreamHeader(plain.configuration, 64, 48, time_bits=5, has_markers=False)
    assert read_stream_header(stream_of(options={"ps": "40"}).configuration).has_markers


def test_what_pictures_say(plain: Stream, header: StreamHeader) -> None:
    first, second, third = (read_picture_header(packet, header) for packet in plain.packets)
    assert [picture.is_inter for picture in (first, second, third)] == [False, True, False]
    assert second.rounds_down == 1
    assert isinstance(first, PictureHeader)
    assert 1 <= first.quantiser <= 31
    assert first.fcode == 1
    assert first.dc_threshold == 32


@pytest.mark.parametrize(
    "options",
    [
        {"flags": "+qpel"},
        {"options": {"mpeg_quant": "1"}},
        {"flags": "+ildct+ilme"},
        {"options": {"bf": "2"}},
        {"options": {"data_partitioning": "1"}},
        {"flags": "+bitexact"},  # says nothing about its encoder
    ],
    ids=str,
)
def test_other_streams_are_not_taken(options: dict[str, Any]) -> None:
    with pytest.raises(OtherStream):
        read_stream_header(stream_of(**options).configuration)


@pytest.mark.parametrize(
    "name",
    [b"XviD0069", b"DivX503b1393p", b"Lavc52.72.2", b"Lavc57.107.100", b"FFmpegb4600", b"", b"Lavc59.37.100 or so"],
    ids=str,
)
def test_streams_of_other_encoders_are_not_taken(plain: Stream, name: bytes) -> None:
    with pytest.raises(OtherStream):
        read_stream_header(with_user_data(plain.configuration, name))


@pytest.mark.parametrize("name", [b"Lavc58.134.100", b"Lavc59.37.100", b"Lavc62.28.102", b"Lavc60.3.100\0"], ids=str)
def test_streams_of_sound_encoders_are_taken(plain: Stream, name: bytes) -> None:
    read_stream_header(with_user_data(plain.configuration, name))


def test_a_configuration_that_is_cut_short_is_not_taken(plain: Stream) -> None:
    for length in range(len(plain.configuration) - 4):
        with pytest.raises(OtherStream):
            read_stream_header(plain.configuration[:length])


def test_every_bit_of_a_configuration_is_looked_at(plain: Stream, header: StreamHeader) -> None:
    """A changed bit is noticed, unless it is one that means nothing for pictures."""
    content = plain.configuration[plain.configuration.index(VOL) + 4 : plain.configuration.index(USER_DATA)]
    taken = []
    for bit in range(8 * len(content)):
        value = 1 - (content[bit // 8] >> (7 - bit % 8) & 1)
        try:
            changed = read_stream_header(with_bit(plain.configuration, VOL, bit, value))
        except OtherStream:
            continue
        if (changed.width, changed.height, changed.time_bits, changed.has_markers) == (64, 48, 5, False):
            taken.append(bit)
    assert len(taken) < 40  # random access, type, version, aspect ratio, resolution of time


@pytest.mark.parametrize(
    "before, is_taken",
    [
        (b"", True),
        (b"\0\0\1\xb3\0\x10\x07", True),  # a group's time
        (b"\0\0\1\xb3\0\x10\x07\0\0\1\xb2Lavc59.37.100", True),
        (b"\0\0\1\xb2DivX503b1393p", False),
        (b"\0\0\1\xb2XviD0069", False),
        (b"\0\0\1\xb0\xf5", False),
        (b"\0\0\1\x20\0", False),
        (b"\0", False),
        (b"\xff\xff", False),
        (b"\0\0\1\xb3", False),
    ],
    ids=str,
)
def test_what_may_stand_before_a_picture(plain: Stream, header: StreamHeader, before: bytes, is_taken: bool) -> None:
    packet = plain.packets[1]
    if is_taken:
        moved = read_picture_header(before + packet, header)
        assert moved.first_bit == read_picture_header(packet, header).first_bit + 8 * len(before)
    else:
        with pytest.raises(OtherStream):
            read_picture_header(before + packet, header)


def test_the_stream_s_own_configuration_may_stand_before_a_picture(plain: Stream, header: StreamHeader) -> None:
    moved = read_picture_header(plain.configuration + plain.packets[1], header)
    assert moved.quantiser == read_picture_header(plain.packets[1], header).quantiser
    with pytest.raises(OtherStream):
        read_picture_header(with_bit(plain.configuration, VOL, 40, 1) + plain.packets[1][4:], header)


def test_pictures_that_are_cut_short(plain: Stream, header: StreamHeader) -> None:
    for packet in plain.packets[1:]:
        for length in range(packet.index(b"\0\0\1\xb6") + 6):
            with pytest.raises(OtherStream):
                read_picture_header(packet[:length], header)


@pytest.mark.parametrize("kind", [2, 3])
def test_b_and_s_pictures(plain: Stream, header: StreamHeader, kind: int) -> None:
    packet = plain.packets[1]
    place = packet.index(b"\0\0\1\xb6") + 4
    changed = packet[:place] + bytes([packet[place] & 0x3F | kind << 6]) + packet[place + 1 :]
    with pytest.raises(OtherStream, match="B- or S-pictures"):
        read_picture_header(changed, header)
