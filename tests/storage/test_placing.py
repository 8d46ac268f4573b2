"""Files put into their places: whole, several at a time, durable in the right order."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_upload.storage.placing import Placing, in_threads


@pytest.fixture
def placing(tmp_path: Path) -> Placing:
    return Placing(tmp_path)


def content(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_folder_of_files_replaces_the_one_that_is_there(placing: Placing, tmp_path: Path) -> None:
    placing.put({"0.jpg": b"old", "1.jpg": b"old"}, "batch/clip")
    placing.put({"0.jpg": b"new"}, "batch/clip")
    assert content(tmp_path) == {"batch/clip/0.jpg": b"new"}


def test_what_a_killed_run_has_left_half_written_is_written_over(placing: Placing, tmp_path: Path) -> None:
    (tmp_path / "clip.tmp").mkdir()
    (tmp_path / "clip.tmp" / "9.jpg").write_bytes(b"left")
    placing.put({"0.jpg": b"new"}, "clip")
    assert content(tmp_path) == {"clip/0.jpg": b"new"}


def test_files_are_flushed_before_they_are_in_place_and_folders_by_flush(
    placing: Placing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[int, int]] = []
    sync = os.fsync

    def watch(handle: int) -> None:
        sync(handle)
        flushed.append((os.fstat(handle).st_dev, os.fstat(handle).st_ino))

    def identity(path: Path) -> tuple[int, int]:
        return path.stat().st_dev, path.stat().st_ino

    monkeypatch.setattr(os, "fsync", watch)
    for number in in_threads(lambda number: placing.put(b"content", f"new/{number}"), range(20)):
        assert identity(tmp_path / "new" / str(number)) in flushed
    flushed.clear()
    placing.flush()
    assert flushed == [identity(tmp_path), identity(tmp_path / "new")]


def test_each_comes_out_in_order_once_it_is_done() -> None:
    done: list[int] = []

    def act(number: int) -> None:
        time.sleep(0.01 * (number % 3))
        done.append(number)

    for position, number in enumerate(in_threads(act, range(200))):
        assert number == position
        assert number in done
    assert sorted(done) == list(range(200))


def test_only_some_are_taken_ahead() -> None:
    taken = 0

    def source() -> Iterator[int]:
        nonlocal taken
        for number in range(300):
            taken += 1
            yield number

    for finished, _ in enumerate(in_threads(lambda number: time.sleep(0.001), source())):
        assert taken - finished < 100


def test_what_goes_wrong_ends_it() -> None:
    def act(number: int) -> None:
        if number == 50:
            raise OSError(28, "No space left on device")

    finished = []
    with pytest.raises(OSError, match="No space left"):
        for number in in_threads(act, range(1000)):
            finished.append(number)
    assert finished == list(range(50))
