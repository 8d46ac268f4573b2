"""Zip archives read in place: which episodes they hold, what is handed on, what is refused."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import struct
import tempfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from archives import DEFLATED, STORED, add_hole, pack, write_zip
from drawn_egodex import MiniEgoDex
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_upload.dataset_loaders.egodex import archive as egodex_archive
from dataset_upload.dataset_loaders.egodex.archive import Episode, EpisodeFiles, list_episodes, source_state
from dataset_upload.errors import EpisodeError, Reason, StoppedError, UsageError
from dataset_upload.jobs import Job
from dataset_upload.storage import byte_source
from dataset_upload.storage.zip_archive import ZipMember
from dataset_upload.video.frames import VideoFrames

BOTH_METHODS = pytest.mark.parametrize("method", [STORED, DEFLATED], ids=["stored", "deflated"])
PAIR = {"test/fold/0.hdf5": b"poses" * 2000, "test/fold/0.mp4": bytes(range(256)) * 300}


def the_only(path: Path) -> Episode:
    (episode,) = list_episodes(str(path))
    return episode


def fetch(episode: Episode) -> EpisodeFiles:
    assert episode.hdf5 is not None and episode.mp4 is not None
    return egodex_archive.fetch(episode.hdf5, episode.mp4)


def contents(episode: Episode) -> tuple[bytes, bytes]:
    files = fetch(episode)
    return read_all(files.open_hdf5), read_all(files.open_mp4)


def read_all(open_file: Callable[[], BinaryIO]) -> bytes:
    with open_file() as file:
        return file.read()


def member(file: Any) -> ZipMember:
    assert isinstance(file, ZipMember)
    return file


# Which episodes there are


@BOTH_METHODS
def test_an_archive_lists_the_episodes_of_its_folder_in_the_same_order_and_by_the_same_keys(
    mini: MiniEgoDex, tmp_path: Path, method: int
) -> None:
    listed = list_episodes(str(pack(mini.path, tmp_path / "any_name.zip", method)))
    unpacked = list_episodes(str(mini.path))
    assert [episode[:3] for episode in listed] == [episode[:3] for episode in unpacked]
    assert [(e.hdf5 is None, e.mp4 is None) for e in listed] == [(e.hdf5 is None, e.mp4 is None) for e in unpacked]


@BOTH_METHODS
def test_an_archive_gives_the_bytes_of_its_folder(mini: MiniEgoDex, tmp_path: Path, method: int) -> None:
    listed = list_episodes(str(pack(mini.path, tmp_path / "test.zip", method)))
    whole = [episode for episode in listed if episode.hdf5 and episode.mp4]
    assert len(whole) > 8
    for episode in whole:
        hdf5, mp4 = contents(episode)
        assert hdf5 == (mini.path / f"{episode.key}.hdf5").read_bytes()
        assert mp4 == (mini.path / f"{episode.key}.mp4").read_bytes()


@pytest.mark.parametrize("root, part", [("", "part7"), ("test", "test"), ("test/test", "test"), ("./test", "test")])
def test_the_root_folder_is_optional(tmp_path: Path, root: str, part: str) -> None:
    names = {str(Path(root)) + "/fold/0.mp4": b"a", f"{root}/fold/0.hdf5".lstrip("/"): b"b"}
    episode = the_only(write_zip(tmp_path / "part7.zip", names))
    assert (episode.key, episode.part, episode.task_name) == ("fold/0", part, "fold")


def test_what_macos_leaves_behind_is_ignored(tmp_path: Path) -> None:
    litter = ("__MACOSX/test/fold/._0.mp4", "test/fold/._0.hdf5", "test/.DS_Store", "test/.hidden/1.mp4")
    others = ("test/fold/", "test/fold/notes.txt", "README")
    episode = the_only(write_zip(tmp_path / "test.zip", PAIR | dict.fromkeys((*litter, *others), b"")))
    assert contents(episode) == tuple(PAIR.values())


@pytest.mark.parametrize("name", ["../fold/1.mp4", "/fold/1.mp4", "test/../../fold/1.mp4", "test\\..\\1.mp4"])
def test_a_name_that_leads_out_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "test.zip", PAIR | {name: b""})
    with pytest.raises(UsageError, match="leads out of a folder"):
        list_episodes(str(path))


def test_an_archive_of_several_parts_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "all.zip", PAIR | {"part1/fold/0.mp4": b""})
    with pytest.raises(UsageError, match=r"several parts \(part1, test\)"):
        list_episodes(str(path))


def test_an_archive_without_episodes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no <task>"):
        list_episodes(str(write_zip(tmp_path / "test.zip", {"README": b"nothing"})))


@pytest.mark.parametrize("kept", [0, 10, -1, -10_000])
def test_what_is_no_whole_archive_is_refused(tmp_path: Path, kept: int) -> None:
    path = write_zip(tmp_path / "test.zip", PAIR)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UsageError, match="not a complete zip archive"):
        list_episodes(str(path))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_is_compressed_in_another_way_is_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(UsageError, match="unpack it and give the folder"):
        list_episodes(str(write_zip(tmp_path / "test.zip", PAIR, method)))


@settings(max_examples=300)
@given(position=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_no_damage_ends_in_anything_but_a_named_error(position: int, byte: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        small = {name: data[:40] for name, data in PAIR.items()}
        path = write_zip(Path(folder, "test.zip"), small, DEFLATED)
        data = bytearray(path.read_bytes())
        data[position % len(data)] = byte
        path.write_bytes(data)
        try:
            for episode in list_episodes(str(path)):
                if episode.hdf5 and episode.mp4:
                    assert contents(episode) == tuple(small.values())
        except (UsageError, EpisodeError):
            pass


# Kinds of archives


def test_bytes_before_the_archive_do_not_matter(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "test.zip", PAIR)
    path.write_bytes(b"#!/bin/sh\n" * 1000 + path.read_bytes())
    assert contents(the_only(path)) == tuple(PAIR.values())


@BOTH_METHODS
def test_members_whose_size_stands_behind_them(tmp_path: Path, method: int) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError("a pipe has no position")

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", method) as file:
        for name, data in PAIR.items():
            file.writestr(name, data)
    path = tmp_path / "test.zip"
    path.write_bytes(pipe.getvalue())
    assert contents(the_only(path)) == tuple(PAIR.values())


@BOTH_METHODS
def test_zip64_members(tmp_path: Path, method: int) -> None:
    path = tmp_path / "test.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in PAIR.items():
            with file.open(name, "w", force_zip64=True) as target:
                target.write(data)
    assert contents(the_only(path)) == tuple(PAIR.values())


def test_members_beyond_four_gigabytes(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "test.zip", {"test/fold/0.hdf5": PAIR["test/fold/0.hdf5"]})
    add_hole(path, "test/hole.bin", 5 * 2**30)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("test/fold/0.mp4", PAIR["test/fold/0.mp4"])
    episode = the_only(path)
    assert member(episode.mp4).start > 2**32
    assert contents(episode) == tuple(PAIR.values())


def test_a_hole_behind_a_member_is_not_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "test.zip", PAIR)
    add_hole(path, "test/hole.bin", 2**30)
    with zipfile.ZipFile(path, "a") as file:  # the hole is there, but the directory does not mention it any more
        file.filelist = [entry for entry in file.filelist if entry.filename != "test/hole.bin"]
        file.writestr("test/fold/1.mp4", b"")
    assert sum(e.end - e.start for e in (member(the_first.mp4) for the_first in list_episodes(str(path)))) < 2**20


def write_directory_of(path: Path, num_members: int) -> Path:
    """An archive as large as a part of EgoDex that is nothing but a hole and a directory."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(zipfile.ZipInfo("part1/"), b"")
        offset = file.start_dir
        for number in range(num_members):
            task, suffix = number // 2000, ("hdf5", "mp4")[number % 2]
            entry = zipfile.ZipInfo(f"part1/basic_pick_and_place_{task}/{number // 2}.{suffix}")
            entry.header_offset, entry.CRC = offset, 0
            entry.file_size = entry.compress_size = 2_400_000
            offset += 2_500_000
            file.filelist.append(entry)
        assert file.fp is not None
        file.fp.truncate(offset)
        file.start_dir = offset
    return path


