"""Frame i of a video is what a plain decode from its start gives at i, for the price of its group of pictures."""

from __future__ import annotations

import io
import random
import re
import struct
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import commands
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video_streams import FPS, SMALL, Packet, encode, packets, pixels, plain_decode, read_number, remux, replace_boxes

from dataset_upload.errors import EpisodeError, Reason
from dataset_upload.video.decoding import Video

NAME = "/data/egodex/test/task/0.mp4"
FASTSTART = {"movflags": "+faststart"}
FRAGMENTED = {"movflags": "+frag_keyframe+empty_moov"}


def open_video(data: bytes) -> Video:
    return Video(io.BytesIO(data), NAME)


def decode(data: bytes, indices: Sequence[int]) -> list[bytes]:
    return [pixels(frame) for frame in open_video(data).decode(indices)]


# Videos of every structure ---------------------------------------------------------------------------------


def edited(video: bytes, *edits: tuple[int, int]) -> bytes:
    """An MP4 file with another edit list: (duration in ms, first tick shown, -1 for nothing)."""
    entries = b"".join(struct.pack(">iiI", *edit, 1 << 16) for edit in edits)
    return replace_boxes(video, {b"elst": lambda _: struct.pack(">II", 0, len(edits)) + entries})


def not_coded(vop: bytes) -> bytes:
    """The MPEG-4 frame that says: like the one before. From a P-frame's header, less than a second after another's."""
    bits = "".join(f"{byte:08b}" for byte in vop[4:8])
    header = bits[: 2 + 1 + 1 + 5 + 1] + "0"  # type, seconds, marker, thirtieths, marker; vop_coded
    return vop[:4] + int((header + "01111111")[:16], 2).to_bytes(2, "big")


def with_frames_not_coded(size: tuple[int, int] = SMALL, user_data: bytes = b"") -> bytes:
    video = encode("mpeg4", size=size)
    every = packets(video)
    return remux(
        video,
        [p._replace(data=user_data + not_coded(p.data)) if i in (5, 17) else p for i, p in enumerate(every)],
    )


def packed(container: str, profile: str = "15") -> bytes:
    """DivX's packed bitstream: a P-frame shares its packet with the B-frame after it, a not-coded frame follows."""
    video = encode("mpeg4", 31, b_frames=1, gop=10, options={"profile": profile})
    originals = packets(video)
    a_p_frame = next(p.data for p in originals if p.data[4] >> 6 == 1)
    repacked: list[Packet] = []
    while originals:
        first, *rest = originals
        time = 512 * len(repacked)
        if rest and rest[0].data[4] >> 6 == 2:
            repacked.append(Packet(first.data + rest[0].data, time, time, first.is_keyframe))
            repacked.append(Packet(not_coded(a_p_frame), time + 512, time + 512, False))
            originals = rest[1:]
        else:
            repacked.append(Packet(first.data, time, time, first.is_keyframe))
            originals = rest
    packed_video = remux(video, repacked, container)
    return re.sub(rb"Lavc[\d.]+", lambda name: b"DivX503b1".ljust(len(name[0]), b"p"), packed_video)


def two_frames_in_one_packet() -> bytes:
    video = encode("mpeg4")
    every = packets(video)
    return remux(video, [*every[:5], every[5]._replace(data=every[5].data + every[6].data), *every[7:]])


def with_sound(*videos: bytes) -> bytes:
    """An MP4 file with a second of silence, and videos interleaved with it."""
    result = io.BytesIO()
    with av.open(result, "w", format="mp4") as output:
        sound = output.add_stream("aac", rate=44_100)
        sources = [av.open(io.BytesIO(video), "r") for video in videos]
        streams = [output.add_stream_from_template(source.streams.video[0]) for source in sources]
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44_100
        output.mux([*sound.encode(silence), *sound.encode(None)])
        for source, stream in zip(sources, streams, strict=True):
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
    return result.getvalue()


