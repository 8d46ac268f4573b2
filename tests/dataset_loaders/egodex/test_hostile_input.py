"""Annotations and names that mean harm are refused by name, before they cost memory, and reach nothing elsewhere.

Videos that mean harm are in test_video_decoding.py, archives in test_zip_archive.py.
"""

from __future__ import annotations

import os
import resource
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
from commands import Run, in_fork
from conversions import NAME, fork_convert
from dataset_reader import Dataset
from output_folder import outcomes

from dataset_upload.config import OutputConfig
from dataset_upload.conversion import Conversion
from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader
from dataset_upload.engines.in_process import attempt
from dataset_upload.errors import EpisodeError
from dataset_upload.formats.rfm.encoder import RfmEncoder
from dataset_upload.jobs import Job, Piece
from dataset_upload.mini_egodex.part import write_episode

MEGABYTE = 2**20
MEMORY_LIMIT = 512 * MEGABYTE  # on top of what the process has
MEMORY_ALLOWED = 160 * MEGABYTE

HUGE = 10**12


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of one episode."""
    path = tmp_path_factory.mktemp("harmless") / "test"
    write_episode(path, "basic_pick_and_place", 0, frames=10, size=(64, 64))
    return path


@pytest.fixture
def hdf5(harmless: Path, tmp_path: Path) -> Path:
    """The annotation of a copy that a test may change."""
    return shutil.copytree(harmless, tmp_path / "test") / "basic_pick_and_place/0.hdf5"


def convert_one(hdf5: Path) -> Run:
    """Convert one episode in a process that may take little more memory; prints the reason, or "done" and the task."""

    def act() -> int:
        (pages,) = Path("/proc/self/statm").read_text().split()[:1]
        limit = int(pages) * resource.getpagesize() + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        loader = EgoDexLoader(str(hdf5.parent.parent), NAME)
        (listed,) = loader.list_episodes()
        incoming = hdf5.parents[2] / "incoming"
        incoming.mkdir()
        conversion = Conversion(loader, RfmEncoder(NAME, OutputConfig(frame_size=64), loader.about, incoming))
        outcome = attempt(conversion, Job(listed, listed.key, 0, (0, ())))
        if isinstance(outcome, EpisodeError):
            print(f"{outcome.reason}: {outcome}")
        else:
            print(f"done: {record(outcome)['task']}")
        return 0

    return in_fork(act)


def record(piece: Piece) -> dict[str, Any]:
    """The row of the main table."""
    with pa.OSFile(str(piece.records["main"])) as file:
        (row,) = pa.ipc.open_file(file).get_batch(0).to_pylist()
    return dict(row)


@pytest.fixture(scope="module")
def usual_peak(harmless: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Kilobytes that converting a harmless episode takes."""
    copy = shutil.copytree(harmless, tmp_path_factory.mktemp("usual") / "test")
    run = convert_one(copy / "basic_pick_and_place/0.hdf5")
    assert run.stdout.startswith("done: ")
    return run.peak_kilobytes


# HDF5 --------------------------------------------------------------------------------------------------------


def replace_poses(names: str, **dataset: Any) -> Callable[[Path], None]:
    """Put other datasets in the place of all transforms, or of all whose name begins so."""

    def spoil(hdf5: Path) -> None:
        with h5py.File(hdf5, "r+", libver="latest") as file:
            for name in [name for name in file["transforms"] if name.startswith(names)]:
                del file["transforms"][name]
                file["transforms"].create_dataset(name, dtype="f4", **dataset)

    return spoil


def write_half(hdf5: Path) -> None:
    """Poses in two chunks, of which the file holds one."""
    with h5py.File(hdf5, "r+") as file:
        first_half = file["transforms/leftHand"][:5]
        del file["transforms/leftHand"]
        pose = file["transforms"].create_dataset("leftHand", (10, 4, 4), "f4", chunks=(5, 4, 4))
        pose[:5] = first_half


def replace(path: str, **dataset: Any) -> Callable[[Path], None]:
    def spoil(hdf5: Path) -> None:
        with h5py.File(hdf5, "r+") as file:
            del file[path]
            file.create_dataset(path, **dataset)

    return spoil


