"""What of the processor encoders use."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from dataset_upload.video import processor
from dataset_upload.video.encoding import write_rgb_mp4
from dataset_upload.video.processor import encoder_cpu, x264_extensions, x264_parameter

COMMON = ("MMX2", "SSE2Fast", "SSSE3", "SSE4.2", "AVX", "FMA3", "BMI2", "AVX2")


def flags_of_this_machine() -> list[str]:
    flags = Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split()
    if not flags:
        pytest.skip("this system does not list an x86 processor's extensions in /proc/cpuinfo")
    return flags


def test_encoders_say_which_of_the_processor_s_extensions_they_use(capfd: pytest.CaptureFixture[str]) -> None:
    level = av.logging.get_level()
    processor._x264_found.cache_clear()
    processor.encoder_cpu.cache_clear()
    x264, ffmpeg = encoder_cpu().removeprefix("x264 ").split(", FFmpeg ")
    assert av.logging.get_level() == level
    assert capfd.readouterr() == ("", "")
    for name in ("ssse3", "avx", "avx2"):
        assert (name.upper() in x264.split()) is (name.upper() in ffmpeg.split()) is (name in flags_of_this_machine())


@pytest.mark.parametrize(
    ("found", "used", "parameter"),
    [
        ((*COMMON, "AVX512"), COMMON, f"asm={','.join(COMMON)}"),
        (("LZCNT", *COMMON), COMMON, f"asm={','.join(COMMON)}"),
        (COMMON, COMMON, None),
        (("MMX2", "SSE2Fast"), ("MMX2", "SSE2Fast"), None),
        (("ARMv8", "NEON"), ("ARMv8", "NEON"), None),
        ((), (), None),
    ],
)
def test_processors_that_can_do_the_same_make_the_same_bytes(
    found: tuple[str, ...], used: tuple[str, ...], parameter: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    x264_extensions.cache_clear()
    monkeypatch.setattr(processor, "_x264_found", lambda: found)
    try:
        assert (x264_extensions(), x264_parameter()) == (used, parameter)
    finally:
        x264_extensions.cache_clear()


def test_x264_obeys(tmp_path: Path) -> None:
    if "avx2" not in flags_of_this_machine():
        pytest.skip("this processor has no AVX2")
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture() as lines:
            write_rgb_mp4([np.zeros((16, 16, 3), np.uint8)], tmp_path / "clip.mp4", fps=30, crf=18)
    finally:
        av.logging.set_level(None)
    (told,) = [text for _, _, text in lines if "cpu capabilities" in text]
    assert told.split(": ")[1].split() == list(COMMON)
