"""The catalogue: one row an episode, the same whatever the source lies in, wherever and however often it is run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from archives import DEFLATED, STORED, pack
from range_server import serving

from dataset_upload.catalogue.__main__ import main
from dataset_upload.dataset_loaders import LOADERS
from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader
from dataset_upload.mini_egodex.part import IRREGULARITIES, EpisodeRecord, make_mini_egodex
from dataset_upload.natural_order import natural_key
from dataset_upload.quality.table import COLUMNS, MEASURES, measure_all
from dataset_upload.storage.byte_source import open_source
from dataset_upload.storage.locks import exclusive_lock
from dataset_upload.storage.zip_archive import list_members

Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, EpisodeRecord]]:
    """Twelve normal episodes, and one of each irregularity."""
    path = tmp_path_factory.mktemp("source") / "test"
    records = make_mini_egodex(path, episodes=12, size=(64, 64), frames=(20, 40), irregularities=list(IRREGULARITIES))
    return path, {record.irregularity or record.key: record for record in records}


@pytest.fixture(scope="module")
def source(part: tuple[Path, Any]) -> Path:
    return part[0]


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The catalogue of the folder, made in one go."""
    out = tmp_path_factory.mktemp("expected") / "c.parquet"
    run(source, out)
    return out.read_bytes()


def run(source: Path | str, out: Path, *options: str, exit_code: int = 1) -> None:
    """Run the command; of the irregular episodes some always fail."""
    assert main([str(source), str(out), "--num_workers=0", *options]) == exit_code


def rows_of(out: Path) -> Rows:
    return {row["key"]: row for row in pq.read_table(out).to_pylist()}


def to_be_measured(said: str) -> int:
    """How many episodes a run found without a row, by its first line."""
    return int(said.split("; ")[1].split(" of ")[0])


# What is in it ------------------------------------------------------------------------------------------------------


def test_every_episode_has_a_row_in_natural_order(part: tuple[Path, dict[str, EpisodeRecord]], tmp_path: Path) -> None:
    source, records = part
    run(source, out := tmp_path / "c.parquet")
    keys = pq.read_table(out, columns=["key"])["key"].to_pylist()
    assert keys == sorted((record.key for record in records.values()), key=natural_key)


def test_it_names_each_irregularity(part: tuple[Path, dict[str, EpisodeRecord]], tmp_path: Path) -> None:
    source, records = part
    run(source, out := tmp_path / "c.parquet")
    rows = rows_of(out)
    found = {name: rows[records[name].key] for name in IRREGULARITIES}
    reasons = {name: row["reason"] for name, row in found.items() if row["reason"] is not None}
    assert reasons == {
        "missing_mp4": "missing mp4",
        "missing_hdf5": "missing hdf5",
        "truncated_hdf5": "unreadable hdf5",
        "description_unavailable": "no description",
        "no_description": "no description",
        "missing_joint": "missing joint",
        "nan_poses": "nan poses",
    }
    unmeasured = {name for name, row in found.items() if row["frames"] is None}
    assert unmeasured == {"missing_hdf5", "truncated_hdf5", "missing_joint", "nan_poses"}
    assert [name for name, row in found.items() if row["text_placeholder"]] == ["description_unavailable"]
    assert [name for name, row in found.items() if row["left_confidence_unknown"] == 1] == ["missing_confidences"]
    assert [name for name, row in found.items() if row["row0_repeated"]] == ["row0_repeated"]
    assert [name for name, row in found.items() if row["text_certain"] is False] == ["old_release", "no_description"]
    assert found["frame_mismatch"]["frames"] == records["frame_mismatch"].pose_rows
    # Where a file only spells things otherwise, or only the video is damaged, nothing is to be said.
    for name in ("which_as_int", "which_as_bytes", "description2_none", "number_gap", "truncated_mp4"):
        assert found[name]["reason"] is None and found[name]["text_usable"], name
    assert {found[name]["text_direction"] for name in ("which_as_int", "which_as_bytes")} <= {"forward", "reverse"}


def test_a_row_says_what_was_drawn_and_measured(part: tuple[Path, dict[str, EpisodeRecord]], tmp_path: Path) -> None:
    source, records = part
    run(source, out := tmp_path / "c.parquet")
    rows = rows_of(out)
    loader = EgoDexLoader(str(source), "test")
    normal = {record.key: record for record in records.values() if record.irregularity is None}
    for episode in [each for each in loader.list_episodes() if each.key in normal][:3]:
        row = rows[episode.key]
        measured = measure_all(loader.load_tracking(episode))
        assert {name: row[name] for name in COLUMNS} == measured
        record = normal[episode.key]
        assert (row["task"], row["frames"], row["is_drawn"]) == (record.description, record.frames, True)
        assert row["text_direction"] == ("reverse" if record.reverse else "forward")
        assert row["collector"].startswith("C") and row["session_name"].endswith(".mov")