def sampled_at(mp4: bytes, rate: int) -> bytes:
    """The file with another sampling rate, 16.16 bits, where a video would have its size."""
    return replace_boxes(
        mp4,
        {
            b"stsd": lambda content: (
                content[:40] + struct.pack(">I", rate) + content[44:] if b"mp4a" in content else content
            )
        },
    )


def without_boxes(video: bytes, *kinds: bytes) -> bytes:
    for kind in kinds:
        video = video.replace(kind, b"free")
    return video


def labelled_simple_profile() -> bytes:
    """B-frames all the same, none of them small."""
    return encode("mpeg4", b_frames=2, size=(160, 120), options={"profile": "0", "qmax": "2"})


def denying_b_frames() -> bytes:
    """B-frames under a header that promises none: Simple Profile, low delay."""
    video = labelled_simple_profile()
    before, header, after = video.partition(b"\x08\xd4\x8d\x08\x00")
    assert header and header not in after
    return before + b"\x08\xd4\x8d\x88\x00" + after


def all_at_once() -> bytes:
    """Frames that last no time."""
    return replace_boxes(encode("mpeg4"), {b"stts": lambda _: struct.pack(">IIII", 0, 1, 30, 0)})


# What can be decoded group by group: MPEG-4 Simple Profile in MP4, in the order in which it is shown.
SIMPLE: dict[str, Callable[[], bytes]] = {
    "EgoDex's": lambda: encode("mpeg4", 50),
    "index in front": lambda: encode("mpeg4", container_options=FASTSTART),
    "QuickTime": lambda: encode("mpeg4", container="mov"),
    "groups of 2": lambda: encode("mpeg4", gop=2),
    "irregular times": lambda: encode("mpeg4", 20, times=[i * i for i in range(20)]),
    "starts late": lambda: encode("mpeg4", times=range(10, 40)),
    "edit list that delays": lambda: edited(encode("mpeg4"), (300, -1), (1000, 0)),
    "with sound": lambda: sampled_at(with_sound(encode("mpeg4")), 0xAC44_AC44),
    "odd size": lambda: encode("mpeg4", size=(321, 241)),
    "two frames in one packet": two_frames_in_one_packet,
}
# What must be decoded from its start.
OTHER: dict[str, Callable[[], bytes]] = {
    "one large group": lambda: encode("mpeg4", 1, gop=600),
    "keyframes only": lambda: encode("mpeg4", gop=1),
    "keyframes unknown": lambda: without_boxes(encode("mpeg4"), b"stss"),
    "B-frames": lambda: encode("mpeg4", b_frames=2),
    "B-frames labelled Simple Profile": labelled_simple_profile,
    "B-frames labelled Simple Profile, without times": lambda: without_boxes(
        labelled_simple_profile(), b"ctts", b"edts"
    ),
    "B-frames denied": denying_b_frames,
    "quarter pixels": lambda: encode("mpeg4", options={"flags": "+qpel"}),
    "not-coded frames": with_frames_not_coded,
    "not-coded frames with user data": lambda: with_frames_not_coded((320, 240), b"\0\0\1\xb2" + b"x" * 20),
    "frames all at once": all_at_once,
    "packed B-frames in MP4": lambda: packed("mp4"),
    "packed B-frames labelled Simple Profile": lambda: packed("mp4", profile="0"),
    "edit list that cuts the start": lambda: edited(encode("mpeg4"), (1000, 5 * 512)),
    "edit list that cuts the middle": lambda: edited(encode("mpeg4"), (360, 0), (500, 15 * 512)),
    "edit list that cuts": lambda: edited(encode("mpeg4"), (500, 5 * 512)),
    "edit list that repeats": lambda: edited(encode("mpeg4"), (500, 0), (500, 0)),
    "edit list on B-frames": lambda: edited(encode("mpeg4", b_frames=2), (500, 8 * 512)),
    "H.264": lambda: encode("libx264", 40),
    "H.264, irregular times": lambda: encode("libx264", 20, times=[i * i for i in range(20)]),
    "H.264, open groups": lambda: encode("libx264", 40, options={"x264-params": "open-gop=1:keyint=8:bframes=3"}),
    "Motion JPEG": lambda: encode("mjpeg"),
}
EVERY = SIMPLE | OTHER


