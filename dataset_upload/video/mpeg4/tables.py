"""Variable-length codes, scans and scales of ISO/IEC 14496-2, made into tables to look bits up in.

Codes are written as they are printed there, as strings of bits. A lookup table has an entry for every value of the
next few bits of the stream; an entry packs the length of the code that those bits begin with (0: none, or a longer
one) and its meaning into an int32.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.int32]


def _lookup(bits: int, codes: Iterable[tuple[str, int]]) -> Table:
    """Entries `length | meaning << 8` for the codes that fit into `bits`."""
    table = np.zeros(1 << bits, np.int32)
    for code, meaning in codes:
        if len(code) <= bits:
            first = int(code, 2) << (bits - len(code))
            table[first : first + (1 << (bits - len(code)))] = len(code) | meaning << 8
    return table


def _numbered(codes: str) -> list[tuple[str, int]]:
    return [(code, number) for number, code in enumerate(codes.split())]


# Macroblock headers ----------------------------------------------------------------------------------------

# What a macroblock is; the numbers are those of derived_mb_type (table B-1), SKIPPED ours.
INTER, INTER_Q, INTER_4V, INTRA, INTRA_Q, STUFFING, SKIPPED = range(7)

# Table B-6, mcbpc in I-VOPs, and table B-7, in P-VOPs: a row for a type, a column for the two bits of chroma blocks.
_MCBPC_I = {INTRA: "1 001 010 011", INTRA_Q: "0001 000001 000010 000011", STUFFING: "000000001"}
_MCBPC_P = {
    INTER: "1 0011 0010 000101",
    INTER_Q: "011 0000111 0000110 000000101",
    INTER_4V: "010 0000101 0000100 00000101",
    INTRA: "00011 00000100 00000011 0000011",
    INTRA_Q: "000100 000000100 000000011 000000010",
    STUFFING: "000000001",
}

# Table B-8, cbpy of intra macroblocks, for the patterns 0 to 15; inter macroblocks have the complement.
_CBPY = "0011 00101 00100 1001 00011 0111 000010 1011 00010 000011 0101 1010 0100 1000 0110 11"

MCBPC_BITS, CBPY_BITS = 9, 6


def _mcbpc(codes: dict[int, str]) -> Table:
    """Entries `length | chroma pattern << 8 | type << 16`."""
    return _lookup(
        MCBPC_BITS,
        [(code, kind << 8 | chroma) for kind, row in codes.items() for code, chroma in _numbered(row)],
    )


MCBPC_I, MCBPC_P, CBPY = _mcbpc(_MCBPC_I), _mcbpc(_MCBPC_P), _lookup(CBPY_BITS, _numbered(_CBPY))

# The usual header of a macroblock in one lookup: in P-VOPs from after not_coded = 0 on, mcbpc, for intra
# ac_pred_flag = 0, cbpy. Entries `length (with not_coded) | type << 8 | coded block pattern << 16`.
HEADER_BITS = 10


def _headers(mcbpc: dict[int, str], not_coded: int) -> Table:
    codes = []
    for kind in mcbpc.keys() & {INTER, INTER_4V, INTRA}:
        for chroma_code, chroma in _numbered(mcbpc[kind]):
            for luma_code, luma in _numbered(_CBPY):
                code = chroma_code + ("0" if kind == INTRA else "") + luma_code
                pattern = (luma if kind == INTRA else luma ^ 15) << 2 | chroma
                codes.append((code, kind | pattern << 8))
    table = _lookup(HEADER_BITS, codes)
    table[table != 0] += not_coded
    return table


HEADER_I, HEADER_P = _headers(_MCBPC_I, 0), _headers(_MCBPC_P, 1)

# Clause 6.3.6, dquant: what is added to the quantiser.
DQUANT = np.array([-1, -2, 1, 2], np.int32)


# Motion vectors --------------------------------------------------------------------------------------------

# Table B-12, for the magnitudes 0, 0.5, 1, … 16 of MVD; all but 0 are followed by their sign.
_MVD = """
    1 01 001 0001 000011 0000101 0000100 0000011 000001011 000001010 000001001 0000010001 0000010000
    0000001111 0000001110 0000001101 0000001100 0000001011 0000001010 0000001001 0000001000 0000000111
    0000000110 0000000101 0000000100 00000000111 00000000110 00000000101 00000000100 00000000011 00000000010
    000000000011 000000000010
