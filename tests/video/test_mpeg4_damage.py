"""Whatever is done to a packet: no crash, nothing accepted that FFmpeg calls damaged, no picture unlike FFmpeg's."""

from __future__ import annotations

import commands
import pytest
from project import PROJECT

pytest.importorskip("numba", reason="without Numba, FFmpeg decodes")

from mpeg4_mutations import run, streams_of
from mpeg4_streams import make_stream

from dataset_upload.video.mpeg4.group_decoder import GroupDecoder
from dataset_upload.video.mpeg4.headers import RefusedPacket, read_stream_header

NEVER = (("accepted", "refused"), ("differs", "differs"))


def test_damaged_packets() -> None:
    verdicts = run(streams_of([]), 1500, seed=1)
    assert not any(verdicts[never] for never in NEVER), verdicts
    assert verdicts["accepted", "accepted"] > 100  # damage that is none: another picture, but a whole one
    assert verdicts["refused", "refused"] > 500
    # What we refuse needlessly costs a second decode, no more; it must stay rare.
    assert verdicts["refused", "accepted"] < 30


@pytest.mark.slow
def test_no_access_is_outside_its_array() -> None:
    """The same kernels, compiled so that each load and each store is verified."""
    script = PROJECT / "tests" / "harness" / "mpeg4_mutations.py"
    environment = commands.environment(DATASET_UPLOAD_CHECKED_KERNELS="1")
    ended = commands.run(script, 500, env=environment, timeout=550)
    assert ended.exit_code == 0, ended.stderr
    assert "differs" not in ended.stdout
    assert "accepted  FFmpeg refused" not in ended.stdout


def test_what_follows_a_refused_packet_is_not_harmed_by_it() -> None:
    """Coefficients that were read before the damage must not turn up in a later picture."""
    stream = make_stream((96, 64), 6, gop=3, quantisers=(2, 2), bit_rate=9_000_000)
    decoder, undisturbed = (GroupDecoder(read_stream_header(stream.configuration)) for _ in range(2))
    for cut in (30, 60, len(stream.packets[0]) // 2, len(stream.packets[0]) - 1):
        decoder.start_group()
        with pytest.raises(RefusedPacket):
            decoder.decode(stream.packets[0][:cut])
        decoder.start_group()
        undisturbed.start_group()
        for packet in stream.packets[:3]:
            ours, expected = decoder.decode(packet), undisturbed.decode(packet)
            assert (ours.y == expected.y).all() and (ours.u == expected.u).all() and (ours.v == expected.v).all()


def test_a_group_does_not_begin_with_a_p_picture() -> None:
    stream = make_stream((32, 32), 3)
    decoder = GroupDecoder(read_stream_header(stream.configuration))
    with pytest.raises(RefusedPacket):
        decoder.decode(stream.packets[1])
    decoder.decode(stream.packets[0])
    decoder.decode(stream.packets[1])
    decoder.start_group()
    with pytest.raises(RefusedPacket):
        decoder.decode(stream.packets[2])
