"""The headers of an MPEG-4 video stream, and which streams and pictures the decoder takes.

It takes what Simple Profile has: I- and P-pictures of 8-bit 4:2:0 samples, rectangular, progressive, H.263's
quantisation. Everything else that headers tell is seen here and left to FFmpeg, as are streams of encoders whose
mistakes FFmpeg knows and imitates: only FFmpeg's own, sound since 2018, is believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_START = b"\0\0\1"
_VIDEO_OBJECTS, _VIDEO_OBJECT_LAYERS = range(0x20), range(0x20, 0x30)
_SEQUENCE, _USER_DATA, _GROUP, _VISUAL_OBJECT, _VOP = 0xB0, 0xB2, 0xB3, 0xB5, 0xB6

_SOUND_ENCODER = re.compile(rb"Lavc(5[89]|[6-9]\d)\.\d{1,3}\.\d{1,3}\0?")

_SIMPLE, _ADVANCED_SIMPLE = 1, 17  # video_object_type_indication of those that mean low_delay if they say nothing
_MAX_MACROBLOCKS = 4096 * 2304 // 256  # the buffers of larger pictures would no longer be small change
# intra_dc_vlc_thr: from which quantiser on DC coefficients are coded like the others.
_DC_THRESHOLD = (32, 13, 15, 17, 19, 21, 23, 0)
_MAX_SECONDS = 60  # that modulo_time_base may count
_HEADER_BYTES = 32  # of a VOP, at most


class OtherStream(Exception):
    """A stream, or a header in it, that the decoder does not take; the message says what it has."""


class RefusedPacket(Exception):
    """A packet with something in its pictures' bits that FFmpeg must look at."""


@dataclass(frozen=True)
class StreamHeader:
    """What a stream's configuration says, in the words of clause 6.3.3.

    Attributes:
        configuration: its bytes, which encoders may repeat before keyframes.
        width, height: in pixels.
        time_bits: length of vop_time_increment.
        has_markers: whether pictures may be cut into video packets.
    """

    configuration: bytes
    width: int
    height: int
    time_bits: int
    has_markers: bool


@dataclass(frozen=True)
class PictureHeader:
    """What a picture's header says.

    Attributes:
        first_bit: where its macroblocks begin in the packet.
        rounds_down: rounding_type.
        dc_threshold: from which quantiser on DC coefficients are coded like the others.
        fcode: 1 to 7, the range of motion vectors; 1 in an I-picture.
    """

    first_bit: int
    is_inter: bool
    rounds_down: int
    dc_threshold: int
    quantiser: int
    fcode: int


