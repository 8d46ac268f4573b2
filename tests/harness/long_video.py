"""A long video as EgoDex's are, made in no time."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_long_video(path: Path, *, num_frames: int, frame_bytes: int = 17_000) -> Path:
    """Noise of 320x180, coded as EgoDex's videos, with about as many bytes a frame: 240 frames, over and over."""
    rng = np.random.default_rng(0)
    once = path.with_suffix(".once.mp4")
    with av.open(str(once), "w") as container:
        only_every_12 = {"sc_threshold": "1000000000"}  # no keyframe for what looks like a new scene
        stream = container.add_stream("mpeg4", rate=30, options=only_every_12)
        stream.bit_rate = frame_bytes * 8 * 30
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.gop_size = 12
        stream.codec_context.thread_count = 1
        for _ in range(240):
            noise = rng.integers(0, 256, (180, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(once)) as source, av.open(str(path), "w") as container:
        copy = container.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        first, last = packets[0], packets[-1]
        assert last.pts is not None and first.duration is not None
        length = last.pts + first.duration
        for number in range(num_frames):
            packet = packets[number % len(packets)]
            again = av.Packet(bytes(packet))
            again.pts = again.dts = (packet.pts or 0) + length * (number // len(packets))
            again.duration, again.time_base = packet.duration, packet.time_base
            again.is_keyframe, again.stream = packet.is_keyframe, copy
            container.mux(again)
    once.unlink()
    return path
