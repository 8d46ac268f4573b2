"""Rules at conversion: who is left out, what is said of it, and what happens when rules change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import pytest
from conversions import NAME, arguments, convert, small
from drawn_egodex import tiny_egodex

from dataset_upload.config import parse_config
from dataset_upload.dataset_loaders import LOADERS
from dataset_upload.errors import UsageError
from dataset_upload.ledger import DONE, Entry, read_entries
from dataset_upload.pipeline import generate
from dataset_upload.validate_dataset import main as validate


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "test"
    tiny_egodex(path, episodes=6)
    return path


@pytest.fixture(scope="module")
def frames(source: Path) -> dict[str, int]:
    """How many rows of poses each episode has."""
    lengths = {}
    for path in source.glob("*/*.hdf5"):
        with h5py.File(path) as file:
            lengths[f"{path.parent.name}/{path.stem}"] = len(file["transforms/camera"])
    assert len(set(lengths.values())) > 2
    return lengths


def entries_of(output: Path) -> dict[str, Entry]:
    path = output / NAME / "ledger.jsonl"
    return read_entries(path) if path.exists() else {}


def done(output: Path) -> set[str]:
    return {key for key, entry in entries_of(output).items() if entry.status == DONE}


def description(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / NAME / "conversion.json").read_text())
    return content


def at_least(least: int) -> str:
    return f"--quality.filters=[{{measure: frames, min: {least}}}]"


@pytest.mark.parametrize("output_format", ["rfm", "lerobot"])
def test_changed_rules_decide_again_without_converting_what_stays(
    source: Path, frames: dict[str, int], tmp_path: Path, output_format: str
) -> None:
    options = small(f"--output.format={output_format}")
    low, middle, *_, high = sorted(set(frames.values()))
    long = {key for key, length in frames.items() if length >= high}

    def run(rules: str) -> tuple[str, set[str]]:
        """What a run says, and what it converted."""
        before = {key: entry.seconds for key, entry in entries_of(tmp_path).items()}
        text = "\n".join(convert(source, tmp_path, *options, rules).lines)
        assert validate([str(tmp_path)]) == 0
        return text, {key for key in done(tmp_path) if before.get(key) is None}

    text, converted = run(at_least(high))
    assert converted == done(tmp_path) == long
    assert f"{6 - len(long)} filtered: frames min {high}" in text
    assert f"Filters: frames min {high}: {6 - len(long)} of 6 removed, {len(long)} kept" in text

    text, converted = run(at_least(middle))  # fewer are removed: those that pass now are converted, and no others
    more = {key for key, length in frames.items() if length >= middle}
    assert done(tmp_path) == more
    assert converted == more - long
    assert "Measuring" not in text

    text, converted = run("--quality.filters=none")
    assert done(tmp_path) == set(frames)
    assert converted == set(frames) - more
    assert "Filters:" not in text

    text, converted = run(at_least(high))  # finished ones leave the dataset
    assert done(tmp_path) == long
    assert converted == set()
    assert low < high
    assert f"Warning: {6 - len(long)} finished trajectories are left out now" in text


def test_the_order_of_changes_leaves_no_trace(source: Path, frames: dict[str, int], tmp_path: Path) -> None:
    rules = at_least(sorted(frames.values())[3])
    convert(source, tmp_path / "a", *small(rules))
    convert(source, tmp_path / "b", *small())
    convert(source, tmp_path / "b", *small(rules))
    a, b = (
        {
            path.relative_to(folder): path.read_bytes()
            for path in (folder / NAME).rglob("*")
            if path.is_file() and path.suffix in (".parquet", ".mp4", ".json")
        }
        for folder in (tmp_path / "a", tmp_path / "b")
    )
    assert a.keys() == b.keys()
    assert [path for path in a if a[path] != b[path]] == []


def test_conversion_json_has_the_yields(source: Path, frames: dict[str, int], tmp_path: Path) -> None:
    shortest = min(frames.values())
    count = sum(length == shortest for length in frames.values())
    rules = f"[{{measure: frames, min: {shortest + 1}}}, {{measure: frames, min: {shortest}}}]"
    convert(source, tmp_path, *small(f"--quality.filters={rules}"))
    first, second = description(tmp_path)["filters"]
    kept = 6 - count
    assert first == {
        "rule": f"frames min {shortest + 1}",
        "tried": 6,
        "removed": count,
        "kept": kept,
        "removed_alone": count,
    }
    assert (second["tried"], second["removed"], second["kept"], second["removed_alone"]) == (kept, 0, kept, 0)
    assert description(tmp_path)["counts"]["skipped"] == {f"filtered: frames min {shortest + 1}": count}


def test_without_rules_nothing_is_measured(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path, *small())
    assert not any(entry.measures for entry in entries_of(tmp_path).values())
    assert "filters" not in description(tmp_path)


def test_what_cannot_be_converted_is_not_the_rules_doing(tmp_path: Path) -> None:
    source = tmp_path / "test"
    first, second, third = (record.key for record in tiny_egodex(source, episodes=3))
    (source / f"{first}.mp4").unlink()
    (source / f"{second}.hdf5").write_bytes(b"nonsense")
    run = convert(source, tmp_path / "out", *small("--quality.filters=[{measure: frames, max: 1}]"), exit_code=1)
    reasons = {key: entry.reason for key, entry in entries_of(tmp_path / "out").items()}
    assert reasons == {first: "missing mp4", second: "unreadable hdf5", third: "filtered: frames max 1"}
    assert "frames max 1: 1 of 1 removed, 0 kept" in run.stdout


def test_an_episode_whose_files_change_is_measured_again(tmp_path: Path) -> None:
    source = tmp_path / "test"
    records = tiny_egodex(source, episodes=4)  # the first three have 6 frames
    rules = f"--quality.filters=[{{measure: frames, max: {max(record.frames for record in records) - 1}}}]"
    longest = max(records, key=lambda record: record.frames).key
    shortest = min(records, key=lambda record: record.frames).key
    convert(source, tmp_path / "out", *small(rules))
    assert longest not in done(tmp_path / "out")
    for suffix in ("mp4", "hdf5"):
        content = (source / f"{shortest}.{suffix}").read_bytes()
        (source / f"{longest}.{suffix}").write_bytes(content)
    convert(source, tmp_path / "out", *small(rules))
    assert longest in done(tmp_path / "out")


def test_shards_leave_out_what_one_run_does(source: Path, frames: dict[str, int], tmp_path: Path) -> None:
    rules = at_least(sorted(frames.values())[3])
    convert(source, tmp_path / "one", *small(rules))
    for shard in ("0/2", "1/2"):
        run = convert(source, tmp_path / "many", *small(rules, f"--output.shard={shard}"))
    assert "all 2 shards have ended here" in run.stdout
    run = convert(source, tmp_path / "many", *small(rules))
    assert "Measuring" not in "\n".join(run.lines)
    assert description(tmp_path / "many") == description(tmp_path / "one")


def test_a_run_that_stopped_early_goes_on_without_measuring_again(tmp_path: Path) -> None:
    source = tmp_path / "test"
    first, *others = sorted(record.key for record in tiny_egodex(source, episodes=3))
    whole = (source / f"{first}.mp4").read_bytes()
    (source / f"{first}.mp4").write_bytes(b"nonsense")
    options = small("--output.fail_fast=true", "--quality.filters=[{measure: frames, min: 2}]")
    convert(source, tmp_path / "out", *options, exit_code=1)
    assert {key: entry.status for key, entry in entries_of(tmp_path / "out").items()} == {
        first: "failed",
        **dict.fromkeys(others, "measured"),
    }
    (source / f"{first}.mp4").write_bytes(whole)
    run = convert(source, tmp_path / "out", *options)
    assert done(tmp_path / "out") == {first, *others}
    assert "Measuring episodes: 1/1" in "\n".join(run.lines)  # the one whose file has changed
    assert validate([str(tmp_path / "out")]) == 0


def test_a_source_without_poses_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(LOADERS, "toy", "toy_loader:ToyLoader")
    (tmp_path / "source").mkdir()
    given = arguments(tmp_path / "source", tmp_path / "out", "--dataset.loader=toy", "--quality.filters=light")
    with pytest.raises(UsageError, match="no poses of hands and camera"):
        generate(parse_config(given))
    assert not (tmp_path / "out").exists()