class _Bits:
    """The bits of a header, read one after the other."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)
        self.position = 0

    def read(self, count: int) -> int:
        self.position += count
        self._left -= count
        if self._left < 0:
            raise OtherStream("a header that is cut short")
        return self._value >> self._left & ((1 << count) - 1)

    def expect(self, count: int, value: int, otherwise: str) -> None:
        if self.read(count) != value:
            raise OtherStream(otherwise)

    def marker(self) -> None:
        self.expect(1, 1, "a marker bit that is 0")


def read_stream_header(configuration: bytes) -> StreamHeader:
    """Read a stream's configuration, as containers keep it.

    Raises:
        OtherStream: the decoder does not take this stream.
    """
    header, is_sound = None, False
    for code, content in _sections(configuration):
        if code in _VIDEO_OBJECT_LAYERS:
            if header is not None:
                raise OtherStream("two layers")
            header = _read_layer(content, configuration)
        elif code == _USER_DATA:
            if not _SOUND_ENCODER.fullmatch(content):
                raise OtherStream("another encoder's user data")
            is_sound = True
        elif code == _VISUAL_OBJECT:
            _read_visual_object(content)
        elif code != _SEQUENCE and code not in _VIDEO_OBJECTS:
            raise OtherStream(f"a section {code:#x}")
    if header is None or not is_sound:
        raise OtherStream("no layer, or no encoder that is known")
    return header


def _sections(data: bytes) -> list[tuple[int, bytes]]:
    """(start code, content) of what follows each start code."""
    first, *sections = data.split(_START)
    if first or not all(sections):
        raise OtherStream("bytes outside of any section")
    return [(section[0], section[1:]) for section in sections]


def _read_visual_object(content: bytes) -> None:
    bits = _Bits(content)
    if bits.read(1):  # is_visual_object_identifier
        bits.read(4 + 3)
    bits.expect(4, 1, "another visual object than video")
    bits.expect(1, 0, "a statement about its colours")  # video_signal_type


def _read_layer(content: bytes, configuration: bytes) -> StreamHeader:
    """VideoObjectLayer() (clause 6.2.3), as far as it is the simple kind."""
    bits = _Bits(content)
    bits.read(1)  # random_accessible_vol
    object_type = bits.read(8)
    version = 1
    if bits.read(1):  # is_object_layer_identifier
        version = bits.read(4)
        bits.read(3)
    if bits.read(4) == 15:  # aspect_ratio_info
        bits.read(16)
    if bits.read(1):  # vol_control_parameters
        bits.expect(2, 1, "no 4:2:0 samples")
        bits.expect(1, 1, "B-pictures")
        bits.expect(1, 0, "VBV parameters")
    elif object_type not in (_SIMPLE, _ADVANCED_SIMPLE):
        raise OtherStream("B-pictures, perhaps")
    bits.expect(2, 0, "another shape than a rectangle")
    bits.marker()
    resolution = bits.read(16)
    if resolution == 0:
        raise OtherStream("no time")
    time_bits = max(1, (resolution - 1).bit_length())
    bits.marker()
    if bits.read(1):  # fixed_vop_rate
        bits.read(time_bits)
    bits.marker()
    width = bits.read(13)
    bits.marker()
    height = bits.read(13)
    bits.marker()
    if not 0 < -(-width // 16) * -(-height // 16) <= _MAX_MACROBLOCKS:
        raise OtherStream("very large pictures, or none")
    bits.expect(1, 0, "interlaced pictures")
    bits.expect(1, 1, "overlapped motion compensation")
    bits.expect(1 if version == 1 else 2, 0, "sprites")
    bits.expect(1, 0, "other samples than of 8 bits")
    bits.expect(1, 0, "MPEG's quantisation")
    if version != 1:
        bits.expect(1, 0, "quarter samples")
    bits.expect(1, 1, "estimates of complexity")
    has_markers = bits.read(1) == 0
    bits.expect(1, 0, "data partitioning")
    if version != 1:
        bits.expect(1, 0, "reference picture selection")
        bits.expect(1, 0, "reduced resolution")
    bits.expect(1, 0, "scalability")
    return StreamHeader(configuration, width, height, time_bits, has_markers)


def read_picture_header(packet: bytes, stream: StreamHeader) -> PictureHeader:
    """Read a packet up to its first macroblock.

    Raises:
        OtherStream: FFmpeg must look at the packet; what is in its headers may even change the rest of the stream.
    """
    return _read_vop(packet, _start_of_vop(packet, stream) + 4, stream.time_bits)


def _start_of_vop(packet: bytes, stream: StreamHeader) -> int:
    """Skip what may stand before a picture: the stream's own configuration, a group's time, the encoder's name."""
    position = len(stream.configuration) if packet.startswith(stream.configuration) else 0
    while True:
        if packet[position : position + 3] != _START or position + 3 == len(packet):
            raise OtherStream("bytes outside of any section")
        code = packet[position + 3]
        if code == _VOP:
            return position
        if code == _GROUP:
            position += 4 + 3
        elif code == _USER_DATA:
            end = packet.find(_START, position + 4)
            if end < 0 or not _SOUND_ENCODER.fullmatch(packet, position + 4, end):
                raise OtherStream("another encoder's user data")
            position = end
        else:
            raise OtherStream(f"a section {code:#x} before a picture")


def _read_vop(packet: bytes, start: int, time_bits: int) -> PictureHeader:
    """VideoObjectPlane() (clause 6.2.5)."""
    bits = _Bits(packet[start : start + _HEADER_BYTES])
    kind = bits.read(2)  # vop_coding_type
    if kind > 1:
        raise OtherStream("B- or S-pictures")
    seconds = 0
    while bits.read(1):  # modulo_time_base
        seconds += 1
        if seconds > _MAX_SECONDS:
            raise OtherStream("a leap in time")
    bits.marker()
    bits.read(time_bits)
    bits.marker()
    bits.expect(1, 1, "a picture that is not coded")
    rounds_down = bits.read(1) if kind else 0
    dc_threshold = _DC_THRESHOLD[bits.read(3)]
    quantiser = bits.read(5)
    fcode = bits.read(3) if kind else 1
    if quantiser == 0 or fcode == 0:
        raise OtherStream("a quantiser or range of vectors of 0")
    return PictureHeader(8 * start + bits.position, kind == 1, rounds_down, dc_threshold, quantiser, fcode)