def inflate(rows: int, times: int) -> Callable[[Path], None]:
    """A chunk that claims so many rows, but holds 320 MB of zeros, compressed so often."""

    def spoil(hdf5: Path) -> None:
        compressor = zlib.compressobj(1)
        data = b"".join(compressor.compress(bytes(MEGABYTE)) for _ in range(320)) + compressor.flush()
        pipeline = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        pipeline.set_chunk((rows, 4, 4))
        for number in range(times):
            data = zlib.compress(data) if number else data
            pipeline.set_filter(h5py.h5z.FILTER_DEFLATE, h5py.h5z.FLAG_OPTIONAL, (6,))
        with h5py.File(hdf5, "r+") as file:
            del file["transforms/leftHand"]
            shape = h5py.h5s.create_simple((10, 4, 4), (h5py.h5s.UNLIMITED, 4, 4))
            pose = h5py.h5d.create(file["transforms"].id, b"leftHand", h5py.h5t.IEEE_F32LE, shape, pipeline)
            pose.write_direct_chunk((0, 0, 0), data)

    return spoil


def attribute(name: str, value: Callable[[], Any]) -> Callable[[Path], None]:
    """Write the file anew in the latest format, which holds attributes of any size, with another value of one."""

    def spoil(hdf5: Path) -> None:
        with h5py.File(hdf5) as old, h5py.File(hdf5.with_name("new"), "w", libver="latest") as new:
            for group in old:
                old.copy(group, new)
            new.attrs.update(old.attrs)
            del new.attrs[name]
            new.attrs[name] = value()
        hdf5.with_name("new").replace(hdf5)

    return spoil


def claim_a_gigabyte(hdf5: Path) -> None:
    """A text of 60,000 characters whose type says that it has 2**30."""
    with h5py.File(hdf5, "r+") as file:
        file.attrs["llm_description"] = np.bytes_(b"x" * 60_000)
    data = hdf5.read_bytes()
    assert data.count(struct.pack("<I", 60_000)) == 1
    hdf5.write_bytes(data.replace(struct.pack("<I", 60_000), struct.pack("<I", 2**30)))


def point_to_one_long_text(times: int) -> Callable[[Path], None]:
    """An array of texts that all lie in the same place."""

    def spoil(hdf5: Path) -> None:
        length = 100_003  # stands nowhere else in the file
        with h5py.File(hdf5, "r+") as file:
            del file.attrs["llm_verbs"]
            texts = np.array(["x" * length, *["y"] * (times - 1)], dtype=object)
            file.attrs.create("llm_verbs", texts, dtype=h5py.string_dtype())
        data = bytearray(hdf5.read_bytes())
        pointers = data.index(struct.pack("<I", length))
        data[pointers : pointers + 16 * times] = data[pointers : pointers + 16] * times
        hdf5.write_bytes(data)

    return spoil


def link_outside(path: str) -> Callable[[Path], None]:
    """Replace an object by a link to the same one in a file beside."""

    def spoil(hdf5: Path) -> None:
        beside = Path(shutil.copy(hdf5, hdf5.parents[2] / "secret.hdf5"))
        with h5py.File(hdf5, "r+") as file:
            del file[path]
            file[path] = h5py.ExternalLink(str(beside), path)

    return spoil


def link_inside(hdf5: Path) -> None:
    with h5py.File(hdf5, "r+") as file:
        file["elsewhere"] = file["transforms/leftHand"]
        del file["transforms/leftHand"]
        file["transforms/leftHand"] = h5py.SoftLink("/elsewhere")


def store_outside(hdf5: Path) -> None:
    outside = hdf5.parents[2] / "secret.bin"
    outside.write_bytes(np.ones((10, 4, 4), "f4").tobytes())
    with h5py.File(hdf5, "r+") as file:
        del file["transforms/leftHand"]
        file.create_dataset("transforms/leftHand", (10, 4, 4), "f4", external=[(str(outside), 0, 640)])


def store_virtually(hdf5: Path) -> None:
    beside = hdf5.parents[2] / "secret.hdf5"
    shutil.copy(hdf5, beside)
    with h5py.File(hdf5, "r+", libver="latest") as file:
        del file["transforms/leftHand"]
        layout = h5py.VirtualLayout((10, 4, 4), "f4")
        layout[:] = h5py.VirtualSource(str(beside), "transforms/leftHand", (10, 4, 4))
        file.create_virtual_dataset("transforms/leftHand", layout)


def refer(hdf5: Path) -> None:
    with h5py.File(hdf5, "r+") as file:
        file.attrs["llm_description"] = file["transforms"].ref


