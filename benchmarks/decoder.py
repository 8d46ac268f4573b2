"""What decoding costs: our decoder beside FFmpeg's, at full and at reduced size, with a warm and with a crowded cache.

    uv run python benchmarks/decoder.py --episodes /path/to/egodex/test

Each round decodes every frame of a few episodes in every way, one after the other, in this thread; the table has the
medians of the rounds. Crowded: between any two frames 48 MB of other memory are read, as other workers' work would.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from convert import machine

from dataset_upload.mini_egodex.part import make_mini_egodex
from dataset_upload.video.mpeg4.group_decoder import GroupDecoder
from dataset_upload.video.mpeg4.headers import read_stream_header

_OTHER_MEMORY = np.zeros(48 << 20, np.uint8)
_CROWDED_FRAMES = 12  # of an episode


class Clip(NamedTuple):
    configuration: bytes
    packets: list[bytes]


def read_clip(path: Path) -> Clip:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
        return Clip(bytes(stream.codec_context.extradata or b""), packets)


def ours(clip: Clip) -> Callable[[bytes], Any]:
    return GroupDecoder(read_stream_header(clip.configuration)).decode


def ffmpeg(reductions: int) -> Callable[[Clip], Callable[[bytes], Any]]:
    def start(clip: Clip) -> Callable[[bytes], Any]:
        decoder: Any = av.CodecContext.create("mpeg4", "r")
        decoder.extradata = clip.configuration
        decoder.thread_count = 1
        decoder.options = {"bug": "0", "lowres": str(reductions)}

        def decode(data: bytes) -> Any:
            packet: Any = av.Packet(len(data))
            packet.update(data)
            return decoder.decode(packet)

        return decode

    return start


WAYS: dict[str, Callable[[Clip], Callable[[bytes], Any]]] = {
    "FFmpeg": ffmpeg(0),
    "FFmpeg, half size": ffmpeg(1),
    "FFmpeg, quarter size": ffmpeg(2),
    "ours": ours,
}


def milliseconds_a_frame(
    start: Callable[[Clip], Callable[[bytes], Any]], clips: list[Clip], *, is_crowded: bool
) -> float:
    spent, count = 0.0, 0
    for clip in clips:
        decode = start(clip)
        decode(clip.packets[0])  # buffers, tables
        for packet in clip.packets[:_CROWDED_FRAMES] if is_crowded else clip.packets:
            if is_crowded:
                _OTHER_MEMORY.sum()
            begin = time.thread_time()
            decode(packet)
            spent += time.thread_time() - begin
            count += 1
    return 1e3 * spent / count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=Path, help="folder of an EgoDex part (default: a miniature one is drawn)")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if options.episodes is None:
            options.episodes = Path(scratch, "mini")
            make_mini_egodex(options.episodes, episodes=3, size=(1920, 1080), frames=(48, 60))
        clips = [read_clip(path) for path in sorted(options.episodes.glob("*/*.mp4"))[:5]]
    for start in WAYS.values():  # machine code, too
        start(clips[0])(clips[0].packets[0])
    print(machine(), "\n")
    print("| ms a frame | warm | times as fast as FFmpeg | crowded | times as fast as FFmpeg |")
    print("| --- | ---: | ---: | ---: | ---: |")
    rounds = [
        {
            name: [milliseconds_a_frame(start, clips, is_crowded=crowded) for crowded in (False, True)]
            for name, start in WAYS.items()
        }
        for _ in range(options.rounds)
    ]
    for name in WAYS:
        cells = []
        for crowded in (False, True):
            times = statistics.median(costs[name][crowded] for costs in rounds)
            ratio = statistics.median(costs["FFmpeg"][crowded] / costs[name][crowded] for costs in rounds)
            cells += [f"{times:.2f}", f"{ratio:.2f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