def test_each_column_says_what_it_means(expected: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.parquet").write_bytes(expected)
    schema = pq.read_schema(tmp_path / "c.parquet")
    assert all(field.metadata[b"meaning"] for field in schema)
    for each in MEASURES:
        for column in each.columns:
            assert schema.field(column).metadata[b"unit"].decode() == each.unit


def test_texts_that_are_the_same_in_one_session_are_counted(tmp_path: Path) -> None:
    source = tmp_path / "test"
    make_mini_egodex(source, episodes=4, size=(64, 64), frames=6, tasks=["basic_pick_and_place"])
    for number, session, text in (
        (0, "a", "Lift  it."),
        (1, "a", "lift it."),
        (2, "b", "Lift it."),
        (3, "a", "Drop it."),
    ):
        with h5py.File(source / f"basic_pick_and_place/{number}.hdf5", "r+") as file:
            file.attrs.update(session_name=session, llm_description=text, llm_type="reset")
            file.attrs.pop("which_llm_description", None)
    run(source, out := tmp_path / "c.parquet", exit_code=0)
    assert [row["duplicates"] for row in rows_of(out).values()] == [1, 1, 0, 0]


def test_no_video_is_opened(source: Path, expected: bytes, tmp_path: Path) -> None:
    copy = shutil.copytree(source, tmp_path / "test")
    for video in copy.rglob("*.mp4"):
        video.write_bytes(b"")
    run(copy, out := tmp_path / "c.parquet")
    assert out.read_bytes() == expected


# The same, whatever the source lies in ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [STORED, DEFLATED], ids=["stored", "deflated"])
def test_a_zip_gives_the_same_bytes(source: Path, expected: bytes, method: int, tmp_path: Path) -> None:
    run(pack(source, tmp_path / "test.zip", method), out := tmp_path / "c.parquet")
    assert out.read_bytes() == expected


@pytest.mark.parametrize("method", [STORED, DEFLATED], ids=["stored", "deflated"])
def test_http_gives_the_same_bytes_and_fetches_no_video(
    source: Path, expected: bytes, method: int, tmp_path: Path
) -> None:
    archive = pack(source, tmp_path / "test.zip", method)
    with serving(tmp_path) as server:
        run(f"{server.url}/test.zip", out := tmp_path / "c.parquet")
        fetched = [(request.start, request.end) for request in server.requests[3:]]  # after those for the directory
    assert out.read_bytes() == expected
    videos = [member for member in list_members(open_source(str(archive))) if member.name.endswith(".mp4")]
    directory = max(member.end for member in videos)
    touched = [
        member.name
        for member in videos
        for start, end in fetched
        if start < member.start + 30 + len(member.name) + member.compressed_size
        and end > member.start
        and end <= directory
    ]
    assert not touched


def test_an_object_store_gives_the_same_bytes(source: Path, expected: bytes, tmp_path: Path) -> None:
    archive = pack(source, tmp_path / "test.zip", DEFLATED)
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/test.zip", archive.read_bytes())
    try:
        run("memory://bucket/test.zip", out := tmp_path / "c.parquet")
    finally:
        store.rm("/bucket/test.zip")
    assert out.read_bytes() == expected


# The same, however it was run ---------------------------------------------------------------------------------------


def test_worker_processes_give_the_same_bytes(source: Path, expected: bytes, tmp_path: Path) -> None:
    run(source, out := tmp_path / "c.parquet", "--num_workers=2")
    assert out.read_bytes() == expected


@pytest.mark.parametrize("torn", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: raw[:-9]])
def test_a_run_that_was_killed_goes_on(
    source: Path, expected: bytes, torn: Callable[[bytes], bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(source, out := tmp_path / "c.parquet")
    finished = tmp_path / "c.parquet.rows" / "all.jsonl"
    num_all = len(finished.read_bytes().splitlines()) - 1
    out.unlink()
    finished.write_bytes(torn(finished.read_bytes()))
    kept = max(0, finished.read_bytes().count(b"\n") - 1)  # whole lines but the first
    capsys.readouterr()
    run(source, out)
    assert out.read_bytes() == expected
    assert num_all - kept <= to_be_measured(capsys.readouterr().out) <= num_all - kept + 3  # what failed counts, too
    run(source, out)  # and what is there is whole again
    assert to_be_measured(capsys.readouterr().out) == 3  # those that failed are tried again


def test_shards_give_the_same_bytes(
    source: Path, expected: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "c.parquet"
    for index in (2, 0, 1):
        main([str(source), str(out), "--num_workers=0", f"--shard={index}/3"])
        assert not out.exists()
    assert "when all 3 shards have ended" in capsys.readouterr().out
    run(source, out)
    assert out.read_bytes() == expected
    assert to_be_measured(capsys.readouterr().out) == 3  # those that failed


def test_an_episode_that_has_changed_is_measured_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "test"
    (first, second) = make_mini_egodex(source, episodes=2, size=(64, 64), frames=(10, 20))
    run(source, out := tmp_path / "c.parquet", exit_code=0)
    before = rows_of(out)
    with h5py.File(source / f"{first.key}.hdf5", "r+") as file:
        file["transforms/leftHand"][:] = file["transforms/leftHand"][()][::-1]
    (source / f"{second.key}.mp4").unlink()
    capsys.readouterr()
    run(source, out, exit_code=0)
    after = rows_of(out)
    assert to_be_measured(capsys.readouterr().out) == 2
    assert after[first.key]["left_bone_change_mm"] > before[first.key]["left_bone_change_mm"]
    assert (before[second.key]["reason"], after[second.key]["reason"]) == (None, "missing mp4")


def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    source = tmp_path / "test"
    (record,) = make_mini_egodex(source, episodes=1, size=(64, 64), frames=10)
    path = source / f"{record.key}.hdf5"
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])
    run(source, out := tmp_path / "c.parquet")
    assert rows_of(out)[record.key]["reason"] == "unreadable hdf5"
    path.write_bytes(whole)
    run(source, out, exit_code=0)
    assert rows_of(out)[record.key]["reason"] is None


def test_several_parts_make_one_catalogue(tmp_path: Path) -> None:
    for name in ("part2", "part10"):
        make_mini_egodex(tmp_path / name, episodes=1, size=(64, 64), frames=6)
    assert (
        main([str(tmp_path / "part2"), str(tmp_path / "part10"), str(tmp_path / "c.parquet"), "--num_workers=0"]) == 0
    )
    assert [key.split("/")[0] for key in rows_of(tmp_path / "c.parquet")] == ["part2", "part10"]


def test_poses_that_no_person_could_have_cost_no_other_episode(tmp_path: Path) -> None:
    source = tmp_path / "test"
    (first, second) = make_mini_egodex(source, episodes=2, size=(64, 64), frames=10)
    with h5py.File(source / f"{first.key}.hdf5", "r+") as file:
        for name, poses in file["transforms"].items():
            poses[:] = np.float32(3e38) if name != "camera" else 0
        file.attrs["annotator_version"] = np.inf
    run(source, out := tmp_path / "c.parquet", exit_code=0)
    rows = rows_of(out)
    assert rows[first.key]["left_behind_camera"] is not None
    assert rows[first.key]["left_path_m"] in (0.0, None) and rows[second.key]["left_path_m"] is not None


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["{source}", "{tmp}/c.csv"], "Error: OUT: {tmp}/c.csv must end in .parquet"),
        (["{source}", "{source}/c.parquet"], "lies in the source"),
        (["{source}", "{tmp}/c.parquet", "--shard=3/3"], "Error: --shard: 3/3 must be from 0/3 to 2/3"),
        (["{source}", "{tmp}/c.parquet", "--engine=moon", "--num_workers=1"], "Error: --engine: moon is none of"),
        (["{source}", "{tmp}/c.parquet", "--loader=moon"], "Error: --loader: moon is none of"),
        (["{tmp}/nothing", "{tmp}/c.parquet"], "Error: SOURCE: {tmp}/nothing does not exist"),
        (["{source}"], "OUT.parquet: missing"),
    ],
)
def test_refusals(
    arguments: list[str], line: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([each.format(source=source, tmp=tmp_path) for each in arguments]) == 2
    captured = capsys.readouterr()
    assert line.format(source=source, tmp=tmp_path) in captured.err and captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_source_without_hands_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(LOADERS, "toy", "toy_loader:ToyLoader")
    run(tmp_path, tmp_path / "c.parquet", "--loader=toy", exit_code=2)
    assert "Error: --loader: Toy Arm has no poses of hands and camera" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_two_runs_at_once_are_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "c.parquet.rows" / "all.jsonl"
    rows.parent.mkdir()
    with exclusive_lock(rows, wait=False):
        run(source, tmp_path / "c.parquet", exit_code=2)
    assert "another run is writing" in capsys.readouterr().err
