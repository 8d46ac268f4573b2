"""Damaged packets, given to our decoder and to FFmpeg's.

    python tests/mpeg4_mutations.py 20000 [video.mp4 ...]

damages packets of made streams, or of videos, and prints what became of them. With DATASET_UPLOAD_CHECKED_KERNELS=1
every access to memory is verified.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import av
from mpeg4_streams import Reference, Stream, make_stream, same

from dataset_upload.video.mpeg4.group_decoder import GroupDecoder
from dataset_upload.video.mpeg4.headers import OtherStream, RefusedPacket, read_stream_header

STREAMS: list[dict[str, Any]] = [
    {"size": (96, 64), "flags": "+mv4+aic", "gop": 4},
    {"size": (64, 64), "quantisers": (1, 3), "bit_rate": 9_000_000, "gop": 4},
    {"size": (81, 47), "flags": "+mv4", "options": {"lumi_mask": "0.4", "mbd": "rd"}, "gop": 4},
    {"size": (96, 80), "options": {"ps": "60"}, "flags": "+mv4+aic", "gop": 4},
    {"size": (112, 48), "motion": 40, "options": {"me_range": "256"}, "gop": 4},
    {"size": (48, 48), "quantisers": (31, 31), "gop": 4},
]


def streams_of(videos: Sequence[str]) -> list[Stream]:
    """Those of videos; made ones, if there are none."""
    if not videos:
        return [make_stream(**options) for options in STREAMS]
    streams = []
    for video in videos:
        with av.open(video) as container:
            stream = container.streams.video[0]
            packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
            streams.append(Stream(bytes(stream.codec_context.extradata or b""), packets))
    return streams


def damage(packet: bytes, other: bytes, chance: random.Random) -> bytes:
    """A packet with some bits flipped, bytes overwritten, inserted or left out, cut short, or grown into another."""
    data = bytearray(packet)
    kind = chance.randrange(10)
    place = chance.randrange(4, len(data))
    if kind < 5:
        for _ in range(chance.choice((1, 1, 1, 2, 3, 10))):
            # Headers are few bits: now and then it is one of them.
            end = 12 if chance.random() < 0.1 else len(data)
            bit = chance.randrange(8 * 4, 8 * min(end, len(data)))
            data[bit >> 3] ^= 0x80 >> (bit & 7)
    elif kind == 5:
        length = chance.randrange(1, 30)
        data[place : place + length] = chance.randbytes(length)
    elif kind == 6:
        del data[place : place + chance.randrange(1, 20)]
    elif kind == 7:
        data[place:place] = chance.randbytes(chance.randrange(1, 20))
    elif kind == 8:
        del data[place:]
    else:
        data[place:] = other[min(place, len(other)) :]
    return bytes(data)


def run(streams: list[Stream], count: int, seed: int = 0) -> Counter[tuple[str, str]]:
    """Damage `count` packets, each in a group of its own, and decode what comes before, with and after it.

    Returns:
        How often our decoder, and then FFmpeg's, said what: "accepted", "refused", or "differs" for both.
    """
    chance = random.Random(seed)
    decoders = [(GroupDecoder(read_stream_header(s.configuration)), Reference(s.configuration)) for s in streams]
    verdicts: Counter[tuple[str, str]] = Counter()
    for _ in range(count):
        number = chance.randrange(len(streams))
        packets, (decoder, reference) = streams[number].packets, decoders[number]
        keyframes = [i for i, packet in enumerate(packets) if packet[packet.find(b"\0\0\1\xb6") + 4] < 0x40]
        first = chance.choice(keyframes)
        length = chance.randrange(1, min(4, len(packets) - first) + 1)
        group = packets[first : first + length]
        place = chance.randrange(length)
        group[place] = damage(group[place], chance.choice(packets), chance)
        verdicts[_verdicts(decoder, reference, streams[number], group)] += 1
    return verdicts


def _verdicts(decoder: GroupDecoder, reference: Reference, stream: Stream, group: list[bytes]) -> tuple[str, str]:
    decoder.start_group()
    reference.start_group()
    ours = theirs = "accepted"
    for packet in group:
        try:
            picture = decoder.decode(packet)
        except (OtherStream, RefusedPacket):
            ours = "refused"
        expected = reference.decode(packet)
        if expected is None:
            theirs = "refused"
        if ours == "refused" or theirs == "refused":
            break
        assert expected is not None
        if not same(expected, (picture.y, picture.u, picture.v)):
            return "differs", "differs"
    # What a damaged header changes must not outlast the group.
    reference.__init__(stream.configuration)  # type: ignore[misc]
    return ours, theirs


if __name__ == "__main__":
    av.logging.set_level(av.logging.ERROR)
    start = time.monotonic()
    for verdict, times in sorted(run(streams_of(sys.argv[2:]), int(sys.argv[1]), seed=int(start)).items()):
        print(f"ours {verdict[0]:9} FFmpeg {verdict[1]:9} {times}")
    print(f"{time.monotonic() - start:.0f} s")