@pytest.fixture(scope="module")
def video_of() -> Callable[[str], bytes]:
    made: dict[str, bytes] = {}

    def video(structure: str) -> bytes:
        if structure not in made:
            made[structure] = EVERY[structure]()
        return made[structure]

    return video


@pytest.mark.parametrize("structure", EVERY)
def test_every_frame_is_that_of_a_plain_decode(video_of: Callable[[str], bytes], structure: str) -> None:
    data = video_of(structure)
    plain = plain_decode(data)
    assert open_video(data).num_frames == len(plain) > 0
    assert decode(data, range(len(plain))) == [frame.pixels for frame in plain]


@pytest.mark.parametrize("structure", EVERY)
def test_frames_picked_at_random_are_those_of_a_plain_decode(video_of: Callable[[str], bytes], structure: str) -> None:
    data = video_of(structure)
    plain = plain_decode(data)
    for seed in range(8):
        indices = sorted(random.Random(seed).sample(range(len(plain)), k=min(1 + seed, len(plain))))
        assert decode(data, indices) == [plain[index].pixels for index in indices]


@pytest.mark.parametrize("structure", SIMPLE)
def test_simple_profile_is_decoded_by_groups(video_of: Callable[[str], bytes], structure: str) -> None:
    assert packets_read(video_of(structure), wanted=[20 - 1])


@pytest.mark.parametrize("structure", OTHER)
def test_what_is_not_provably_simple_is_decoded_from_its_start(
    video_of: Callable[[str], bytes], structure: str
) -> None:
    assert not packets_read(video_of(structure), wanted=[0])


@pytest.mark.parametrize("structure", ["EgoDex's", "B-frames", "H.264", "H.264, open groups"])
def test_frames_come_in_the_order_in_which_they_were_drawn(video_of: Callable[[str], bytes], structure: str) -> None:
    video = open_video(video_of(structure))
    wanted = range(0, video.num_frames, 3)
    assert [read_number(frame) for frame in video.decode(wanted)] == list(wanted)


@settings(max_examples=25)
@given(
    count=st.integers(1, 30),
    gop=st.integers(1, 40),
    b_frames=st.sampled_from([0, 0, 1, 3]),
    codec=st.sampled_from(["mpeg4", "mpeg4", "libx264"]),
    data=st.data(),
)
def test_any_frames_of_any_structure(count: int, gop: int, b_frames: int, codec: str, data: st.DataObject) -> None:
    video = encode(codec, count, gop=gop, b_frames=b_frames)
    wanted = sorted(data.draw(st.sets(st.integers(0, count - 1))))
    plain = plain_decode(video)
    assert decode(video, wanted) == [plain[index].pixels for index in wanted]


def test_frames_of_real_episodes_are_those_of_a_plain_decode(real_sample: Path) -> None:
    for path in sorted(real_sample.glob("*/*.mp4"))[:2]:
        data = path.read_bytes()
        wanted = np.linspace(0, open_video(data).num_frames - 1, 12, dtype=int).tolist()
        with av.open(io.BytesIO(data), "r") as container:
            plain = [pixels(frame) for index, frame in enumerate(container.decode(video=0)) if index in wanted]
        assert decode(data, wanted) == plain


def test_real_episodes_are_decoded_by_groups(real_sample: Path) -> None:
    for path in sorted(real_sample.glob("*/*.mp4")):
        assert packets_read(path.read_bytes(), wanted=[26])[-3:] == [24, 25, 26]


# Attributes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", EVERY)
def test_size_is_that_of_the_frames(video_of: Callable[[str], bytes], structure: str) -> None:
    video = open_video(video_of(structure))
    (first,) = video.decode([0])
    assert (video.width, video.height) == (first.width, first.height)