"""
MVD_BITS = 12
MVD = _lookup(MVD_BITS, _numbered(_MVD))  # length | twice the magnitude << 8

# Short codes with their sign by vop_fcode (clause 7.6.3): entries `length | residual bits << 8 | smallest difference
# << 16`, where the difference of a code grows away from 0 with its residual bits.
SHORT_MVD_BITS = 9


def _short_mvd() -> Table:
    table = np.zeros((8, 1 << SHORT_MVD_BITS), np.int32)
    for fcode in range(1, 8):
        for code, magnitude in _numbered(_MVD):
            signs = (("", 0),) if magnitude == 0 else (("0", 1), ("1", -1))
            for sign, factor in signs:
                least = factor * (((magnitude - 1) << (fcode - 1)) + 1)
                residual = fcode - 1 if factor else 0
                table[fcode] += _lookup(SHORT_MVD_BITS, [(code + sign, residual | least << 8)])
    return table.reshape(-1)


SHORT_MVD = _short_mvd()

# Table 7-9: from the sum of four luma vectors to the chroma vector, sixteenths to half samples.
CHROMA_ROUNDING = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2], np.int32)


# DC coefficients -------------------------------------------------------------------------------------------

# Tables B-13 and B-14: dct_dc_size of luma and chroma, 0 to 12.
_DC_SIZE = (
    "011 11 10 010 001 0001 00001 000001 0000001 00000001 000000001 0000000001 00000000001",
    "11 10 01 001 0001 00001 000001 0000001 00000001 000000001 0000000001 00000000001 000000000001",
)
DC_SIZE_BITS = 12
DC_SIZE = np.concatenate([_lookup(DC_SIZE_BITS, _numbered(codes)) for codes in _DC_SIZE])

# Table 7-1: dc_scaler by quantiser, of luma and then of chroma.
_LUMA_SCALER = [0, 8, 8, 8, 8, *range(10, 18, 2), *range(17, 33), *range(34, 48, 2)]
_CHROMA_SCALER = [0, 8, 8, 8, 8, *((q + 13) // 2 for q in range(5, 25)), *range(19, 26)]
DC_SCALER = np.array(_LUMA_SCALER + _CHROMA_SCALER, np.int32)

# x // s is x * RECIPROCAL[s] >> 20 for all x below 2^12 and s below 2^6.
RECIPROCAL = np.array([0, *(-(-(1 << 20) // scaler) for scaler in range(1, 64))], np.int32)


# AC coefficients -------------------------------------------------------------------------------------------

# Tables B-17 (inter) and B-16 (intra): for last = 0 and 1 a line for each run from 0 on, the codes of the levels from
# 1 on. Their sign follows.
_INTER = (
    """
    10 1111 010101 0010111 00011111 000100101 000100100 0000100001 0000100000 00000000111 00000000110 00000100000
    110 010100 00011110 0000001111 00000100001 000001010000
    1110 00011101 0000001110 000001010001
    01101 000100011 0000001101
    01100 000100010 000001010010
    01011 0000001100 000001010011
    010011 0000001011 000001010100
    010010 0000001010
    010001 0000001001
    010000 0000001000
    0010110 000001010101
    0010101
    0010100
    00011100
    00011011
    000100001
    000100000
    000011111
    000011110
    000011101
    000011100
    000011011
    000011010
    00000100010
    00000100011
    000001010110
    000001010111
    """,
    """
    0111 000011001 00000000101
    001111 00000000100
    001110
    001101
    001100
    0010011
    0010010
    0010001
    0010000
    00011010
    00011001
    00011000
    00010111
    00010110
    00010101
    00010100
    00010011
    000011000
    000010111
    000010110
    000010101
    000010100
    000010011
    000010010
    000010001
    0000000111
    0000000110
    0000000101
    0000000100
    00000100100
    00000100101
    00000100110
    00000100111
    000001011000
    000001011001
    000001011010
    000001011011
    000001011100
    000001011101
    000001011110
    000001011111
    """,
)
_INTRA = (
    """
    10 110 1111 01101 01100 010101 010011 010010 0010111 00011111 00011110 00011101 000100101 000100100 000100011 \
      000100001 0000100001 0000100000 0000001111 0000001110 00000000111 00000000110 00000100000 00000100001 \
      000001010000 000001010001 000001010010
    1110 010100 0010110 00011100 000100000 000011111 0000001101 00000100010 000001010011 000001010101
    01011 0010101 000011110 0000001100 000001010110
    010001 00011011 000011101 0000001011
    010000 000100010 0000001010
    001101 000011100 0000001000
    0010010 000011011 000001010100
    0010100 000011010 000001010111
    00011001 0000001001
    00011000 00000100011
    00010111
    000011001
    000011000
    0000000111
    000001011000
    """,
    """
    0111 001100 00010110 000010111 0000000110 00000000101 00000000100 000001011001
    001111 000010110 0000000101
    001110 0000000100
    0010001 00000100100
    0010000 00000100101
    0010011 000001011010
    00010101 000001011011
    00010100
    00010011
    00011010
    000010101
    000010100
    000010011
    000010010
    000010001
    00000100110
    00000100111
    000001011100
    000001011101
    000001011110
    000001011111
    """,
)

SHORT_TCOEF_BITS, TCOEF_BITS = 9, 12


def _runs_and_levels(table: tuple[str, str]) -> list[tuple[str, int, int, int]]:
    """(code, last, run, level) of every code."""
    return [
        (code, last, run, level)
        for last, block in enumerate(table)
        for run, line in enumerate(block.strip().splitlines())
        for level, code in enumerate(line.split(), 1)
    ]


def _tcoef(bits: int) -> Table:
    """Entries `length | run << 8 | level << 16 | last << 24`, of inter and then of intra macroblocks."""
    return np.concatenate(
        [
            _lookup(bits, [(code, run | level << 8 | last << 16) for code, last, run, level in _runs_and_levels(table)])
            for table in (_INTER, _INTRA)
        ]
    )


TCOEF, SHORT_TCOEF = _tcoef(TCOEF_BITS), _tcoef(SHORT_TCOEF_BITS)


def _escape_limits() -> tuple[Table, Table]:
    """Tables B-19 to B-22: LMAX[is_intra, last, run] and RMAX[is_intra, last, level]."""
    lmax, rmax = np.zeros((2, 2, 64), np.int32), np.zeros((2, 2, 64), np.int32)
    for is_intra, table in enumerate((_INTER, _INTRA)):
        for _, last, run, level in _runs_and_levels(table):
            lmax[is_intra, last, run] = max(lmax[is_intra, last, run], level)
            rmax[is_intra, last, level] = max(rmax[is_intra, last, level], run)
    return lmax.reshape(-1), rmax.reshape(-1)


LMAX, RMAX = _escape_limits()

# Figure 7-3: when the coefficient of each place comes. (c) is the usual order; AC prediction from above takes (a),
# from the left (b).
_ZIGZAG = """
     0  1  5  6 14 15 27 28
     2  4  7 13 16 26 29 42
     3  8 12 17 25 30 41 43
     9 11 18 24 31 40 44 53
    10 19 23 32 39 45 52 54
    20 22 33 38 46 51 55 60
    21 34 37 47 50 56 59 61
    35 36 48 49 57 58 62 63
"""
_ALTERNATE_HORIZONTAL = """
     0  1  2  3 10 11 12 13
     4  5  8  9 17 16 15 14
     6  7 19 18 26 27 28 29
    20 21 24 25 30 31 32 33
    22 23 34 35 42 43 44 45
    36 37 40 41 46 47 48 49
    38 39 50 51 56 57 58 59
    52 53 54 55 60 61 62 63
"""
_ALTERNATE_VERTICAL = """
     0  4  6 20 22 36 38 52
     1  5  7 21 23 37 39 53
     2  8 19 24 34 40 50 54
     3  9 18 25 35 41 51 55
    10 17 26 30 42 46 56 60
    11 16 27 31 43 47 57 61
    12 15 28 32 44 48 58 62
    13 14 29 33 45 49 59 63
"""


def _scan(figure: str) -> Table:
    """Where the coefficients go, in the order in which they come; blocks are kept column by column."""
    order = np.array([int(number) for number in figure.split()]).reshape(8, 8)
    return np.argsort(order.T.reshape(-1)).astype(np.int32)


SCANS = np.concatenate([_scan(figure) for figure in (_ZIGZAG, _ALTERNATE_HORIZONTAL, _ALTERNATE_VERTICAL)])
