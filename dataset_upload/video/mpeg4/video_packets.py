"""How a picture is cut into video packets (clause 6.2.5.2), and how it ends."""

from __future__ import annotations

from typing import Any

from dataset_upload.video.kernels import kernel
from dataset_upload.video.memory import load_bits, shift_right
from dataset_upload.video.mpeg4.coefficients import FAILED

_MAX_SECONDS = 56  # that modulo_time_base may count: so many bits of those loaded at once are there for certain


@kernel
def read_packet_header(packet: Any, position: int, number: int, vop: Any) -> tuple[int, int]:
    """Read a resync marker with the header behind it, if there is one before macroblock `number`.

    Returns:
        The position after it and its quantiser, 0 if that stays; the position, as it was or after stuffing, and -1
        where no marker stands; (FAILED, 0) where one stands that FFmpeg would stumble over.
    """
    position = _after_stuffing(packet, position, vop)
    if position < 0:
        return FAILED, 0
    if position + 8 >= vop.end:
        return position, -1
    start = (position | 7) + 1
    if not _is_stuffing(packet, position, start):
        return position, -1
    bits = load_bits(packet, start)
    if shift_right(bits, 64 - vop.marker_zeros) != 0:
        return position, -1
    bits <<= vop.marker_zeros
    if bits >= 0:  # more zeros than fcode says
        return FAILED, 0
    bits <<= 1
    if shift_right(bits, 64 - vop.number_bits) != number:
        return FAILED, 0
    bits <<= vop.number_bits
    quantiser, has_extension = shift_right(bits, 59), (bits << 5) < 0
    position = start + vop.marker_zeros + 1 + vop.number_bits + 5 + 1
    if has_extension:  # the picture's header again, without what is not needed here
        bits = load_bits(packet, position)
        seconds = 0
        while bits < 0:
            bits, seconds = bits << 1, seconds + 1
            if seconds > _MAX_SECONDS:
                return FAILED, 0
        position += seconds + 1
        bits = load_bits(packet, position)
        if bits >= 0 or (bits << (1 + vop.time_bits)) >= 0:  # marker bits
            return FAILED, 0
        position += 1 + vop.time_bits + 1 + 2 + 3 + (3 if vop.is_inter else 0)
    if position > vop.end:
        return FAILED, 0
    return position, quantiser


@kernel
def is_end(packet: Any, position: int, vop: Any) -> bool:
    """Whether a picture whose macroblocks are all there ends as it must: with a 0, then ones up to the packet's end.

    Most damage shifts what follows it, so this tells nearly all that went unnoticed before.
    """
    position = _after_stuffing(packet, position, vop)
    if position < 0 or not 1 <= vop.end - position <= 8:
        return False
    return _is_stuffing(packet, position, vop.end)


@kernel
def _after_stuffing(packet: Any, position: int, vop: Any) -> int:
    """Skip macroblocks that are there for their bits only; FAILED if they do not end."""
    bits = 10 if vop.is_inter else 9
    while shift_right(load_bits(packet, position), 64 - bits) == 1:
        position += bits
        if position > vop.end:
            return FAILED
    return position


@kernel
def _is_stuffing(packet: Any, position: int, end: int) -> bool:
    """Whether bits up to `end` are a 0, then ones."""
    length = end - position
    return shift_right(load_bits(packet, position), 64 - length) == (1 << (length - 1)) - 1