def test_100_000_members_are_listed_in_seconds(tmp_path: Path) -> None:
    path = write_directory_of(tmp_path / "part1.zip", 100_000)
    start = time.process_time()
    episodes = list_episodes(str(path))
    assert time.process_time() - start < 20  # 2 s where it was measured
    assert (len(episodes), episodes[-1].key) == (50_000, "basic_pick_and_place_49/49999")
    assert member(episodes[-1].mp4).start > 2**37


def test_an_episode_takes_little_memory_and_less_when_it_is_handed_to_a_worker(tmp_path: Path) -> None:
    path = write_directory_of(tmp_path / "part1.zip", 4000)
    tracemalloc.start()
    episodes = list_episodes(str(path))
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes / len(episodes) < 1500
    job = Job(episodes[-1], episodes[-1].key, 49_999, (1, (1,)))
    assert len(pickle.dumps(job)) < 1000


# Damage


@BOTH_METHODS
@pytest.mark.parametrize("name", list(PAIR))
def test_a_flipped_bit_in_a_member_is_found(tmp_path: Path, method: int, name: str) -> None:
    path = write_zip(tmp_path / "test.zip", PAIR, method)
    with zipfile.ZipFile(path) as file:
        entry = file.getinfo(name)
    damaged = bytearray(path.read_bytes())
    damaged[entry.header_offset + 30 + len(name) + entry.compress_size // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(EpisodeError, match=rf"{path}/{name}: damaged in the archive") as error:
        fetch(the_only(path))
    assert error.value.reason is Reason.UNREADABLE_SOURCE


def change_directory_entry(path: Path, name: str, field_offset: int, value: int) -> None:
    """Overwrite four bytes of a member's entry in the central directory."""
    data = bytearray(path.read_bytes())
    (start,) = (
        position
        for position in range(len(data))
        if data[position : position + 4] == b"PK\x01\x02" and data[position + 46 :].startswith(name.encode())
    )
    struct.pack_into("<I", data, start + field_offset, value)
    path.write_bytes(data)


CRC, COMPRESSED_SIZE, SIZE, OFFSET = 16, 20, 24, 42


@BOTH_METHODS
@pytest.mark.parametrize(
    "field, value",
    [(CRC, 1), (COMPRESSED_SIZE, 5), (COMPRESSED_SIZE, 2**31), (SIZE, 5), (SIZE, 90_000), (SIZE, 2**31), (OFFSET, 7)],
)
def test_a_directory_that_lies_costs_only_the_episode(tmp_path: Path, method: int, field: int, value: int) -> None:
    pairs = PAIR | {name.replace("0.", "1."): data for name, data in PAIR.items()}
    path = write_zip(tmp_path / "test.zip", pairs, method)
    change_directory_entry(path, "test/fold/1.mp4", field, value)
    good, bad = list_episodes(str(path))
    assert contents(good) == tuple(PAIR.values())
    with pytest.raises(EpisodeError):
        fetch(bad)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "test.zip", "w", DEFLATED) as file:
        file.writestr("test/fold/0.hdf5", b"poses")
        with file.open("test/fold/0.mp4", "w") as bomb:
            for _ in range(64):
                bomb.write(bytes(2**20))
    with pytest.raises(EpisodeError) as error:
        fetch(the_only(tmp_path / "test.zip"))
    assert error.value.reason is Reason.TOO_LARGE