@pytest.mark.parametrize("structure", ["EgoDex's", "starts late", "irregular times", "B-frames", "H.264"])
def test_timestamps_are_the_frames_own_from_the_first_on(video_of: Callable[[str], bytes], structure: str) -> None:
    times = np.array([frame.seconds for frame in plain_decode(video_of(structure))], dtype=float)
    np.testing.assert_allclose(open_video(video_of(structure)).timestamps, times - times[0], rtol=0, atol=1e-9)


def test_timestamps_that_do_not_rise_are_counted_at_the_frame_rate(video_of: Callable[[str], bytes]) -> None:
    video = open_video(video_of("packed B-frames in MP4"))
    np.testing.assert_allclose(video.timestamps, np.arange(video.num_frames) / FPS, atol=1e-3)


def test_fps_is_the_average() -> None:
    assert open_video(encode("mpeg4")).fps == FPS
    assert open_video(encode("mpeg4", 60, times=range(0, 120, 2))).fps == pytest.approx(FPS / 2, rel=0.02)


# What it costs ---------------------------------------------------------------------------------------------


class WatchedFile(io.BytesIO):
    """A file that keeps account of what is read of it: (offset, number of bytes)."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads: list[tuple[int, int]] = []

    def read(self, size: int | None = -1) -> bytes:
        offset = self.tell()
        data = super().read(size)
        self.reads.append((offset, len(data)))
        return data

    @property
    def num_bytes_read(self) -> int:
        return sum(size for _, size in self.reads)


def packets_read(data: bytes, wanted: Sequence[int]) -> list[int]:
    """Which packets were read one by one, in that order, to decode the wanted frames."""
    file = WatchedFile(data)
    video = Video(file, NAME)
    file.reads.clear()
    assert len(list(video.decode(wanted))) == len(wanted)
    with av.open(io.BytesIO(data), "r") as container:
        extents = [(entry.pos, entry.size) for entry in container.streams.video[0].index_entries]
    return [extents.index(read) for read in file.reads if read in extents]


@pytest.fixture(scope="module")
def bulky() -> bytes:
    """48 frames in groups of 12, 5 MB: nothing of it is read by accident."""
    return encode("mpeg4", 48, size=(640, 480), options={"qmin": "1", "qmax": "1"}, container_options=FASTSTART)


def test_a_frame_costs_its_group_up_to_it(bulky: bytes) -> None:
    assert packets_read(bulky, wanted=[15]) == [12, 13, 14, 15]


def test_frames_of_one_group_share_their_cost(bulky: bytes) -> None:
    assert packets_read(bulky, wanted=[13, 14, 15, 37]) == [12, 13, 14, 15, 36, 37]


def test_opening_reads_a_hundredth(bulky: bytes) -> None:
    file = WatchedFile(bulky)
    Video(file, NAME)
    assert file.num_bytes_read < 0.03 * len(bulky)


def test_frames_are_handed_on_before_the_next_is_decoded(bulky: bytes) -> None:
    file = WatchedFile(bulky)
    frames = Video(file, NAME).decode(range(48))
    next(frames)
    before = file.num_bytes_read
    next(frames)
    assert file.num_bytes_read - before == len(packets(bulky)[1].data)


def test_nothing_is_read_for_no_frames(bulky: bytes) -> None:
    file = WatchedFile(bulky)
    video = Video(file, NAME)
    file.reads.clear()
    assert list(video.decode([])) == []
    assert file.num_bytes_read == 0


def test_a_decode_from_the_start_ends_at_the_last_wanted_frame() -> None:
    data = encode("mpeg4", 48, b_frames=1, size=(640, 480), options={"qmin": "1", "qmax": "1"})
    file = WatchedFile(data)
    video = Video(file, NAME)
    file.reads.clear()
    list(video.decode([5]))
    assert file.num_bytes_read < 0.3 * len(data)


@pytest.mark.parametrize("b_frames", [0, 1])
def test_a_reopened_video_is_the_same_without_reading_its_file(b_frames: int) -> None:
    data = encode("mpeg4", 48, b_frames=b_frames)
    video, file = open_video(data), WatchedFile(data)
    reopened = video.reopened(file)
    assert reopened.num_frames == 48 and file.num_bytes_read == 0
    (frame,) = reopened.decode([31])
    assert read_number(frame) == 31


# Failures --------------------------------------------------------------------------------------------------


def failure(data: bytes, indices: Sequence[int] | None = None) -> EpisodeError:
    """The error that ends a video's decoding: the named reason, in one line, with the file's name."""
    with pytest.raises(EpisodeError) as caught:
        video = open_video(data)
        list(video.decode(range(video.num_frames) if indices is None else indices))
    assert NAME in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("codec, b_frames", [("mpeg4", 0), ("mpeg4", 2), ("libx264", 2)])
@pytest.mark.parametrize("share", [0.99, 0.6, 0.4])
def test_cut_short(codec: str, b_frames: int, share: float) -> None:
    video = encode(codec, b_frames=b_frames, container_options=FASTSTART)
    assert failure(video[: int(share * len(video))]).reason == Reason.TRUNCATED_VIDEO


@pytest.mark.parametrize("b_frames", [0, 2])
def test_cut_between_two_frames(b_frames: int) -> None:
    video = encode("mpeg4", b_frames=b_frames, container_options=FASTSTART)
    last = packets(video)[-1].data
    assert failure(video[: -len(last)]).reason == Reason.TRUNCATED_VIDEO


def test_cut_short_says_how_much_is_there() -> None:
    video = encode("mpeg4", container_options=FASTSTART)
    last = packets(video)[-1].data
    assert "(29 of 30 frames are there)" in str(failure(video[: -len(last)]))


def test_index_at_the_end_that_was_cut_off() -> None:
    video = encode("mpeg4")
    assert failure(video[: video.index(b"moov")]).reason == Reason.UNREADABLE_VIDEO


NOT_A_VIDEO = {
    "empty": b"",
    "text": b"404 Not Found\n" * 100,
    "random": random.Random(0).randbytes(10_000),
    "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nother.mp4\n",
    "header without index": encode("mpeg4")[:1000],
}


@pytest.mark.parametrize("content", NOT_A_VIDEO)
def test_not_a_video(content: str) -> None:
    assert failure(NOT_A_VIDEO[content]).reason == Reason.UNREADABLE_VIDEO


def test_other_files_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "other.mp4").write_bytes(encode("mpeg4"))
    (tmp_path / "0.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    with (tmp_path / "0.mp4").open("rb") as file, pytest.raises(EpisodeError) as caught:
        Video(file, NAME)
    assert caught.value.reason == Reason.UNREADABLE_VIDEO


def test_no_video_stream() -> None:
    assert "no video stream" in str(failure(with_sound()))


def test_unknown_codec() -> None:
    video = encode("mpeg4").replace(b"mp4v", b"nope").replace(b"esds", b"free")
    assert failure(video).reason == Reason.UNREADABLE_VIDEO


def test_no_frame() -> None:
    video = encode("mpeg4", container_options=FRAGMENTED)
    assert failure(video[: video.index(b"moof") - 4]).reason == Reason.ZERO_FRAMES


def test_no_coded_frame() -> None:
    video = encode("mpeg4", 13)
    p_frame = packets(video)[1]
    nothing = remux(video, [p_frame._replace(data=not_coded(p_frame.data), is_keyframe=True)])
    assert failure(nothing).reason == Reason.ZERO_FRAMES


def test_metadata_that_is_not_utf_8_is_no_reason_to_fail() -> None:
    video = encode("mpeg4").replace(b"Lavf", b"\xff\xfe\xfd\xfc")
    assert open_video(video).num_frames == 30


def test_source_that_cannot_be_read() -> None:
    class BadDisk(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 2000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    video = encode("mpeg4", container_options=FASTSTART)
    with pytest.raises(EpisodeError, match="Input/output error") as caught:
        list(Video(BadDisk(video), NAME).decode([25]))
    assert caught.value.reason == Reason.UNREADABLE_SOURCE


# Damage ----------------------------------------------------------------------------------------------------


def flip(video: bytes, *bits: int) -> bytes:
    damaged = bytearray(video)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def extent(video: bytes, number: int) -> tuple[int, int]:
    """A packet's first byte, and the first after it."""
    with av.open(io.BytesIO(video), "r") as container:
        entry = container.streams.video[0].index_entries[number]
    return entry.pos, entry.pos + entry.size


