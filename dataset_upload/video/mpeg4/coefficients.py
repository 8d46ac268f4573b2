"""The coefficients of one block: runs and levels from the bit stream, and their dequantisation (method 2, H.263's)."""

from __future__ import annotations

from typing import Any

from dataset_upload.video.kernels import inlined
from dataset_upload.video.memory import load, load_bits, shift_right, store
from dataset_upload.video.mpeg4 import tables
from dataset_upload.video.mpeg4.tables import SHORT_TCOEF_BITS, TCOEF_BITS

_SHORT_TCOEF, _TCOEF, _LMAX, _RMAX, _SCANS = (
    tables.SHORT_TCOEF,
    tables.TCOEF,
    tables.LMAX,
    tables.RMAX,
    tables.SCANS,
)
_ESCAPE = 0b0000011
_ESCAPE_BITS = 7

# Beyond this, 8 times a coefficient and what is added for rounding would not fit into 16 bits. Sound streams stay at
# half of it.
MAX_COEFFICIENT = (1 << 12) - 5

FAILED = -1


@inlined
def read_block(
    packet: Any,
    position: int,
    coefficients: Any,
    block: int,
    first: int,
    is_intra: int,
    scan: int,
    factor: int,
    offset: int,
) -> tuple[int, int]:
    """Read one block into a zeroed place, each level as `level * factor` away from 0 by `offset`.

    This is where most of the bits are. Intra and inter blocks share it, as their tables lie one after the other, so
    that it is inlined in just two places. Nearly every code fits into the short table, which stays in the first-level
    cache.

    Args:
        block: where it begins in `coefficients`.
        first: number of the first coefficient in the scan, 0 or 1.
        scan: which of `tables.SCANS`.

    Returns:
        The position after it, and the places of all its coefficients or'ed together: 0 for none but the first.
        FAILED instead where no code of the standard stands, or a coefficient beyond the block.
    """
    number, places = first, 0
    while True:
        bits = load_bits(packet, position)
        entry = load(_SHORT_TCOEF, (is_intra << SHORT_TCOEF_BITS) | shift_right(bits, 64 - SHORT_TCOEF_BITS))
        if entry == 0:
            entry = load(_TCOEF, (is_intra << TCOEF_BITS) | shift_right(bits, 64 - TCOEF_BITS))
        if entry != 0:
            length = entry & 255
            number += (entry >> 8) & 255
            last = entry >> 24
            sign = (bits << length) >> 63  # 0 or -1
            value = ((((entry >> 16) & 255) * factor + offset) ^ sign) - sign
            position += length + 1
        else:
            if shift_right(bits, 64 - _ESCAPE_BITS) != _ESCAPE:
                return position, FAILED
            bits <<= _ESCAPE_BITS
            if shift_right(bits, 62) != 3:
                # Escapes 1 and 2: a code follows whose level, or run, begins where those of ordinary codes end.
                extends_run = shift_right(bits, 63)
                bits <<= 1 + extends_run
                entry = load(_TCOEF, (is_intra << TCOEF_BITS) | shift_right(bits, 64 - TCOEF_BITS))
                if entry == 0:
                    return position, FAILED
                length, run, level, last = entry & 255, (entry >> 8) & 255, (entry >> 16) & 255, entry >> 24
                table = is_intra << 7 | last << 6
                if extends_run:
                    run += load(_RMAX, table | level) + 1
                else:
                    level += load(_LMAX, table | run)
                sign = (bits << length) >> 63
                value = ((level * factor + offset) ^ sign) - sign
                position += _ESCAPE_BITS + 1 + extends_run + length + 1
            else:
                # Escape 3: last, run and level as they are, the level between two marker bits.
                bits <<= 2
                last, run, level = shift_right(bits, 63), shift_right(bits, 57) & 63, (bits << 8) >> 52
                if (bits << 7) >= 0 or (bits << 20) >= 0:
                    return position, FAILED
                position += _ESCAPE_BITS + 2 + 1 + 6 + 1 + 12 + 1
                value = level * factor + (offset if level > 0 else -offset)
                if not is_intra:
                    value = min(max(value, -2048), 2047)
                elif level == 0:
                    value = 0
                elif abs(value) > MAX_COEFFICIENT:
                    return position, FAILED
            number += run
        if number > 63:
            return position, FAILED
        place = load(_SCANS, (scan << 6) | number)
        store(coefficients, block + place, value)
        places |= place
        number += 1
        if last != 0:
            return position, places
