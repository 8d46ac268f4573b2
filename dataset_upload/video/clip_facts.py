"""What a clip's files say about it, found by decoding every frame."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import av


@dataclass
class ClipFacts:
    """One clip: an MP4, or JPEGs."""

    sha256: str
    num_frames: int = 0
    sizes: set[tuple[int, int]] = field(default_factory=set)  # (width, height)
    codecs: set[str] = field(default_factory=set)  # codec and pixel format, as "h264 yuv420p"
    fps: float | None = None  # of an MP4
    index_in_front: bool | None = None  # of an MP4: it plays before it is there as a whole


def read_clip(contents: Sequence[bytes]) -> ClipFacts:
    """Decode a clip from the contents of its files. Raises OSError where that cannot be done."""
    facts = ClipFacts(hashlib.sha256(b"".join(contents)).hexdigest())
    for content in contents:
        with av.open(io.BytesIO(content), "r", options={"err_detect": "explode"}) as container:
            stream = container.streams.video[0]
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise OSError(f"frame {facts.num_frames} is damaged")
                facts.num_frames += 1
                facts.sizes.add((frame.width, frame.height))
            facts.codecs.add(f"{stream.codec_context.name} {stream.codec_context.pix_fmt}")
            if content[4:8] == b"ftyp":  # an MP4
                facts.fps = float(stream.average_rate or 0)
                facts.index_in_front = _index_in_front(content)
    return facts


def _index_in_front(mp4: bytes) -> bool:
    """Whether the box of the index, `moov`, comes before that of the pictures, `mdat`."""
    position = 0
    while position + 8 <= len(mp4):
        size, kind = struct.unpack_from(">I4s", mp4, position)
        if kind in (b"moov", b"mdat"):
            return bool(kind == b"moov")
        position += max(size, 8)
    return False