def blank(video: bytes, number: int) -> bytes:
    """The video with a frame's second half overwritten."""
    start, end = extent(video, number)
    middle = (start + end) // 2
    return video[:middle] + bytes(end - middle) + video[end:]


@pytest.mark.parametrize("structure", ["EgoDex's", "B-frames", "H.264", "Motion JPEG"])
def test_damaged_frame_is_a_failure(video_of: Callable[[str], bytes], structure: str) -> None:
    assert failure(blank(video_of(structure), 13)).reason == Reason.UNREADABLE_VIDEO


def test_frames_that_need_a_damaged_one_are_a_failure(video_of: Callable[[str], bytes]) -> None:
    assert "frame 14" in str(failure(blank(video_of("EgoDex's"), 14), indices=[20]))


def test_frames_before_the_damage_are_handed_on(video_of: Callable[[str], bytes]) -> None:
    frames = open_video(blank(video_of("EgoDex's"), 14)).decode(range(50))
    assert [read_number(next(frames)) for _ in range(14)] == list(range(14))
    with pytest.raises(EpisodeError, match="damaged at frame 14"):
        next(frames)


def test_damage_in_a_group_that_is_not_wanted_does_not_matter(video_of: Callable[[str], bytes]) -> None:
    data = video_of("EgoDex's")
    assert decode(blank(data, 14), [3, 30]) == decode(data, [3, 30])


