"""What `validate_dataset` calls wrong: each check, on a good dataset that is broken in one way."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conversions import convert
from dataset_reader import Dataset
from drawn_egodex import MiniEgoDex
from output_folder import with_checksum

from dataset_upload.formats.rfm.dataset_checks import DATASET_CHECKS
from dataset_upload.formats.rfm.trajectory_checks import TRAJECTORY_CHECKS
from dataset_upload.validate_dataset import main

Row = dict[str, Any]

NAMES = [check.__name__ for check in (*DATASET_CHECKS, *TRAJECTORY_CHECKS)]
NEED_THE_CLIP = {name for name in NAMES if name.startswith("clip")} | {"intrinsics_sane"}


def ledger_line(entry: dict[str, Any]) -> bytes:
    return with_checksum(json.dumps({name: value for name, value in entry.items() if name != "crc32"}))


class Copy:
    """A copy of a good dataset, to be broken."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "egodex_test"
        self.table = self.folder / "train-00000-of-00001.parquet"
        self.ledger = self.folder / "ledger.jsonl"
        self.first = pq.read_table(self.table).slice(0, 1).to_pylist()[0]
        self.clip = root / self.first["frames"]

    def change_rows(self, change: Callable[[list[Row]], object], table: str = "") -> None:
        path = self.folder / table / self.table.name
        before = pq.ParquetFile(path).read()  # with what the file says of itself
        rows = before.to_pylist()
        change(rows)
        pq.write_table(pa.Table.from_pylist(rows, before.schema), path)

    def change_first(self, column: str, change: Callable[[Any], Any], table: str = "") -> None:
        self.change_rows(lambda rows: rows[0].update({column: change(rows[0][column])}), table)

    def change_description(self, change: Callable[[dict[str, Any]], object]) -> None:
        path = self.folder / "conversion.json"
        description = json.loads(path.read_text())
        change(description)
        path.write_text(json.dumps(description))

    def change_entry(self, source: str, **values: object) -> None:
        lines = self.ledger.read_text().splitlines()
        entries = [json.loads(line) for line in lines[1:]]
        for entry in entries:
            if entry.get("key") == source:
                entry.update(values)
        first = f"{lines[0]}\n".encode()
        self.ledger.write_bytes(first + b"".join(map(ledger_line, entries)))

    def fingerprint(self) -> str:
        entries = map(json.loads, self.ledger.read_text().splitlines()[1:])
        done = {e["key"]: f"{e['clip']} {e['clip_sha256']} {e['key']}" for e in entries if e.get("status") == "done"}
        return hashlib.sha256("\0".join(sorted(done.values())).encode()).hexdigest()

    def edit(self, path: Path, old: bytes, new: bytes) -> None:
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    def replace_clip(self, *, codec: str = "libx264", fps: int = 30, width: int = 256, drop: int = 0) -> None:
        """Put another clip in the first one's place, so that ledger and description know of it."""
        with av.open(str(self.clip)) as container:
            frames = [frame.reformat(width=width) for frame in container.decode(video=0)]
        before = self.clip.stat().st_size
        with av.open(str(self.clip), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream: Any = container.add_stream(codec, rate=fps)
            stream.width, stream.height, stream.pix_fmt = width, 256, "yuv420p"
            for number, frame in enumerate(frames[: len(frames) - drop]):
                frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, fps), 0
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        self.know_the_clip(before)

    def move_index_to_the_end(self) -> None:
        before = self.clip.stat().st_size
        content = self.clip.read_bytes()
        moov, mdat = content.index(b"moov") - 4, content.index(b"mdat") - 4
        assert moov < mdat
        packets = av.open(str(self.clip))
        slow = self.clip.with_suffix(".slow")
        with packets, av.open(str(slow), "w", format="mp4") as container:
            stream = container.add_stream_from_template(packets.streams.video[0])
            for packet in packets.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    container.mux(packet)
        slow.replace(self.clip)
        self.know_the_clip(before)

    def know_the_clip(self, bytes_before: int) -> None:
        content = self.clip.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        self.change_entry(self.first["source"], clip_bytes=len(content), clip_sha256=sha256)
        growth = len(content) - bytes_before
        self.change_description(lambda d: d["bytes"].update(clips=d["bytes"]["clips"] + growth))
        self.change_description(lambda d: d.update(rows=self.fingerprint()))


