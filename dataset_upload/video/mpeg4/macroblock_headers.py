"""What a macroblock says about itself before its vectors and coefficients (clause 6.2.6)."""

from __future__ import annotations

from typing import Any

from dataset_upload.video.kernels import inlined, kernel
from dataset_upload.video.memory import load, load_bits, shift_right
from dataset_upload.video.mpeg4 import tables
from dataset_upload.video.mpeg4.coefficients import FAILED
from dataset_upload.video.mpeg4.tables import CBPY_BITS, HEADER_BITS, INTRA, MCBPC_BITS, SKIPPED, STUFFING

_HEADER_I, _HEADER_P, _MCBPC_I, _MCBPC_P, _CBPY = (
    tables.HEADER_I,
    tables.HEADER_P,
    tables.MCBPC_I,
    tables.MCBPC_P,
    tables.CBPY,
)


@inlined
def read_header(packet: Any, position: int, is_inter: int) -> tuple[int, int, int, int]:
    """Read not_coded, mcbpc, ac_pred_flag and cbpy.

    Returns:
        The position after them, or FAILED; the type; the coded block pattern, block 0 as bit 32; ac_pred_flag.
    """
    bits = load_bits(packet, position)
    if is_inter:
        if bits < 0:
            return position + 1, SKIPPED, 0, 0
        entry = load(_HEADER_P, shift_right(bits << 1, 64 - HEADER_BITS))
    else:
        entry = load(_HEADER_I, shift_right(bits, 64 - HEADER_BITS))
    if entry == 0:
        return _read_long_header(packet, position, is_inter)
    return position + (entry & 255), (entry >> 8) & 255, entry >> 16, 0


@kernel
def _read_long_header(packet: Any, position: int, is_inter: int) -> tuple[int, int, int, int]:
    bits = load_bits(packet, position)
    if is_inter:  # not_coded is 0
        position, bits = position + 1, bits << 1
        entry = load(_MCBPC_P, shift_right(bits, 64 - MCBPC_BITS))
    else:
        entry = load(_MCBPC_I, shift_right(bits, 64 - MCBPC_BITS))
    if entry == 0:
        return FAILED, 0, 0, 0
    position, bits = position + (entry & 255), bits << (entry & 255)
    chroma, kind = (entry >> 8) & 255, entry >> 16
    if kind == STUFFING:
        return position, kind, 0, 0
    is_intra, predicts_ac = kind >= INTRA, 0
    if is_intra:
        predicts_ac = shift_right(bits, 63)
        position, bits = position + 1, bits << 1
    entry = load(_CBPY, shift_right(bits, 64 - CBPY_BITS))
    if entry == 0:
        return FAILED, 0, 0, 0
    luma = entry >> 8 if is_intra else (entry >> 8) ^ 15
    return position + (entry & 255), kind, luma << 2 | chroma, predicts_ac