def test_keyframe_that_is_none_is_a_failure(video_of: Callable[[str], bytes]) -> None:
    data = video_of("EgoDex's")
    start, _ = extent(data, 24)
    p_frame = flip(data, 8 * (start + data[start:].index(b"\0\0\1\xb6") + 4) + 6)
    assert "frame 24" in str(failure(p_frame, indices=[24]))


def test_keyframe_that_only_the_index_knows_of_is_a_failure(video_of: Callable[[str], bytes]) -> None:
    numbers = struct.pack(">5I", 1, 7, 25, 37, 49)
    misled = replace_boxes(video_of("EgoDex's"), {b"stss": lambda content: content[:8] + numbers})
    assert "frame 6" in str(failure(misled, indices=[8]))


def test_damage_is_found_however_few_frames_were_decoded_before(video_of: Callable[[str], bytes]) -> None:
    data = video_of("EgoDex's")
    start, end = extent(data, 28)
    for bit in range(8 * start, 8 * end):
        damaged = flip(data, bit)
        if plain_decode(damaged)[28].is_corrupt:
            failure(damaged, indices=[28])


def test_frames_that_change_size_are_a_failure() -> None:
    video = encode("mjpeg", 20)
    larger = [packet.data for packet in packets(encode("mjpeg", 20, size=(96, 64)))]
    mixed = [p if i < 10 else p._replace(data=larger[i]) for i, p in enumerate(packets(video))]
    assert "frame 10" in str(failure(remux(video, mixed)))


@pytest.mark.parametrize("structure", ["EgoDex's", "B-frames labelled Simple Profile", "H.264"])
def test_flipped_bits_end_in_a_named_error_or_in_the_frames_of_a_plain_decode(
    video_of: Callable[[str], bytes], structure: str
) -> None:
    data = video_of(structure)
    sound = [frame.pixels for frame in plain_decode(data)]
    dice = random.Random(structure)
    num_emitted = num_failed = 0
    for _ in range(200):
        damaged = flip(data, *(dice.randrange(8 * len(data)) for _ in range(dice.choice([1, 1, 2, 4]))))
        wanted = sorted(dice.sample(range(len(sound)), k=5))
        try:
            video = open_video(damaged)
            wanted = [index for index in wanted if index < video.num_frames]
            emitted = zip(wanted, [pixels(frame) for frame in video.decode(wanted)], strict=True)
        except EpisodeError:
            num_failed += 1
            continue
        plain = plain_decode(damaged)
        by_time = {round(FPS * (frame.seconds or 0)): frame.pixels for frame in plain}
        for index, picture in emitted:
            num_emitted += 1
            assert picture in (sound[index], plain[index].pixels, by_time.get(index))
    assert num_emitted > 100
    assert num_failed > 20