@pytest.fixture
def copy(converted: Dataset, tmp_path: Path) -> Copy:
    return Copy(shutil.copytree(converted.output_dir, tmp_path / "copy"))


def failures(dataset: Path, capsys: pytest.CaptureFixture[str], *, sample_size: int | str = 2) -> dict[str, list[str]]:
    """The offenders of each check that failed; the first trajectory is always in the sample."""
    exit_code = main([str(dataset), "--json", f"--sample_size={sample_size}"])
    result = json.loads(capsys.readouterr().out)
    failed = {check["check"]: check["offenders"] for check in result["checks"] if check["num_offenders"]}
    assert exit_code == (1 if failed else 0)
    assert result["passed"] is not bool(failed)
    return failed


def test_a_fresh_dataset_passes_every_check(converted: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(converted.output_dir)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:-2]] == [["pass", name] for name in NAMES]
    assert lines[-1].endswith(f"egodex_test: {len(NAMES)} of {len(NAMES)} checks passed")


def test_a_dataset_of_jpegs_passes_every_check(mini: MiniEgoDex, tmp_path: Path) -> None:
    convert(mini.path, tmp_path, "--output.use_video=false", "--output.max_trajectories=4")
    assert main([str(tmp_path)]) == 0


def scaled(factor: float) -> Callable[[Any], Any]:
    return lambda values: (factor * np.array(values)).tolist()


def swapped(values: list[Any]) -> list[Any]:
    return [values[1], values[0], *values[2:]]


def shifted(values: Any) -> Any:
    return (np.array(values) + 0.01).tolist()


def first_made(value: Any, new: Any) -> Any:
    """Nested lists with `new` as their very first number."""
    return [first_made(value[0], new), *value[1:]] if isinstance(value, list) else new


def float32_instead(copy: Copy) -> None:
    table = pq.read_table(copy.table)
    position = table.schema.get_field_index("source_fps")
    column = table["source_fps"].cast(pa.float32())
    pq.write_table(table.set_column(position, "source_fps", column), copy.table)


def same_id_twice(copy: Copy) -> None:
    for table in ("", "hands"):
        copy.change_rows(lambda rows: rows[1].update(id=rows[0]["id"]), table)


def last_row_first(copy: Copy) -> None:
    for table in ("", "hands"):
        copy.change_rows(lambda rows: rows.insert(0, rows.pop()), table)


def one_more_done(copy: Copy) -> None:
    entry: dict[str, object] = {"key": "fold_towel/7", "status": "done", "clip": 99, "source_bytes": 1, "clip_bytes": 1}
    entry["clip_sha256"] = "0" * 64
    entry["source_versions"] = [1]
    with copy.ledger.open("ab") as file:
        file.write(ledger_line(entry))


def give_another_reason(copy: Copy) -> None:
    entries = map(json.loads, copy.ledger.read_text().splitlines()[1:])
    copy.change_entry(next(e["key"] for e in entries if e.get("reason") == "missing mp4"), reason="bad weather")


def stray_clip(copy: Copy) -> None:
    shutil.copy(copy.clip, copy.clip.with_name("trajectory_0999.mp4"))