@pytest.mark.parametrize(
    ("what", "spoil", "reason"),
    [
        ("10^12 rows in one piece", replace_poses("", shape=(HUGE, 4, 4)), "frame count mismatch"),
        ("10^12 rows in chunks", replace_poses("", shape=(HUGE, 4, 4), chunks=(64, 4, 4)), "frame count mismatch"),
        ("one pose of 10^12 rows", replace_poses("leftHand", shape=(HUGE, 4, 4)), "frame count mismatch"),
        ("poses of 10^12 columns", replace_poses("", shape=(10, HUGE, 4)), "unreadable hdf5"),
        ("poses that were never written", replace_poses("", shape=(10, 4, 4)), "unreadable hdf5"),
        ("poses of which half was never written", write_half, "unreadable hdf5"),
        (
            "confidences that were never written",
            replace("confidences/leftHand", shape=(10,), dtype="f4"),
            "unreadable hdf5",
        ),
        ("poses in 160 chunks", replace_poses("left", data=np.ones((10, 4, 4)), chunks=(1, 1, 1)), "done"),
        (
            "intrinsics that are a long list",
            replace("camera/intrinsic", shape=(HUGE, 3), dtype="f4"),
            "unusable intrinsics",
        ),
        ("10^12 confidences", replace("confidences/leftHand", shape=(HUGE,), dtype="f4"), "frame count mismatch"),
        ("a large chunk that inflates", inflate(5 * MEGABYTE, times=1), "too large"),
        ("a small chunk that inflates", inflate(10, times=1), "too large"),
        ("a small chunk that inflates twice", inflate(10, times=2), "too large"),
        ("2 MB of text, fixed", attribute("llm_description", lambda: np.bytes_(b"x" * 2 * MEGABYTE)), "too large"),
        ("2 MB of text, variable", attribute("llm_description", lambda: "x" * 2 * MEGABYTE), "too large"),
        ("60 MB of text, variable", attribute("llm_description", lambda: "x" * 60 * MEGABYTE), "too large"),
        ("text that claims a gigabyte", claim_a_gigabyte, "unreadable hdf5"),
        ("60 texts that are one", point_to_one_long_text(60), "done"),
        ("4000 texts that are one", point_to_one_long_text(4000), "too large"),
        ("70,000 texts", attribute("llm_verbs", lambda: ["x"] * 70_000), "too large"),
        ("an external link to all poses", link_outside("transforms"), "unreadable hdf5"),
        ("an external link to a pose", link_outside("transforms/leftHand"), "unreadable hdf5"),
        ("an external link to the confidences", link_outside("confidences"), "unreadable hdf5"),
        ("an external link to the intrinsics", link_outside("camera/intrinsic"), "unreadable hdf5"),
        ("a soft link", link_inside, "unreadable hdf5"),
        ("poses stored in another file", store_outside, "unreadable hdf5"),
        ("poses that are a view of another file", store_virtually, "unreadable hdf5"),
        ("transforms is no group", replace("transforms", data=np.zeros(3, "f4")), "missing joint"),
        ("poses of integers", replace("transforms/leftHand", data=np.zeros((10, 4, 4), "i4")), "unreadable hdf5"),
        ("a description that is a reference", refer, "unreadable hdf5"),
        ("a description that is a number", attribute("llm_description", lambda: 1.5), "unreadable hdf5"),
        ("a description that is two", attribute("llm_description", lambda: ["fold", "pour"]), "unreadable hdf5"),
        ("a description that is empty", attribute("llm_description", lambda: h5py.Empty("S1")), "no description"),
    ],
)
def test_hostile_hdf5(hdf5: Path, usual_peak: int, what: str, spoil: Callable[[Path], None], reason: str) -> None:
    def act() -> int:
        spoil(hdf5)
        return 0

    spoilt = in_fork(act)  # whose memory is not this process's
    assert spoilt.exit_code == 0, spoilt.stderr
    run = convert_one(hdf5)
    assert run.exit_code == 0, run.stderr
    assert run.stdout.startswith(f"{reason}: "), run.stdout
    assert str(hdf5) in run.stdout or reason == "done"
    assert run.stdout.count("\n") == 1
    assert (run.peak_kilobytes - usual_peak) * 1024 < MEMORY_ALLOWED


def test_a_file_of_a_gigabyte(hdf5: Path, usual_peak: int) -> None:
    os.truncate(hdf5, 2**30)
    run = convert_one(hdf5)
    assert run.stdout.startswith("too large: ")
    assert (run.peak_kilobytes - usual_peak) * 1024 < MEMORY_ALLOWED


# Names -------------------------------------------------------------------------------------------------------


