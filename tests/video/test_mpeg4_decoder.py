"""Every picture is FFmpeg's, sample by sample, whatever its encoder was asked for."""

from __future__ import annotations

from typing import Any

import av
import pytest
from mpeg4_streams import Reference, make_stream, same

pytest.importorskip("numba", reason="without Numba, FFmpeg decodes")

from dataset_upload.video.mpeg4.group_decoder import GroupDecoder
from dataset_upload.video.mpeg4.headers import read_stream_header

av.logging.set_level(av.logging.CRITICAL)

MV4, AIC = "+mv4", "+aic"
RD = {"mbd": "rd"}
LUMI = {"lumi_mask": "0.4", "dark_mask": "0.3", "scplx_mask": "0.3"}
PACKETS = {"ps": "300", "mpeg4_slices": "1"}

STREAMS: dict[str, dict[str, Any]] = {
    "16x16": {"size": (16, 16)},
    "16x16 with four vectors": {"size": (16, 16), "flags": MV4, "motion": 11},
    "32x16": {"size": (32, 16), "flags": MV4},
    "48x160": {"size": (48, 160), "flags": MV4 + AIC},
    "17x33": {"size": (17, 33), "flags": MV4},
    "63x47": {"size": (63, 47), "flags": MV4 + AIC, "options": RD},
    "161x97": {"size": (161, 97)},
    "854x482": {"size": (854, 482), "count": 4, "flags": MV4, "motion": 20},
    "1280x720": {"size": (1280, 720), "count": 3, "flags": MV4 + AIC, "bit_rate": 3_000_000},
    "1920x1080": {"size": (1920, 1080), "count": 3, "bit_rate": 4_000_000},
    "1920x1088": {"size": (1920, 1088), "count": 2, "flags": MV4, "quantisers": (3, 3)},
    "plain": {},
    "four vectors": {"flags": MV4},
    "AC prediction": {"flags": AIC},
    "AC prediction, many quantisers": {"flags": AIC, "options": LUMI, "gop": 1},
    "four vectors, AC prediction, by rate and distortion": {"flags": MV4 + AIC, "options": RD},
    "many quantisers": {"options": LUMI},
    "many quantisers, four vectors, by rate and distortion": {"options": {**LUMI, **RD}, "flags": MV4},
    "chosen by bits": {"options": {"mbd": "bits"}, "flags": MV4},
    "trellis": {"options": {"trellis": "2", **RD}, "flags": AIC},
    "q 1": {"quantisers": (1, 1), "bit_rate": 50_000_000},
    "q 1, AC prediction": {"quantisers": (1, 1), "flags": AIC + MV4, "bit_rate": 50_000_000},
    "q 2": {"quantisers": (2, 2), "bit_rate": 50_000_000},
    "q 3": {"quantisers": (3, 3)},
    "q 5, AC prediction": {"quantisers": (5, 5), "flags": AIC},
    "q 9": {"quantisers": (9, 9), "flags": MV4},
    "q 17": {"quantisers": (17, 17), "flags": AIC},
    "q 24": {"quantisers": (24, 24)},
    "q 29, white": {"quantisers": (29, 29), "seed": 3},
    "q 31": {"quantisers": (31, 31), "flags": MV4 + AIC},
    "q 1 to 31": {"quantisers": (1, 31), "bit_rate": 60_000, "count": 40},
    "keyframes only": {"gop": 1, "count": 6},
    "one keyframe": {"gop": 300, "count": 300, "size": (64, 48)},
    "groups of 2": {"gop": 2, "count": 9},
    "one frame": {"count": 1},
    "motion of 40": {"motion": 40, "options": {"me_range": "256"}},
    "motion of 300": {"motion": 300, "size": (640, 368), "count": 6, "flags": MV4, "options": {"me_range": "1023"}},
    "no motion": {"motion": 0},
    "video packets": {"options": PACKETS},
    "video packets, four vectors, AC prediction": {"options": {**PACKETS, **LUMI}, "flags": MV4 + AIC, "motion": 17},
    "small video packets": {"options": {"ps": "40"}, "flags": MV4, "size": (272, 144)},
    "noise": {"seed": 9, "quantisers": (1, 4), "bit_rate": 90_000_000, "options": {"noise": "400"}},
}


@pytest.mark.parametrize("name", STREAMS)
def test_every_picture_is_that_of_ffmpeg(name: str) -> None:
    stream = make_stream(**STREAMS[name])
    header = read_stream_header(stream.configuration)
    assert header.has_markers == ("ps" in STREAMS[name].get("options", {}))
    decoder, reference = GroupDecoder(header), Reference(stream.configuration)
    for number, packet in enumerate(stream.packets):
        expected = reference.decode(packet)
        assert expected is not None
        picture = decoder.decode(packet)
        assert same(expected, (picture.y, picture.u, picture.v)), f"frame {number}"