def test_a_bomb_that_claims_to_be_small_is_stopped_early(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "test.zip", PAIR | {"test/fold/0.mp4": bytes(2**26)}, DEFLATED)
    change_directory_entry(path, "test/fold/0.mp4", SIZE, 1000)
    episode = the_only(path)
    tracemalloc.start()
    with pytest.raises(EpisodeError, match="longer than the 1000 bytes"):
        fetch(episode)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**23


def test_an_archive_that_is_cut_short_while_it_is_read_stops_the_run(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "test.zip", PAIR)
    episode = the_only(path)
    os.truncate(path, 20_000)
    with pytest.raises(StoppedError, match="has been cut short"):
        fetch(episode)


def test_an_archive_that_is_replaced_while_it_is_read_stops_the_run(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "test.zip", PAIR)
    episode = the_only(path)
    write_zip(tmp_path / "other.zip", {name: data[::-1] for name, data in PAIR.items()}).replace(path)
    byte_source._local_file.cache_clear()  # as in a worker that has not opened it yet
    with pytest.raises(StoppedError, match="has changed"):
        fetch(episode)


# Opening


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_opening_an_episode_leaves_no_descriptor_behind(mini: MiniEgoDex, tmp_path: Path) -> None:
    path = pack(mini.path, tmp_path / "test.zip", DEFLATED)
    episode = next(episode for episode in list_episodes(str(path)) if episode.hdf5 and episode.mp4)
    fetch(episode)  # opens the archive, once for this process
    before = open_descriptors()
    for _ in range(20):
        files = fetch(episode)
        frames = VideoFrames(files.open_mp4, str(episode))
        assert frames[0].shape == frames[len(frames) - 1].shape == (180, 320, 3)
    del files, frames
    assert open_descriptors() == before