# Claims ----------------------------------------------------------------------------------------------------


def claiming_samples(count: int) -> bytes:
    """A kilobyte that claims so many samples of one byte, in one chunk."""
    return replace_boxes(
        encode("mpeg4", 5),
        {
            b"stsz": lambda _: struct.pack(">III", 0, 1, count),
            b"stsc": lambda _: struct.pack(">IIIII", 0, 1, 1, count, 1),
            b"stts": lambda _: struct.pack(">IIII", 0, 1, count, 512),
        },
    )


def claiming_edits(count: int) -> bytes:
    return edited(encode("mpeg4", 100), *[(3000, 0)] * count)


def claiming_size(width: int, height: int, video: bytes) -> bytes:
    """An MP4 file whose sample description says so."""
    size = struct.pack(">HH", width, height)
    return replace_boxes(video, {b"stsd": lambda content: content[:40] + size + content[44:]})


def jpegs_of_size(width: int, height: int) -> bytes:
    """Motion JPEG whose every frame says so, unlike the file around it."""
    start_of_frame = b"\xff\xc0\x00\x11\x08"
    video = encode("mjpeg", 5)
    return re.sub(start_of_frame + b".{4}", start_of_frame + struct.pack(">HH", height, width), video, flags=re.DOTALL)


@cache
def gray(codec: str, size: tuple[int, int], count: int = 1, **options: str) -> bytes:
    """Frames without any detail: few bytes, however large they are."""
    result = io.BytesIO()
    with av.open(result, "w", format="mp4") as output:
        stream: Any = output.add_stream(codec, rate=FPS, options={"threads": "1", **options})
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        frame = av.VideoFrame(*size, stream.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        for number in range(count):
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return result.getvalue()


def referring(size: tuple[int, int]) -> bytes:
    """H.264 of which each frame may refer to 16 earlier ones."""
    return gray("libx264", size, 20, preset="ultrafast", **{"x264-params": "ref=16:keyint=600"})


def within(outer: bytes, *, level: int, content: bytes) -> bytes:
    """A box in so many others of one kind."""
    for _ in range(level):
        content = struct.pack(">I4s", len(content) + 8, outer) + content
    return content


def hiding_samples(where: bytes, count: int = 130_000_000) -> bytes:
    """The claim of so many samples stands in a box of another kind, where decoders look for it, too."""
    video = claiming_samples(count)
    start = video.index(b"stsz") - 4
    (size,) = struct.unpack_from(">I", video, start)
    sizes = video[start : start + size]
    hidden = replace_boxes(video, {b"stsz": lambda _: b""})
    return replace_boxes(hidden, {b"stsd": lambda content: content + within(where, level=1, content=sizes)})


def large_sample(num_bytes: int) -> bytes:
    return replace_boxes(encode("mpeg4", 5), {b"stsz": lambda _: struct.pack(">III", 0, num_bytes, 5)})


def large_header(num_bytes: int) -> bytes:
    video = encode("mpeg4", 5)
    return video + struct.pack(">I4s", num_bytes + 8, b"udta") + bytes(num_bytes)


TOO_LARGE = {
    "samples": lambda: claiming_samples(130_000_000),
    "samples, claimed in another box": lambda: hiding_samples(b"udta"),
    "edits": lambda: claiming_edits(200_000),
    "a sample": lambda: large_sample(2**31),
    "header": lambda: large_header(3 * 2**20),
    "frame size of H.264": lambda: claiming_size(30_000, 30_000, encode("libx264", 5)),
    "frame size of JPEGs": lambda: jpegs_of_size(30_000, 30_000),
    "frames that are that large": lambda: gray("mjpeg", (4096, 4112)),
    "16 reference frames that are that large": lambda: referring((2560, 1456)),
}


@pytest.mark.parametrize("claim", TOO_LARGE)
def test_huge_claims_are_refused(claim: str) -> None:
    assert failure(TOO_LARGE[claim]()).reason == Reason.TOO_LARGE


def peak_of_decoding(video: bytes, path: Path) -> int:
    """MiB that a process of its own takes for it on top of what it has."""
    path.write_bytes(video)
    program = """
import re, sys
from dataset_upload.errors import EpisodeError
from dataset_upload.video.decoding import Video

def peak():  # not ru_maxrss, which is at least that of the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

before = peak()
try:
    video = Video(open(sys.argv[1], "rb"), sys.argv[1])
    for frame in video.decode(range(video.num_frames)):
        pass
except EpisodeError:
    pass
print((peak() - before) // 1024)
"""
    return int(commands.run("-c", program, path).stdout)


@pytest.mark.parametrize("claim", TOO_LARGE)
def test_huge_claims_take_no_memory(claim: str, tmp_path: Path) -> None:
    assert peak_of_decoding(TOO_LARGE[claim](), tmp_path / "0.mp4") < 50


AT_THE_LIMIT = {
    "a large frame": lambda: gray("mjpeg", (4096, 4096)),
    "as many samples as may be": lambda: claiming_samples(500_000),
    "16 reference frames": lambda: referring((2560, 1440)),
}


@pytest.mark.parametrize("claim", AT_THE_LIMIT)
def test_what_is_not_refused_takes_no_more_than_a_worker_may(claim: str, tmp_path: Path) -> None:
    assert peak_of_decoding(AT_THE_LIMIT[claim](), tmp_path / "0.mp4") < 600


def test_frames_at_the_limit_are_decoded() -> None:
    assert len(decode(gray("mjpeg", (4096, 4096)), [0])) == 1


@pytest.mark.parametrize("box", [b"stsz", b"stsd", b"elst", b"hdlr", b"trak", b"moov"])
def test_boxes_of_any_size_are_read_to_an_end(box: bytes) -> None:
    video = encode("mpeg4", 5)
    place = video.index(box) - 4
    for size in (0, 1, 2, 7, 8, 9, 16, 2**31, 2**32 - 1):
        changed = video[:place] + struct.pack(">I", size) + video[place + 4 :]
        try:
            open_video(changed)
        except EpisodeError as error:
            assert NAME in str(error)


@pytest.mark.parametrize("box", [b"moov", b"trak", b"udta"])
def test_boxes_that_claim_to_reach_beyond_the_one_around_them_are_read_once(box: bytes) -> None:
    """A walk that believes them doubles with each level."""
    levels = b"".join(struct.pack(">I4sQ", 1, box, 2**40) for _ in range(42))
    start = time.process_time()
    assert failure(levels).reason == Reason.UNREADABLE_VIDEO
    try:
        open_video(encode("mpeg4", 5) + levels)
    except EpisodeError as error:
        assert NAME in str(error)
    assert time.process_time() - start < 60  # not the weeks that 2**42 steps take


@pytest.mark.parametrize(
    "video",
    [
        pytest.param(lambda: encode("mpeg4", container="matroska"), id="Matroska"),
        pytest.param(lambda: encode("mpeg4", container="avi"), id="AVI"),
        pytest.param(lambda: encode("mpeg4", container_options=FRAGMENTED), id="fragments"),
        pytest.param(lambda: encode("mpeg2video"), id="MPEG-2"),
        pytest.param(lambda: with_sound(encode("libx264"), encode("libx264")), id="two videos"),
    ],
)
def test_what_no_episode_is_made_of_is_refused(video: Callable[[], bytes]) -> None:
    assert failure(video()).reason == Reason.UNREADABLE_VIDEO
