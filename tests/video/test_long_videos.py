"""Long videos behind http: of a stored one only what is needed comes over the network, and it is the right thing."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from archives import DEFLATED, STORED, pack
from hypothesis import given, settings
from hypothesis import strategies as st
from long_video import write_long_video
from numpy.typing import NDArray
from range_server import Fault, RangeServer, serving

from dataset_upload.dataset_loaders.egodex import archive
from dataset_upload.dataset_loaders.egodex.archive import EpisodeFiles, list_episodes
from dataset_upload.errors import EpisodeError, StoppedError
from dataset_upload.storage.byte_source import ByteSource
from dataset_upload.storage.sparse_file import FetchedRanges, SparseFile
from dataset_upload.video.frames import VideoFrames
from dataset_upload.video.sampling import sample_indices

NUM_FRAMES = 1800
VIDEO_BYTES = 30_700_000


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of one episode of a minute."""
    folder = tmp_path_factory.mktemp("long") / "test"
    (folder / "fold").mkdir(parents=True)
    (folder / "fold" / "0.hdf5").write_bytes(os.urandom(300_000))
    video = write_long_video(folder / "fold" / "0.mp4", num_frames=NUM_FRAMES)
    assert video.stat().st_size == pytest.approx(VIDEO_BYTES, rel=0.01)
    pack(folder, folder.parent / "stored.zip", STORED)
    pack(folder, folder.parent / "deflated.zip", DEFLATED)
    return folder


@pytest.fixture
def server(part: Path) -> Iterator[RangeServer]:
    with serving(part.parent) as server:
        yield server


def fetch(url: str) -> EpisodeFiles:
    (episode,) = list_episodes(url)
    assert episode.hdf5 and episode.mp4
    return archive.fetch(episode.hdf5, episode.mp4)


def decode(frames: VideoFrames, indices: Sequence[int] | NDArray[np.int64]) -> list[bytes]:
    with frames.open() as video:
        return [picture.to_rgb().tobytes() for picture in video.decode(indices)]


def local_frames(part: Path) -> VideoFrames:
    return VideoFrames(partial(archive.open_file, str(part / "fold" / "0.mp4")), "0.mp4")


def test_a_clip_of_a_stored_video_costs_a_seventh_of_it_in_few_requests(part: Path, server: RangeServer) -> None:
    files = fetch(f"{server.url}/stored.zip")
    frames = VideoFrames(files.open_mp4, "0.mp4")
    before_decoding = len(server.requests)
    clip = decode(frames, sample_indices(len(frames), 32))

    assert before_decoding <= 6  # what the server has, the directory, the poses; the video's head and index
    assert len(server.requests) - before_decoding <= 32
    assert server.body_bytes < 300_000 + VIDEO_BYTES / 7
    assert clip == decode(local_frames(part), sample_indices(NUM_FRAMES, 32))


def test_what_has_been_fetched_is_not_fetched_again(server: RangeServer) -> None:
    frames = VideoFrames(fetch(f"{server.url}/stored.zip").open_mp4, "0.mp4")
    decode(frames, range(0, NUM_FRAMES, 100))
    before = len(server.requests)
    decode(frames, range(0, NUM_FRAMES, 200))
    assert len(server.requests) == before


def test_a_video_of_which_most_is_needed_is_fetched_whole_in_large_pieces(part: Path, server: RangeServer) -> None:
    files = fetch(f"{server.url}/stored.zip")
    frames = VideoFrames(files.open_mp4, "0.mp4")
    before = len(server.requests)
    decode(frames, range(0, NUM_FRAMES, 11))
    assert len(server.requests) - before <= 5
    assert server.body_bytes < 1.02 * (300_000 + VIDEO_BYTES)
    with files.open_mp4() as file:
        assert file.read() == (part / "fold" / "0.mp4").read_bytes()


def test_a_deflated_video_comes_whole_in_one_request_with_its_poses(part: Path, server: RangeServer) -> None:
    files = fetch(f"{server.url}/deflated.zip")
    assert len(server.requests) == 3  # what the server has, the directory, the pair
    with files.open_mp4() as file:
        assert file.read() == (part / "fold" / "0.mp4").read_bytes()


def test_a_connection_cut_in_the_middle_of_each_answer_loses_nothing(part: Path, server: RangeServer) -> None:
    server.fault = lambda number: Fault(cut_at=0.5) if number > 3 else None
    frames = VideoFrames(fetch(f"{server.url}/stored.zip").open_mp4, "0.mp4")
    indices = range(0, NUM_FRAMES, 300)
    assert decode(frames, indices) == decode(local_frames(part), indices)


def test_an_archive_that_changes_between_two_parts_of_a_video_stops_the_run(server: RangeServer) -> None:
    frames = VideoFrames(fetch(f"{server.url}/stored.zip").open_mp4, "0.mp4")
    server.etag = '"another"'
    with pytest.raises(StoppedError, match="has changed"):
        decode(frames, [900])


def test_damage_on_the_way_is_found_where_the_codec_can_tell(server: RangeServer) -> None:
    frames = VideoFrames(fetch(f"{server.url}/stored.zip").open_mp4, "0.mp4")
    server.fault = lambda number: Fault(flipped=True)
    with pytest.raises(EpisodeError):
        decode(frames, [900])


@pytest.mark.parametrize("name", ["stored", "deflated"])
def test_what_is_too_large_for_memory_waits_in_a_file(
    server: RangeServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset_upload.storage.range_file._MAX_IN_MEMORY", 2**20)
    monkeypatch.setattr(archive, "_MAX_REQUEST", 2**20)
    monkeypatch.setattr(archive, "_STREAM_REQUEST", 2**20)
    monkeypatch.setattr("dataset_upload.storage.sparse_file._MAX_REQUEST", 2**20)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    url = f"{server.url}/{name}.zip"
    list_episodes(url)
    tracemalloc.start()
    files = fetch(url)
    with files.open_mp4() as file:
        if isinstance(file, SparseFile):
            file.prefetch([(0, VIDEO_BYTES)])
        while file.read(2**20):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20
    assert os.listdir(tmp_path) == []


RANGES = st.lists(st.tuples(st.integers(0, 900_000), st.integers(0, 300_000)), max_size=8)


@settings(max_examples=60)
@given(announced=RANGES, read=RANGES)
def test_any_reads_give_what_lies_there(announced: list[tuple[int, int]], read: list[tuple[int, int]]) -> None:
    content = np.random.default_rng(1).bytes(1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any")
        path.write_bytes(b"before" + content + b"after")
        source = ByteSource(str(path), path.stat().st_size, str(path.stat().st_mtime_ns))
        file = SparseFile(FetchedRanges(source, 6, 6 + len(content)), 0, len(content))
        file.prefetch((start, min(start + size, len(content))) for start, size in announced)
        for start, size in read:
            file.seek(start)
            assert file.read(size) == content[start : start + size]