def test_a_deflated_member_beyond_32_mb_lies_in_a_file_that_goes_with_its_last_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    Path(tempfile.gettempdir()).mkdir()
    long_video = os.urandom(2**20) * 33
    path = write_zip(tmp_path / "test.zip", PAIR | {"test/fold/0.mp4": long_video}, DEFLATED)
    episode = the_only(path)
    before = open_descriptors()

    tracemalloc.start()
    files = fetch(episode)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**23
    with files.open_mp4() as one, files.open_mp4() as other:
        one.seek(2**25)
        assert other.read(100) == long_video[:100]
        assert one.read(100) == long_video[2**25 : 2**25 + 100]
    assert os.listdir(tempfile.gettempdir()) == []  # it has no name, so that not even a kill leaves it behind
    del files, one, other
    assert open_descriptors() == before


def read_repeatedly(episode: Episode, times: int) -> bool:
    return len({contents(episode) for _ in range(times)}) == 1


@BOTH_METHODS
def test_forked_processes_do_not_disturb_each_other(tmp_path: Path, method: int) -> None:
    path = write_zip(tmp_path / "test.zip", PAIR, method)
    episode = the_only(path)
    fetch(episode)  # the archive is open already when the processes come into being
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert all(pool.starmap(read_repeatedly, [(episode, 50)] * 8))


def test_the_state_of_an_episode_changes_with_its_content_alone(tmp_path: Path) -> None:
    state = source_state(the_only(write_zip(tmp_path / "test.zip", PAIR)))
    assert source_state(the_only(write_zip(tmp_path / "later.zip", PAIR, DEFLATED))) == state
    other = PAIR | {"test/fold/0.mp4": PAIR["test/fold/0.mp4"][::-1]}
    assert source_state(the_only(write_zip(tmp_path / "other.zip", other))) != state


# Several sources


def two_parts(folder: Path) -> list[str]:
    parts = [{name.replace("test/", f"{part}/"): data for name, data in PAIR.items()} for part in ("part2", "part10")]
    return [str(write_zip(folder / f"{name}.zip", part)) for name, part in zip(("part2", "part10"), parts, strict=True)]


@pytest.mark.parametrize("as_glob", [True, False])
def test_a_list_or_a_glob_of_parts_is_one_dataset_whose_keys_begin_with_the_part(tmp_path: Path, as_glob: bool) -> None:
    parts = two_parts(tmp_path)
    listed = list_episodes(str(tmp_path / "part*.zip") if as_glob else parts)
    assert [(e.key, e.part) for e in listed] == [("part2/fold/0", "part2"), ("part10/fold/0", "part10")]


def test_keys_do_not_change_when_parts_are_added_to_a_list(tmp_path: Path) -> None:
    one, both = two_parts(tmp_path)[:1], two_parts(tmp_path)
    assert list_episodes(one)[0].key == list_episodes(both)[0].key


def test_two_sources_of_one_part_are_refused(tmp_path: Path) -> None:
    parts = two_parts(tmp_path)
    with pytest.raises(UsageError, match="both hold a part named part2"):
        list_episodes([parts[0], parts[0]])


@pytest.mark.parametrize(
    "paths, says", [([], "at least one"), ("/nowhere/*.zip", "nothing matches"), ("", "not nothing")]
)
def test_sources_that_are_none_are_refused(paths: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        list_episodes(paths)


def test_an_unknown_part_of_egodex_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"egodex://part9 is not a part of EgoDex; the parts are test, part1, .*extra"):
        list_episodes("egodex://part9")