# What is broken, by the check that must notice; then the other checks that may notice as well.
BREAKS: dict[str, tuple[Callable[[Copy], object], set[str]]] = {
    "shards_complete": (lambda c: c.table.rename(c.table.with_name("train-00000-of-00002.parquet")), set()),
    "column_types": (float32_instead, set()),
    "unique_ids": (same_id_twice, set()),
    "unique_sources": (
        lambda c: c.change_rows(lambda rows: rows[1].update(source=rows[0]["source"])),
        {"clips_as_in_ledger", "ledger_agrees", "clip_checksums"},
    ),
    "tasks_told": (lambda c: c.change_first("task", lambda _: "  "), set()),
    "data_sources": (lambda c: c.change_first("data_source", lambda _: "another"), set()),
    "lang_vectors": (lambda c: c.change_first("lang_vector", scaled(1.01)), set()),
    "same_sidecar": (
        lambda c: c.change_rows(lambda rows: rows.insert(0, rows.pop(1)), "hands"),
        {"hands_agree", "hands_rigid"},
    ),
    "rows_in_order": (last_row_first, set()),
    "clips_there": (lambda c: c.clip.unlink(), NEED_THE_CLIP),
    "clips_as_in_ledger": (lambda c: c.change_entry(c.first["source"], clip_bytes=7), {"ledger_agrees"}),
    "no_stray_clips": (stray_clip, set()),
    "ledger_agrees": (one_more_done, {"fingerprint_agrees"}),
    "reasons_known": (give_another_reason, {"ledger_agrees"}),
    "counts_agree": (lambda c: c.change_description(lambda d: d["counts"].update(tasks=1)), set()),
    "fingerprint_agrees": (lambda c: c.change_description(lambda d: d.update(rows="0" * 64)), set()),
    "card_agrees": (lambda c: c.edit(c.root / "README.md", b"config_name: egodex_test\n", b"config_name: x\n"), set()),
    "clips_decode": (
        lambda c: c.clip.write_bytes(bytes(c.clip.stat().st_size)),
        NEED_THE_CLIP,
    ),
    "clip_checksums": (lambda c: c.edit(c.clip, b"x264 - core", b"y264 - core"), set()),
    "clip_formats": (lambda c: c.replace_clip(codec="mpeg4"), set()),
    "clip_sizes": (lambda c: c.replace_clip(width=240), set()),
    "clip_rates": (lambda c: c.replace_clip(fps=15), set()),
    "clip_lengths": (lambda c: c.replace_clip(drop=1), set()),
    "actions_finite": (lambda c: c.change_first("actions", lambda v: first_made(v, None)), {"hands_agree"}),
    "times_rise": (lambda c: c.change_first("timestamps", swapped), {"seconds_left_fall"}),
    "seconds_left_fall": (lambda c: c.change_first("source_seconds_left", shifted), set()),
    "confidences_in_range": (lambda c: c.change_first("confidences", lambda v: first_made(v, 1.5)), set()),
    "cameras_rigid": (lambda c: c.change_first("camera_to_world", lambda v: first_made(v, 3.0)), set()),
    "intrinsics_sane": (lambda c: c.change_first("intrinsics", lambda v: first_made(v, -98.0)), set()),
    "hands_rigid": (lambda c: c.change_first("left_wrist_rotation", scaled(1.1), "hands"), set()),
    "hands_agree": (lambda c: c.change_first("left_hand", shifted, "hands"), set()),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_check_notices_what_it_is_for(name: str, copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    damage, also = BREAKS[name]
    damage(copy)
    failed = failures(copy.root, capsys)
    assert name in failed
    assert set(failed) <= {name, *also}


@pytest.mark.parametrize(
    ("check", "damage"),
    [
        ("lang_vectors", lambda c: c.change_first("lang_vector", lambda vector: vector[:-1])),
        ("lang_vectors", lambda c: c.change_first("lang_vector", lambda vector: first_made(vector, None))),
        ("lang_vectors", lambda c: c.change_first("lang_vector", lambda _: None)),
        ("actions_finite", lambda c: c.change_first("actions", lambda actions: [row[:-1] for row in actions])),
        ("clip_lengths", lambda c: c.change_first("actions", lambda actions: actions[:-1])),
        ("times_rise", lambda c: c.change_first("frame_indices", lambda indices: [*indices[:-1], 10_000])),
        ("cameras_rigid", lambda c: c.change_first("camera_to_world", lambda poses: [swapped(pose) for pose in poses])),
        ("hands_agree", lambda c: c.change_first("camera_to_world", lambda _: None)),
        ("hands_rigid", lambda c: c.change_first("left_hand", lambda _: None, "hands")),
        ("same_sidecar", lambda c: c.change_rows(lambda rows: rows.pop(), "hands")),
        ("rows_in_order", lambda c: c.change_first("frames", lambda _: "egodex_test/batch_0004/trajectory_4000.mp4")),
        ("clips_there", lambda c: c.change_first("frames", lambda _: "egodex_test/../../secret.mp4")),
        ("clip_formats", lambda c: c.move_index_to_the_end()),
        ("card_agrees", lambda c: c.edit(c.root / "README.md", b"| `egodex_test` | ", b"| `egodex_test` | 9")),
    ],
)
def test_other_ways_to_break_the_same(
    check: str, damage: Callable[[Copy], object], copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(copy)
    assert check in failures(copy.root, capsys)


def test_offenders_are_named(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    copy.change_first("intrinsics", lambda matrix: first_made(matrix, -98.0))
    assert main([str(copy.root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("FAIL"))
    assert lines[at].split()[1] == "intrinsics_sane"
    assert lines[at + 1].startswith(f"      - {copy.first['source']}: intrinsics are no camera matrix")


def test_only_the_first_offenders_are_named(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    copy.change_rows(lambda rows: [row.update(task="") for row in rows])
    assert main([str(copy.root)]) == 1
    out = capsys.readouterr().out
    assert out.count("task is ''") == 5
    assert f"and {len(pq.read_table(copy.table)) - 5} more" in out


@pytest.mark.parametrize("file", ["train-00000-of-00001.parquet", "ledger.jsonl", "conversion.json", "../README.md"])
@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_a_file_that_cannot_be_read_is_a_failure_not_a_crash(
    file: str, damage: str, copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy.folder / file
    path.unlink() if damage == "missing" else path.write_bytes(b"\xffgarbage")
    assert main([str(copy.root)]) == 1
    assert "Traceback" not in "".join(capsys.readouterr())


def test_clips_outside_the_sample_are_not_decoded(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    last = copy.root / pq.read_table(copy.table)["frames"].to_pylist()[-1]
    copy.edit(last, b"x264 - core", b"y264 - core")
    assert failures(copy.root, capsys, sample_size=1) == {}
    assert set(failures(copy.root, capsys, sample_size="all")) == {"clip_checksums"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not a folder; give the output_dir of a finished run, or a Hub repo OWNER/NAME"),
        (["."], ". holds no dataset; give the output_dir of a finished run"),
        ([".", "--sample_size", "few"], "--sample_size: 'few' must be a number from 1 on, or all"),
        ([], "FOLDER: missing; --help explains"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        exit_code: object = main(arguments)
    except SystemExit as ended:
        exit_code = ended.code
    assert exit_code == 2
    assert capsys.readouterr().err == f"Error: {message}\n"


def test_several_datasets_need_a_name(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(copy.folder, copy.root / "other")
    assert main([str(copy.root)]) == 2
    assert "give --name: egodex_test, other" in capsys.readouterr().err
    assert main([str(copy.root), "--name", "egodex_test"]) == 0
    assert main([str(copy.root), "--name", "third"]) == 2


def test_the_folder_of_the_dataset_itself_will_do(converted: Dataset) -> None:
    assert main([str(converted.folder)]) == 0


def test_a_hub_repo_is_downloaded_and_checked(
    converted: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked_for = []

    def download(repo: str, *, repo_type: str, allow_patterns: list[str] | None) -> str:
        asked_for.append((repo, repo_type, allow_patterns))
        return str(converted.output_dir)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    assert main(["someone/egodex"]) == 0
    assert main(["someone/egodex", "--name", "egodex_test"]) == 0
    assert asked_for == [
        ("someone/egodex", "dataset", None),
        ("someone/egodex", "dataset", ["README.md", "egodex_test/*"]),
    ]


def test_a_hub_repo_that_cannot_be_had_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(repo: str, **_: object) -> str:
        raise OSError("no such\nrepo")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    monkeypatch.chdir(tmp_path)
    assert main(["someone/egodex"]) == 2
    message = "Error: someone/egodex is not a folder, and cannot be downloaded from the Hub either: no such repo\n"
    assert capsys.readouterr().err == message


def test_two_workers_say_what_one_process_says(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset_upload.formats.each_trajectory.ROWS_PER_PART", 2)

    def break_all(rows: list[Row]) -> None:
        for number, row in enumerate(rows):
            row["intrinsics"] = first_made(row["intrinsics"], -98.0 - number)

    copy.change_rows(break_all)
    copy.clip.unlink()
    outputs = []
    for workers in ("0", "2"):
        assert main([str(copy.root), "--sample-size", "all", "--num-workers", workers]) == 1
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert re.search(r"- and \d+ more", outputs[0])
