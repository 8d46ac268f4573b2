"""The processor's extensions that encoders use: x264's bytes depend on them, so a dataset names them."""

from __future__ import annotations

import ctypes
import platform
import re
from fractions import Fraction
from functools import cache
from typing import Any

import av

# Where the processor has these, x264 uses just these: so nearly all x86 processors since 2013 make the same bytes.
# Measured on the real sample against all that an AVX-512 processor has: 1.000 of the CPU, 1 byte in 627,369 more.
_X264_COMMON = ("MMX2", "SSE2Fast", "SSSE3", "SSE4.2", "AVX", "FMA3", "BMI2", "AVX2")

# AV_CPU_FLAG_… of libavutil/cpu.h up to AVX2; what comes after it changes nothing in what is used of FFmpeg.
_FFMPEG_FLAGS = {
    "x86_64": {
        "SSE2": 0x10,
        "SSSE3": 0x80,
        "SSE4.2": 0x200,
        "AVX": 0x4000,
        "FMA3": 0x10000,
        "BMI2": 0x40000,
        "AVX2": 0x8000,
    },
    "aarch64": {"NEON": 0x20},
}
_MACHINES = {"AMD64": "x86_64", "arm64": "aarch64"}  # other systems' words


@cache
def encoder_cpu() -> str:
    """What of the processor the bytes of clips depend on: `x264 MMX2 SSE2Fast … AVX2, FFmpeg SSE2 … AVX2`."""
    return f"x264 {' '.join(x264_extensions()) or 'none'}, FFmpeg {' '.join(_ffmpeg_extensions()) or 'none'}"


@cache
def x264_extensions() -> tuple[str, ...]:
    """The extensions that x264 is to use, in its own words."""
    found = _x264_found()
    return _X264_COMMON if set(_X264_COMMON) <= set(found) else found


def x264_parameter() -> str | None:
    """The parameter by which x264 uses just `x264_extensions`; None where it does so by itself."""
    return None if x264_extensions() == _x264_found() else f"asm={','.join(x264_extensions())}"


@cache
def _x264_found() -> tuple[str, ...]:
    """The extensions that x264 finds, as it tells when it is opened; none where it is silent."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 16, 16, "yuv420p"
    encoder.time_base = Fraction(1)
    encoder.thread_count = 1
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture() as lines:
            encoder.open()
    finally:
        av.logging.set_level(level)
    told = re.search(r"using cpu capabilities: (.*)", "".join(text for _, _, text in lines))
    return tuple(told[1].replace("none!", "").split()) if told else ()


def _ffmpeg_extensions() -> tuple[str, ...]:
    flags = ctypes.CDLL(av._core.__file__).av_get_cpu_flags()  # libavutil itself has another name in each build
    machine = platform.machine()
    known = _FFMPEG_FLAGS.get(_MACHINES.get(machine, machine), {})
    return tuple(name for name, flag in known.items() if flags & flag)
