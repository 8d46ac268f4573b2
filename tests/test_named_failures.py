"""Each reason why an episode has no row, met in one run of the command; and a full disk, which stops the run."""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import commands
import h5py
import numpy as np
import pytest
from conversions import NAME, arguments, convert, fork_convert, small
from dataset_reader import Dataset
from drawn_egodex import tiny_egodex
from output_folder import ledger_lines, outcomes, published
from video_streams import encode, packets

from dataset_upload.errors import Reason
from dataset_upload.mini_egodex.irregularities import IRREGULARITIES
from dataset_upload.mini_egodex.part import write_episode

pytestmark = pytest.mark.slow

NUM_FRAMES = 10
OF_LEROBOT = {Reason.FRAME_RATE, Reason.FRAME_SIZE}  # met in formats/lerobot

Spoil = Callable[[Path, Path], None]  # does something to an episode's HDF5 and MP4


# What can be wrong with an episode ---------------------------------------------------------------------------


def nothing(hdf5: Path, mp4: Path) -> None:
    """Not the files are bad: the converter meets with what its task's folder is called, see misbehaving.py."""


def forbid(hdf5: Path, mp4: Path) -> None:
    mp4.chmod(0)


def put_a_pipe(hdf5: Path, mp4: Path) -> None:
    mp4.unlink()
    os.mkfifo(mp4)


def delete_transforms(hdf5: Path, mp4: Path) -> None:
    with h5py.File(hdf5, "r+") as file:
        del file["transforms"]