def everything_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "../evil", "/tmp/evil", "a/b", "a\nb", "a b", "-rf", "~", "$HOME", "é", "README.md", "a" * 256],
)
def test_a_dataset_name_that_is_no_plain_folder_name_is_refused(harmless: Path, tmp_path: Path, name: str) -> None:
    run = fork_convert(harmless, tmp_path / "out", name=name)
    assert run.exit_code == 2
    assert run.stderr.count("\n") == 1
    assert not [path for path in everything_below(tmp_path) if not path.startswith("out")]
    assert not list((tmp_path / "out").glob("*"))


def test_the_longest_dataset_name_works(harmless: Path, tmp_path: Path) -> None:
    run = fork_convert(harmless, tmp_path, name="a" * 255)
    assert run.exit_code == 0, run.stderr
    assert len(Dataset(tmp_path, "a" * 255).rows) == 1


NASTY_NAMES = [
    "fold..",
    "fold\nERROR: all is lost",
    "\x1b[31mred",
    "Wäsche falten",
    "折る😀",
    "a" * 250,
    "$(touch evil)",
    "'; DROP TABLE",
    "%s%n",
    "-rf",
    "~root",
    "{key}",
    "C:\\fold",
]


def test_names_of_tasks_and_episodes_reach_neither_paths_nor_lines(harmless: Path, tmp_path: Path) -> None:
    source = tmp_path / "test"
    for name in NASTY_NAMES:
        (source / name).mkdir(parents=True)
        for suffix in ("hdf5", "mp4"):
            shutil.copy(harmless / f"basic_pick_and_place/0.{suffix}", source / name / f"{name[:240]}.{suffix}")
    bad = source / "fold\nERROR: all is lost"
    (bad / "bad\nERROR: really.hdf5").write_bytes(b"")
    (bad / "bad\nERROR: really.mp4").write_bytes(b"")

    before = everything_below(tmp_path)
    run = fork_convert(source, tmp_path / "out", "--output.verbose=true")
    assert run.exit_code == 1
    allowed = {f"out/{NAME}/batch_0000/trajectory_{number:04d}.mp4" for number in range(len(NASTY_NAMES) + 1)}
    table = "train-00000-of-00001.parquet"
    allowed |= {f"out/{NAME}/{name}" for name in (table, f"hands/{table}", "conversion.json", "ledger.jsonl")}
    allowed |= {"out", "out/README.md", "out/.card.lock", f"out/{NAME}", f"out/{NAME}/hands", f"out/{NAME}/batch_0000"}
    allowed |= {f"out/{NAME}/README.md"}
    written = {path for path in everything_below(tmp_path) - before if "/.work" not in path}
    assert written <= allowed
    rows = Dataset(tmp_path / "out").rows
    assert {row["source"] for row in rows} == {f"{name}/{name[:240]}" for name in NASTY_NAMES}
    assert len({row["id"] for row in rows}) == len(NASTY_NAMES)
    assert not any(line.startswith("ERROR") for line in (run.stdout + run.stderr).splitlines())


def test_a_name_that_is_not_utf_8_costs_only_its_episode(harmless: Path, tmp_path: Path) -> None:
    source = tmp_path / "test"
    for name in (b"fine", b"fold\xff\xfe"):
        shutil.copytree(harmless / "basic_pick_and_place", source / os.fsdecode(name))
    run = fork_convert(source, tmp_path / "out")
    assert run.exit_code == 1, run.stderr
    assert outcomes(tmp_path / "out")["fine/0"] == ("done", None)
    assert sorted(status for status, _ in outcomes(tmp_path / "out").values()) == ["done", "failed"]
    assert "UTF-8" in run.stderr


def test_what_is_no_plain_file_costs_only_its_episode(harmless: Path, tmp_path: Path) -> None:
    """Opening a named pipe, or reading from a device, would have no end."""
    source = shutil.copytree(harmless, tmp_path / "test")
    task = source / "basic_pick_and_place"
    for suffix in ("hdf5", "mp4"):
        os.mkfifo(task / f"1.{suffix}")
        (task / f"2.{suffix}").mkdir()
        (task / f"3.{suffix}").symlink_to("/dev/zero")
        (task / f"4.{suffix}").symlink_to(f"4.{suffix}")
    run = fork_convert(source, tmp_path / "out")
    assert run.exit_code == 1, run.stderr
    assert outcomes(tmp_path / "out") == {
        "basic_pick_and_place/0": ("done", None),
        **{f"basic_pick_and_place/{number}": ("failed", "unreadable source") for number in range(1, 5)},
    }
