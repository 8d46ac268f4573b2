"""`lerobot.video: copy`: the source's own coded pictures, bit by bit, packed with exact times."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conversions import NAME
from conversions import convert as run
from drawn_egodex import MiniEgoDex, draw_mini_egodex
from output_folder import outcomes, published

from dataset_upload import validate_dataset, visualize_dataset
from dataset_upload.formats.finished_dataset import open_dataset
from dataset_upload.formats.lerobot import index
from dataset_upload.formats.lerobot.__main__ import main as rewrite
from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset
from dataset_upload.mini_egodex.frame_code import read_frame_number
from dataset_upload.video.encoding import write_rgb_mp4

OPTIONS = ("--output.format=lerobot", "--lerobot.video=copy", "--output.max_trajectories=-1")


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "VIDEO_BYTES", 150_000)


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> MiniEgoDex:
    return draw_mini_egodex(tmp_path_factory.mktemp("mini") / "test")


def convert(source: Path, output_dir: Path, *options: str, exit_code: int = 0) -> LerobotDataset:
    run(source, output_dir, *OPTIONS, *options, exit_code=exit_code)
    dataset = open_dataset(str(output_dir))
    assert isinstance(dataset, LerobotDataset)
    return dataset


def packets(path: Path) -> Iterator[av.Packet[Any]]:
    with av.open(str(path)) as container:
        yield from (packet for packet in container.demux(video=0) if packet.size)


def test_every_picture_is_the_sources_bit_by_bit_at_its_exact_time(mini: MiniEgoDex, tmp_path: Path) -> None:
    dataset = convert(mini.path, tmp_path)
    videos = sorted((dataset.folder / "videos").rglob("*.mp4"))
    assert len(videos) > 1
    copied: list[bytes] = []
    for video in videos:
        for number, packet in enumerate(packets(video)):
            assert packet.pts is not None and packet.pts * packet.time_base == Fraction(number, 30)
            copied.append(bytes(packet))
    expected: list[bytes] = []
    for source, length in zip(dataset.column("source"), dataset.column("length"), strict=True):
        expected += [bytes(packet) for packet in packets(mini.path / f"{source}.mp4")][:length]
    assert copied == expected
    info = json.loads((dataset.folder / "meta/info.json").read_text())["features"]["observation.images.ego"]
    with av.open(str(next(mini.path.rglob("*.mp4")))) as container:
        stream = container.streams.video[0]
        assert info["shape"] == [stream.height, stream.width, 3] and info["info"]["video.codec"] == "mpeg4"


def test_each_row_has_its_own_picture_and_what_reads_datasets_reads_it(mini: MiniEgoDex, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    dataset = convert(mini.path, tmp_path / "out")
    for trajectory in dataset.trajectories():
        numbers = [read_frame_number(frame) for frame in trajectory.frames()]
        assert numbers == list(range(mini.records[trajectory.source].frames))
    assert validate_dataset.main([str(tmp_path / "out"), "--sample_size=all", "--against", str(mini.path)]) == 0
    assert rewrite([str(dataset.folder), str(tmp_path / "v21")]) == 0
    assert validate_dataset.main([str(tmp_path / "v21"), "--sample_size=all"]) == 0
    assert visualize_dataset.main([str(tmp_path / "out"), "--report", f"--out={tmp_path / 'drawn'}"]) == 0
    (trajectory,) = dataset.trajectories([0])
    assert not trajectory.plays_in_browsers


def test_what_is_added_is_what_one_run_makes(mini: MiniEgoDex, tmp_path: Path) -> None:
    convert(mini.path, tmp_path / "one")
    convert(mini.path, tmp_path / "added", "--output.max_trajectories=5")
    convert(mini.path, tmp_path / "added")
    assert published(tmp_path / "added") == published(tmp_path / "one")


def test_what_is_coded_otherwise_is_in_a_video_of_its_own(mini: MiniEgoDex, tmp_path: Path) -> None:
    source = tmp_path / "test"
    draw_mini_egodex(source)
    clip = sorted(source.rglob("*.mp4"))[1]
    encoder = re.compile(rb"Lavc\d\d\.")  # which says so in what decoders read first
    assert encoder.search(clip.read_bytes())
    clip.write_bytes(encoder.sub(b"Lavc59.", clip.read_bytes()))
    dataset = convert(source, tmp_path / "out")
    codings = dataset.column("clip_coding")
    assert len(set(codings)) == 2
    files = [each.place.video_file for each in dataset.episodes.by_key.values()]
    assert all(len({c for c, f in zip(codings, files, strict=True) if f == file}) == 1 for file in files)
    assert validate_dataset.main([str(tmp_path / "out"), "--sample_size=all"]) == 0


def test_damage_and_other_codings_are_named_failures(tmp_path: Path) -> None:
    source = tmp_path / "test"
    draw_mini_egodex(source)
    damaged, other = sorted(source.rglob("*.mp4"))[:2]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    damaged.write_bytes(content)
    with av.open(str(other)) as container:
        count = container.streams.video[0].frames
    pictures = (np.full((128, 192, 3), number, np.uint8) for number in range(count))
    other.unlink()
    write_rgb_mp4(pictures, other, fps=30, crf=30)  # H.264, with frames that need later ones
    convert(source, tmp_path / "out", exit_code=1)
    reasons = {source / f"{key}.mp4": reason for key, (_, reason) in outcomes(tmp_path / "out").items()}
    assert reasons[damaged] == reasons[other] == "unreadable video"


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--lerobot.fps=15", "15 is not the rate of EgoDex"),
        ("--output.frame_size=64", "no use with --lerobot.video=copy"),
        ("--output.resize=pad", "no use with --lerobot.video=copy"),
        ("--lerobot.codec=av1", "no use with --lerobot.video=copy"),
        ("--lerobot.gop=2", "no use with --lerobot.video=copy"),
    ],
)
def test_what_cannot_be_copied_is_refused_in_one_line(
    mini: MiniEgoDex, tmp_path: Path, option: str, reason: str
) -> None:
    ended = run(mini.path, tmp_path / "out", *OPTIONS, option, exit_code=2)
    assert ended.last_line.startswith(f"Error: {option.partition('=')[0]}: ") and reason in ended.last_line
    assert not (tmp_path / "out" / NAME).exists()
