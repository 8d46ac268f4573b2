"""What `validate_dataset --against` finds: nothing in what was converted, each thing that was altered since."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conversions import convert
from dataset_reader import Dataset
from drawn_egodex import MiniEgoDex
from numpy.typing import NDArray

from dataset_upload.validate_dataset import main

pytestmark = pytest.mark.slow

Row = dict[str, Any]

QUANTITIES = {
    *("source_read", "source_texts", "source_frames", "source_times", "source_rates", "source_positions"),
    *("source_rotations", "source_confidences", "source_intrinsics", "source_pictures", "source_order"),
}


def compare(
    dataset: Path, source: Path, capsys: pytest.CaptureFixture[str], *, sample_size: int | str = 1, exit_code: int = 0
) -> dict[str, dict[str, Any]]:
    """The findings of the comparison, by name."""
    assert main([str(dataset), "--json", f"--sample-size={sample_size}", f"--against={source}"]) == exit_code
    checks = json.loads(capsys.readouterr().out)["checks"]
    return {check["check"]: check for check in checks if check["check"].startswith("source_")}


def failures(findings: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    return {name: finding["offenders"] for name, finding in findings.items() if finding["outcome"] != "pass"}


@pytest.fixture
def copy(converted: Dataset, tmp_path: Path) -> Path:
    """A copy of a good dataset, to be altered."""
    return shutil.copytree(converted.output_dir, tmp_path / "copy")


def change_first_row(dataset: Path, change: Callable[[Row], object], table: str = "") -> Row:
    path = dataset / "egodex_test" / table / "train-00000-of-00001.parquet"
    schema, rows = pq.read_schema(path), pq.read_table(path).to_pylist()
    change(rows[0])
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return dict(rows[0])


def test_a_dataset_agrees_with_its_source(
    converted: Dataset, mini: MiniEgoDex, capsys: pytest.CaptureFixture[str]
) -> None:
    """Among the episodes are one of an old copy, one without confidences, and one that no text is certain of."""
    findings = compare(converted.output_dir, mini.path, capsys, sample_size="all")
    assert findings.keys() == QUANTITIES
    assert failures(findings) == {}
    count = len(converted.rows)
    assert findings["source_read"]["measured"] == f"{count} of {count} trajectories compared"
    assert findings["source_positions"]["measured"] == "largest difference 0 m"
    assert findings["source_order"]["measured"] == "largest distance 0 frames"


def test_real_episodes_agree(real_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(real_sample, tmp_path, "--output.max_trajectories=2")
    findings = compare(tmp_path, real_sample, capsys, sample_size="all")
    assert failures(findings) == {}
    assert float(findings["source_pictures"]["measured"].split()[1]) > 38


@pytest.mark.parametrize(
    "options",
    [
        ("--output.resize=center_crop", "--output.use_video=false"),
        ("--output.resize=pad", "--output.crf=30"),
        ("--output.shortest_edge_size=128", "--output.max_frames=-1"),
    ],
    ids=["center_crop, JPEG", "pad, crf 30", "shortest edge, all frames"],
)
def test_other_settings_agree(
    options: tuple[str, ...], mini: MiniEgoDex, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(mini.path, tmp_path, "--output.max_trajectories=1", *options)
    assert failures(compare(tmp_path, mini.path, capsys)) == {}


def test_the_zip_of_a_part_will_do(
    converted: Dataset, mini: MiniEgoDex, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "test.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in mini.path.glob("*/*"):
            archive.write(path, f"test/{path.relative_to(mini.path)}")
    assert failures(compare(converted.output_dir, tmp_path / "test.zip", capsys, sample_size=2)) == {}


def test_one_part_of_several_is_compared_alone(
    mini: MiniEgoDex, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = next(iter(mini.records)).split("/")[0]
    for part in ("part1", "part2"):
        shutil.copytree(mini.path / task, tmp_path / part / task)
    parts = json.dumps([str(tmp_path / "part1"), str(tmp_path / "part2")])
    convert(Path(parts), tmp_path / "out", "--output.max_trajectories=-1")
    findings = compare(tmp_path / "out", tmp_path / "part2", capsys, sample_size="all")
    assert failures(findings) == {}
    rows = pq.read_table(next((tmp_path / "out" / "egodex_test").glob("train-*")))["part"].to_pylist()
    counts = rows.count("part2"), rows.count("part1")
    expected = f"{counts[0]} of {counts[0]} trajectories compared, {counts[1]} of other parts left out"
    assert findings["source_read"]["measured"] == expected
    assert 0 not in counts


def moved(values: list[Any]) -> list[Any]:
    """One number of one row, a thousandth larger."""
    changed: NDArray[np.float64] = np.array(values)
    changed.reshape(len(values), -1)[3, 0] += 0.001
    altered: list[Any] = changed.tolist()
    return altered


# What is altered, by a name; in which table; and the findings that must fail.
ALTERED: dict[str, tuple[str, Callable[[Row], object], set[str]]] = {
    "an action": ("", lambda row: row.update(actions=moved(row["actions"])), {"source_positions"}),
    "a camera": ("", lambda row: row.update(camera_to_world=moved(row["camera_to_world"])), {"source_rotations"}),
    "a joint": ("hands", lambda row: row.update(right_hand=moved(row["right_hand"])), {"source_positions"}),
    "a wrist": (
        "hands",
        lambda row: row.update(left_wrist_rotation=moved(row["left_wrist_rotation"])),
        {"source_rotations"},
    ),
    "a confidence": ("", lambda row: row.update(confidences=moved(row["confidences"])), {"source_confidences"}),
    "all confidences": ("", lambda row: row.update(confidences=None), {"source_confidences"}),
    "the task": ("", lambda row: row.update(task="Do nothing."), {"source_texts"}),
    "an annotation": ("", lambda row: row.update(environment="moon"), {"source_texts"}),
    "a time stamp": ("", lambda row: row.update(timestamps=moved(row["timestamps"])), {"source_times"}),
    "the rate": ("", lambda row: row.update(source_fps=29.0), {"source_rates"}),
    "the number of frames": ("", lambda row: row.update(source_num_frames=99), {"source_frames"}),
    "the intrinsics": ("", lambda row: row["intrinsics"][0].__setitem__(2, 129.0), {"source_intrinsics"}),
}


@pytest.mark.parametrize("name", ALTERED)
def test_what_was_altered_is_named_with_its_episode(
    name: str, copy: Path, mini: MiniEgoDex, capsys: pytest.CaptureFixture[str]
) -> None:
    table, change, expected = ALTERED[name]
    change_first_row(copy, change, table)
    source = change_first_row(copy, lambda _: None)["source"]
    failed = failures(compare(copy, mini.path, capsys, exit_code=1))
    assert failed.keys() == expected
    for offenders in failed.values():
        assert [offender.split(": ")[0] for offender in offenders] == [source]


def rewrite_clip(clip: Path, change: Callable[[list[av.VideoFrame]], list[av.VideoFrame]]) -> None:
    with av.open(str(clip)) as container:
        frames = change(list(container.decode(video=0)))
    with av.open(str(clip), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, 30), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def darker(frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
    pictures = (frame.to_ndarray(format="rgb24") for frame in frames)
    return [av.VideoFrame.from_ndarray(picture - picture // 5, format="rgb24") for picture in pictures]


@pytest.mark.parametrize(
    ("change", "finding", "offender"),
    [
        (lambda f: [*f[:4], f[5], f[4], *f[6:]], "source_order", "frame 4 shows source frame {5}, not {4}, and 1 more"),
        (lambda f: [*f[1:], f[-1]], "source_order", "frame 0 shows source frame {1}, not {0}"),
        (darker, "source_pictures", "has a PSNR of"),
        (lambda f: f[:-1], "source_read", "the clip has no frame"),
        (lambda f: [*f, f[-1]], "source_read", "the clip has more than"),
    ],
    ids=["two frames swapped", "each one frame late", "darker", "one missing", "one more"],
)
def test_clips_with_other_frames_are_noticed(
    change: Callable[[list[av.VideoFrame]], list[av.VideoFrame]],
    finding: str,
    offender: str,
    copy: Path,
    mini: MiniEgoDex,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = change_first_row(copy, lambda _: None)
    rewrite_clip(copy / row["frames"], change)
    failed = failures(compare(copy, mini.path, capsys, exit_code=1))
    assert failed[finding][0].startswith(f"{row['source']}: ")
    assert offender.format(*row["frame_indices"]) in failed[finding][0]


def test_a_source_that_changed_is_noticed(
    converted: Dataset, mini: MiniEgoDex, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, other = (row["source"] for row in converted.rows[:2])
    part = shutil.copytree(mini.path, tmp_path / "test")
    with h5py.File(part / f"{source}.hdf5", "r+") as hdf5:
        hdf5["transforms/rightHand"][:, 1, 3] += 0.02
    (part / f"{other}.mp4").write_bytes(b"garbage")
    failed = failures(compare(converted.output_dir, part, capsys, sample_size="all", exit_code=1))
    assert [offender.split(": ")[0] for offender in failed["source_positions"]] == [source, source]
    assert "differs by 0.02 m" in failed["source_positions"][0]
    assert [offender.split(": ")[0] for offender in failed["source_read"]] == [other]


def test_an_episode_that_is_not_there_is_named(
    converted: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test").mkdir()
    failed = failures(compare(converted.output_dir, tmp_path / "test", capsys, exit_code=1))
    assert failed.keys() == {"source_read"}
    assert "is not there" in failed["source_read"][0]


@pytest.mark.parametrize("source", ["nowhere", "egodex://test", "notes.txt"])
def test_a_source_that_is_none_is_wrong_usage(
    source: str,
    converted: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no zip")
    assert main([str(converted.output_dir), "--against", source]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: --against: {source} ")


def test_a_row_leads_nowhere_but_into_the_source(
    copy: Path, mini: MiniEgoDex, capsys: pytest.CaptureFixture[str]
) -> None:
    change_first_row(copy, lambda row: row.update(source="../secret/0", part="/"))
    failed = failures(compare(copy, mini.path, capsys, exit_code=1))
    assert "'../secret/0' is not an EgoDex episode" in failed["source_read"][0]