def fill_a_pose(value: float) -> Spoil:
    def spoil(hdf5: Path, mp4: Path) -> None:
        with h5py.File(hdf5, "r+") as file:
            file["transforms/camera"][NUM_FRAMES // 2, 0, 3] = value

    return spoil


def blank_the_intrinsics(hdf5: Path, mp4: Path) -> None:
    with h5py.File(hdf5, "r+") as file:
        file["camera/intrinsic"][...] = 0


def keep_poses(count: int) -> Spoil:
    """Cut the poses to so many rows, or repeat the last."""

    def spoil(hdf5: Path, mp4: Path) -> None:
        with h5py.File(hdf5, "r+") as file:
            for group in (file["transforms"], file["confidences"]):
                for name in list(group):
                    rows = group[name][()]
                    del group[name]
                    group[name] = rows[np.minimum(np.arange(count), NUM_FRAMES - 1)]

    return spoil


def video(content: bytes) -> Spoil:
    def spoil(hdf5: Path, mp4: Path) -> None:
        mp4.write_bytes(content)

    return spoil


def without_last_packet() -> bytes:
    whole = encode("mpeg4", NUM_FRAMES, container_options={"movflags": "+faststart"})
    return whole[: -len(packets(whole)[-1].data)]


def without_packets() -> bytes:
    whole = encode("mpeg4", NUM_FRAMES, container_options={"movflags": "frag_keyframe+empty_moov"})
    return whole[: whole.index(b"moof") - 4]


def irregular(name: str) -> Spoil:
    return IRREGULARITIES[name].spoil


# The task's folder says what is wrong with its only episode.
BAD: dict[str, tuple[Reason, Spoil]] = {
    "video missing": (Reason.MISSING_MP4, irregular("missing_mp4")),
    "poses missing": (Reason.MISSING_HDF5, irregular("missing_hdf5")),
    "no text": (Reason.NO_DESCRIPTION, irregular("no_description")),
    "text unavailable": (Reason.NO_DESCRIPTION, irregular("description_unavailable")),
    "hdf5 cut": (Reason.UNREADABLE_HDF5, irregular("truncated_hdf5")),
    "no transforms": (Reason.MISSING_TRANSFORMS, delete_transforms),
    "no index tip": (Reason.MISSING_JOINT, irregular("missing_joint")),
    "no poses": (Reason.EMPTY_POSES, keep_poses(0)),
    "nan": (Reason.NAN_POSES, irregular("nan_poses")),
    "infinity": (Reason.NAN_POSES, fill_a_pose(np.inf)),
    "no camera": (Reason.UNUSABLE_INTRINSICS, blank_the_intrinsics),
    "video cut with its index": (Reason.UNREADABLE_VIDEO, irregular("truncated_mp4")),
    "video empty": (Reason.UNREADABLE_VIDEO, video(b"")),
    "video is text": (Reason.UNREADABLE_VIDEO, video(b"404 Not Found\n")),
    "video cut": (Reason.TRUNCATED_VIDEO, video(without_last_packet())),
    "video without frames": (Reason.ZERO_FRAMES, video(without_packets())),
    "two poses less": (Reason.FRAME_COUNT_MISMATCH, keep_poses(NUM_FRAMES - 2)),
    "two poses more": (Reason.FRAME_COUNT_MISMATCH, keep_poses(NUM_FRAMES + 2)),
    "hdf5 too large": (Reason.TOO_LARGE, lambda hdf5, mp4: os.truncate(hdf5, 10**9)),
    "forbidden": (Reason.PERMISSION_DENIED, forbid),
    "pipe": (Reason.UNREADABLE_SOURCE, put_a_pipe),
    "use all memory": (Reason.OUT_OF_MEMORY, nothing),
    "crash": (Reason.WORKER_DIED, nothing),
    "be killed": (Reason.WORKER_DIED, nothing),
    "hang": (Reason.TIMED_OUT, nothing),
    "raise": (Reason.UNEXPECTED, nothing),
}
GOOD: dict[str, Spoil] = {
    "good": nothing,
    "one pose less": keep_poses(NUM_FRAMES - 1),
    "one pose more": keep_poses(NUM_FRAMES + 1),
}


class BadRun(NamedTuple):
    """What the command made of all of these."""

    source: Path
    dataset: Dataset
    stdout: str
    stderr: str
    entries: Mapping[str, Mapping[str, Any]]  # the ledger's line about each task's episode


@pytest.fixture(scope="module")
def bad_run(sentence_model: None, tmp_path_factory: pytest.TempPathFactory) -> BadRun:
    """One run of two workers over all that is bad, and some that is not."""
    folder = tmp_path_factory.mktemp("bad")
    source = folder / "test"
    write_episode(folder / "sound", "basic_pick_and_place", 0, frames=NUM_FRAMES, size=(64, 64))
    for task, spoil in {**GOOD, **{task: spoil for task, (_, spoil) in BAD.items()}}.items():
        episode = shutil.copytree(folder / "sound/basic_pick_and_place", source / task)
        spoil(episode / "0.hdf5", episode / "0.mp4")
    # Root may read everything, unless it has given up the capabilities that let it.
    as_user = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ("env",)
    code = "import sys, misbehaving; sys.exit(misbehaving.convert_misbehaving())"
    given = arguments(source, folder / "out", *small("--output.episode_timeout_s=3"), workers=2)
    environment = commands.environment(PYTHONPATH=commands.WITH_HARNESS)
    run = commands.run(*as_user[1:], sys.executable, "-c", code, *given, program=as_user[0], env=environment)
    assert run.exit_code == 1, run.stderr
    entries = {line["key"].split("/")[0]: line for line in ledger_lines(folder / "out")}
    return BadRun(source, Dataset(folder / "out"), run.stdout, run.stderr, entries)


# What only LeRobot datasets ask of a source: tests/formats/lerobot.
OF_LEROBOT = {Reason.FRAME_RATE}


# What only LeRobot datasets ask of a source: tests/formats/lerobot.
OF_LEROBOT = {Reason.FRAME_RATE, Reason.FRAME_SIZE}


def test_every_reason_is_met() -> None:
    assert {reason for reason, _ in BAD.values()} == set(Reason) - OF_LEROBOT


@pytest.mark.parametrize("task", BAD)
def test_it_is_recorded_with_its_reason(bad_run: BadRun, task: str) -> None:
    reason, _ = BAD[task]
    entry = bad_run.entries[task]
    assert (entry["status"], entry["reason"]) == ("skipped" if reason.is_skip else "failed", reason)


@pytest.mark.parametrize("task", BAD)
def test_it_is_said_in_one_line_that_names_the_file(bad_run: BadRun, task: str) -> None:
    (line,) = (line for line in bad_run.stderr.splitlines() if f"{bad_run.source}/{task}/0." in line)
    assert line == bad_run.entries[task]["message"]
    assert line.startswith("Warning: " if BAD[task][0].is_skip else ("Error: ", "Error loading trajectory "))


def test_nothing_else_is_said(bad_run: BadRun) -> None:
    beginnings = ("Warning: ", "Error: ", "Error loading trajectory ", "Loading ", "Processing ", "Writing ")
    assert [line for line in bad_run.stderr.splitlines() if not line.startswith(beginnings)] == []


def test_every_episode_is_counted_once(bad_run: BadRun) -> None:
    num_skipped = sum(reason.is_skip for reason, _ in BAD.values())
    lines = bad_run.stdout.splitlines()
    assert f"Done:    {len(GOOD)}" in lines
    assert any(line.startswith(f"Skipped: {num_skipped} (") for line in lines)
    (failed,) = (line for line in lines if line.startswith(f"Failed:  {len(BAD) - num_skipped} ("))
    assert all(reason in failed for reason, _ in BAD.values() if not reason.is_skip)
    assert len(ledger_lines(bad_run.dataset.output_dir)) == len(GOOD) + len(BAD)


def test_no_bad_episode_costs_a_good_one(bad_run: BadRun) -> None:
    assert [row["task_name"] for row in bad_run.dataset.rows] == sorted(GOOD)
    for row in bad_run.dataset.rows:
        assert len(bad_run.dataset.clip(row)) == len(row["actions"]) == len(row["frame_indices"])


def test_no_bad_episode_leaves_a_clip(bad_run: BadRun) -> None:
    clips = sorted(str(path.relative_to(bad_run.dataset.output_dir)) for path in bad_run.dataset.folder.rglob("*.mp4"))
    assert clips == sorted(row["frames"] for row in bad_run.dataset.rows)


@pytest.mark.parametrize(("task", "num_poses"), [("one pose less", 9), ("one pose more", 11)])
def test_a_difference_within_the_limit_is_cut_to_the_shorter_and_said_so(
    bad_run: BadRun, task: str, num_poses: int
) -> None:
    (row,) = (row for row in bad_run.dataset.rows if row["task_name"] == task)
    assert row["source_num_frames"] == len(row["actions"]) == min(num_poses, NUM_FRAMES)
    note = f"Warning: {num_poses} poses for {NUM_FRAMES} video frames, cut to {min(num_poses, NUM_FRAMES)}: "
    assert bad_run.entries[task]["note"] == f"{note}{bad_run.source}/{task}/0.hdf5"
    assert bad_run.entries[task]["note"] in bad_run.stderr.splitlines()


# A full disk -------------------------------------------------------------------------------------------------


class Full(NamedTuple):
    source: Path
    expected: dict[str, bytes]  # what is published where there is room


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Full:
    folder = tmp_path_factory.mktemp("full")
    tiny_egodex(folder / "test", episodes=8)
    assert fork_convert(folder / "test", folder / "out").exit_code == 0
    return Full(folder / "test", published(folder / "out"))


def assert_stopped_cleanly(exit_code: int, stderr: str) -> None:
    assert exit_code == 3, stderr
    *_, last = stderr.splitlines()
    assert last.startswith("Stopped: Cannot ")
    assert last.endswith("; what is finished is kept, the same command goes on")
    assert "Traceback" not in stderr


def unfinished(out: Path, message: str) -> str:
    """What a run was writing when it stopped."""
    if (out / NAME / ".work" / "tables").exists():
        return "table"
    return "clip" if ".mp4:" in message else "record" if ".main:" in message or ".hands:" in message else message


def test_a_disk_that_is_full_at_any_file_stops_the_run_which_goes_on_later(full: Full, tmp_path: Path) -> None:
    """A limit on the size of files, larger each time."""

    def limit_files(num_bytes: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

    met = set()
    for num_bytes in (2**exponent for exponent in itertools.count(9)):
        out = tmp_path / f"{num_bytes}"
        run = fork_convert(full.source, out, first=partial(limit_files, num_bytes))
        if run.exit_code == 0:
            break
        assert_stopped_cleanly(run.exit_code, run.stderr)
        assert set(outcomes(out).values()) <= {("done", None)}, "no episode is to blame for a full disk"
        met.add(unfinished(out, run.last_line))
        assert fork_convert(full.source, out).exit_code == 0
        assert published(out) == full.expected
    assert met == {"clip", "record", "table"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if commands.run("-t", "tmpfs", "-o", "size=128k", "tmpfs", disk, program="mount").exit_code:
        pytest.skip("may not mount a file system")
    yield disk
    assert commands.run(disk, program="umount").exit_code == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_file_system_stops_the_run_which_goes_on_later(full: Full, small_disk: Path, workers: int) -> None:
    run = convert(full.source, small_disk, "--output.frame_size=64", workers=workers, exit_code=3)
    assert_stopped_cleanly(run.exit_code, run.stderr)
    assert set(outcomes(small_disk).values()) <= {("done", None)}
    assert commands.run("-o", "remount,size=64m", small_disk, program="mount").exit_code == 0
    convert(full.source, small_disk, "--output.frame_size=64", workers=workers)
    assert published(small_disk) == full.expected
