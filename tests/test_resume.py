"""A run goes on where the last one was: nothing lost, nothing repeated, in the end the bytes of an unbroken run."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import time
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from commands import Run
from conversions import NAME, convert, fork_convert
from dataset_reader import Dataset
from drawn_egodex import replace_episode, tiny_egodex
from output_folder import identities, ledger_lines, outcomes, published
from processes import die_at_change

from dataset_upload import language, pipeline
from dataset_upload.dataset_loaders.egodex import archive
from dataset_upload.errors import StoppedError, UsageError
from dataset_upload.formats.rfm import encoder, shards
from dataset_upload.storage.locks import LockedError, exclusive_lock
from dataset_upload.validate_dataset import main as validate_dataset
from dataset_upload.video.processor import encoder_cpu

NUM_EPISODES = 8


class Finished(NamedTuple):
    """A source of 8 episodes, and what its conversion published."""

    source: Path
    output_dir: Path

    def convert(self, *more: str, exit_code: int = 0, **arguments: object) -> Run:
        run = fork_convert(self.source, self.output_dir, *more, **arguments)  # type: ignore[arg-type]
        assert run.exit_code == exit_code, run.stderr
        assert "Traceback" not in run.stderr
        return run

    @property
    def folder(self) -> Path:
        return self.output_dir / NAME

    def published(self) -> dict[str, bytes]:
        return published(self.output_dir)

    def fresh(self, folder: Path, *more: str, exit_code: int = 0) -> dict[str, bytes]:
        """What the same command publishes where there is nothing yet."""
        run = fork_convert(self.source, folder, *more)
        assert run.exit_code == exit_code, run.stderr
        return published(folder)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Made once; not to be changed."""
    folder = tmp_path_factory.mktemp("resume")
    tiny_egodex(folder / "test", episodes=NUM_EPISODES)
    finished = Finished(folder / "test", folder / "out")
    finished.convert()
    return finished


@pytest.fixture
def finished(once: Finished, tmp_path: Path) -> Finished:
    """A copy that a test may change; times of modification included."""
    shutil.copytree(once.source, tmp_path / "test")
    shutil.copytree(once.output_dir, tmp_path / "out")
    return Finished(tmp_path / "test", tmp_path / "out")


def done_in_this_run(output_dir: Path, lines_before: int) -> list[str]:
    return [line["key"] for line in ledger_lines(output_dir)[lines_before:] if line["status"] == "done"]


# Nothing to do -------------------------------------------------------------------------------------------


def test_a_second_run_writes_nothing(finished: Finished) -> None:
    before = identities(finished.output_dir), finished.published(), ledger_lines(finished.output_dir)
    run = finished.convert()
    assert (identities(finished.output_dir), finished.published(), ledger_lines(finished.output_dir)) == before
    assert f"Done:    {NUM_EPISODES}" in run.stdout
    assert f"{NUM_EPISODES} done in an earlier run" in run.stdout


@pytest.mark.parametrize("option", ["--output.verbose=true", "--output.episode_timeout_s=5", "--output.fail_fast=true"])
def test_options_that_do_not_change_the_result_do_not_matter(finished: Finished, option: str) -> None:
    before = identities(finished.output_dir)
    finished.convert(option)
    assert identities(finished.output_dir) == before


def test_a_smaller_selection_leaves_the_rest_of_the_dataset_as_it_is(finished: Finished) -> None:
    before = identities(finished.output_dir)
    finished.convert("--output.max_trajectories=3")
    assert identities(finished.output_dir) == before


def test_what_another_kind_of_processor_has_added_is_told_and_kept_told(finished: Finished) -> None:
    def clip_cpus() -> list[str]:
        told: list[str] = json.loads((finished.folder / "conversion.json").read_text())["clip_cpus"]
        return told

    assert clip_cpus() == [encoder_cpu()]
    replace_episode(finished.source, "add_remove_lid/70")
    refused = finished.convert(exit_code=2, first=lambda: setattr(encoder, "encoder_cpu", lambda: "another"))
    assert "clips are made on another kind of processor here, another, than those so far" in refused.stderr
    finished.convert("--output.any_cpu=true", first=lambda: setattr(encoder, "encoder_cpu", lambda: "another"))
    before = identities(finished.output_dir)
    assert clip_cpus() == sorted([encoder_cpu(), "another"])
    finished.convert()
    assert identities(finished.output_dir) == before


def test_moving_the_output_folder_does_not_matter(finished: Finished) -> None:
    before = identities(finished.output_dir)
    moved = finished.output_dir.rename(finished.output_dir.with_name("moved on"))
    assert fork_convert(finished.source, moved).exit_code == 0
    assert identities(moved) == before


def test_moving_the_source_does_not_matter(finished: Finished) -> None:
    before = identities(finished.output_dir)
    moved = finished.source.rename(finished.source.with_name("elsewhere")) / "test"
    moved.parent.rename(moved.parent.with_name("kept"))
    moved = moved.parent.with_name("kept")
    moved.rename(finished.source)
    finished.convert()
    assert identities(finished.output_dir) == before


# More to do ------------------------------------------------------------------------------------------------


def test_more_episodes_extend_the_dataset_and_finished_clips_are_never_rewritten(
    once: Finished, tmp_path: Path
) -> None:
    part = Finished(once.source, tmp_path / "out")
    part.convert("--output.max_trajectories=3")
    clips = {name: identity for name, identity in identities(part.output_dir).items() if name.endswith(".mp4")}
    assert len(clips) == 3
    part.convert("--output.max_trajectories=5")
    part.convert()
    assert part.published() == once.published()
    assert clips.items() <= identities(part.output_dir).items()


def test_a_source_that_grows_in_the_middle_extends_the_dataset(finished: Finished) -> None:
    before = Dataset(finished.output_dir)
    clips = {name: identity for name, identity in identities(finished.output_dir).items() if name.endswith(".mp4")}
    for number in (5, 6):
        replace_episode(finished.source, f"add_remove_lid/{number}")
    finished.convert()
    after = Dataset(finished.output_dir)
    assert len(after.rows) == NUM_EPISODES + 2
    assert after.rows[: len(before.rows)] == before.rows  # new numbers come last, and so do their rows
    assert clips.items() <= identities(finished.output_dir).items()


def test_what_failed_is_tried_again_and_what_was_skipped_is_not(finished: Finished) -> None:
    shutil.rmtree(finished.output_dir)
    (finished.source / "basic_pick_and_place" / "0.mp4").unlink()
    bad = finished.source / "add_remove_lid" / "0.hdf5"
    good = bad.read_bytes()
    bad.write_bytes(good[:100])
    finished.convert(exit_code=1)
    finished.convert(exit_code=1)
    keys = [line["key"] for line in ledger_lines(finished.output_dir)]
    assert keys.count("add_remove_lid/0") == 2
    assert keys.count("basic_pick_and_place/0") == 1


def test_a_failed_episode_that_is_mended_is_converted(once: Finished, finished: Finished) -> None:
    shutil.rmtree(finished.output_dir)
    bad = finished.source / "add_remove_lid" / "0.hdf5"
    good = bad.read_bytes()
    bad.write_bytes(good[:100])
    finished.convert(exit_code=1)
    assert len(Dataset(finished.output_dir).rows) == NUM_EPISODES - 1
    bad.write_bytes(good)
    finished.convert()
    assert finished.published() == once.published()


def test_a_video_that_arrives_later_is_converted(once: Finished, finished: Finished) -> None:
    shutil.rmtree(finished.output_dir)
    video = finished.source / "add_remove_lid" / "0.mp4"
    away = video.rename(finished.source.with_name("away.mp4"))
    finished.convert()
    assert outcomes(finished.output_dir)["add_remove_lid/0"] == ("skipped", "missing mp4")
    away.rename(video)
    finished.convert()
    assert finished.published() == once.published()


# A changed source ------------------------------------------------------------------------------------------


def move_hands(source: Path, key: str) -> None:
    """Change an episode's poses, not its video."""
    with h5py.File(source / f"{key}.hdf5", "r+") as file:
        file["transforms/leftHand"][:, 0, 3] += 1.0


def test_a_changed_source_is_redone(finished: Finished, tmp_path: Path) -> None:
    lines = len(ledger_lines(finished.output_dir))
    replace_episode(finished.source, "add_remove_lid/0")
    finished.convert()
    assert done_in_this_run(finished.output_dir, lines) == ["add_remove_lid/0"]
    assert finished.published() == finished.fresh(tmp_path / "fresh")


def test_one_part_and_several_are_not_mixed_as_their_episodes_have_other_names(finished: Finished) -> None:
    before = finished.published()
    run = fork_convert(finished.source.with_name("te*t"), finished.output_dir)
    assert run.exit_code == 2
    assert "was made of one part and this names several" in run.stderr and run.stderr.count("\n") == 1
    assert finished.published() == before


def test_it_is_said_how_many_are_redone(finished: Finished) -> None:
    for hdf5 in finished.source.glob("add_remove_lid/*.hdf5"):
        os.utime(hdf5)
    num_touched = len(list(finished.source.glob("add_remove_lid/*.hdf5")))
    said = f"Warning: {num_touched} finished trajectories are converted again: their files have changed"
    assert said in finished.convert().stderr


@pytest.mark.parametrize("suffix", [".mp4", ".hdf5"])
def test_what_was_made_of_files_that_are_gone_stays(once: Finished, finished: Finished, suffix: str) -> None:
    gone = sorted(finished.source.glob(f"*/*{suffix}"))[::2]
    for file in gone:
        file.unlink()
    run = finished.convert()
    assert f"Done:    {NUM_EPISODES}\n" in run.stdout
    assert finished.published() == once.published()


def test_what_was_made_stays_when_the_source_falls_away_during_the_run(once: Finished, finished: Finished) -> None:
    def lose_the_disk() -> None:
        def stale(path: object, **_: object) -> os.stat_result:
            raise OSError(errno.ESTALE, "Stale file handle", str(path))

        setattr(archive, "os", types.SimpleNamespace(**{**vars(os), "stat": stale}))  # noqa: B010

    finished.convert(first=lose_the_disk)
    assert finished.published() == once.published()


def test_changed_poses_are_redone_though_the_clip_stays_the_same(finished: Finished, tmp_path: Path) -> None:
    old = Dataset(finished.output_dir)
    move_hands(finished.source, "add_remove_lid/0")
    finished.convert()
    new = Dataset(finished.output_dir)
    assert new.row("add_remove_lid/0")["actions"][0][0] == pytest.approx(
        old.row("add_remove_lid/0")["actions"][0][0] + 1.0, abs=1e-6
    )
    assert finished.published() == finished.fresh(tmp_path / "fresh")


def test_a_file_replaced_by_an_older_one_of_the_same_size_is_noticed(finished: Finished, tmp_path: Path) -> None:
    move_hands(finished.source, "add_remove_lid/0")
    os.utime(finished.source / "add_remove_lid/0.hdf5", (1, 1))
    finished.convert()
    assert finished.published() == finished.fresh(tmp_path / "fresh")


def test_a_source_gone_bad_loses_its_row_and_its_clip(finished: Finished, tmp_path: Path) -> None:
    (finished.source / "add_remove_lid/0.mp4").write_bytes(b"no video")
    finished.convert(exit_code=1)
    assert finished.published() == finished.fresh(tmp_path / "fresh", exit_code=1)


@pytest.mark.slow
def test_a_run_killed_as_it_redoes_an_episode_never_leaves_a_new_clip_with_an_old_row(
    once: Finished, tmp_path: Path
) -> None:
    """Also where no later run selects that episode."""
    source = shutil.copytree(once.source, tmp_path / "test")
    old = Finished(source, tmp_path / "old")
    old.convert("--output.max_trajectories=2")
    replace_episode(source, ledger_lines(old.output_dir)[1]["key"])
    for tried in killed_at_every_change(old, "--output.max_trajectories=2"):
        tried.convert("--output.max_trajectories=1")
        dataset = Dataset(tried.output_dir)
        for row in dataset.rows:
            assert len(dataset.clip(row)) == len(row["actions"])


# What hands and accidents do to the dataset's folder ------------------------------------------------------------


def delete(*names: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for name in names:
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()

    return act


def cut_in_half(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def write_zeros(name: str) -> Callable[[Path], None]:
    """Over the middle of a file."""

    def act(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.seek((folder / name).stat().st_size // 3)
            file.write(bytes(1000))

    return act


def write(name: str, text: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / name).write_text(text)

    return act


TABLE = "train-00000-of-00001.parquet"


@pytest.mark.parametrize(
    ("damage", "redone"),
    [
        pytest.param(delete("batch_0000/trajectory_0003.mp4"), 1, id="a clip deleted"),
        pytest.param(cut_in_half("batch_0000/trajectory_0003.mp4"), 1, id="a clip cut short"),
        pytest.param(delete("batch_0000"), 8, id="all clips deleted"),
        pytest.param(delete(TABLE), 8, id="the table deleted"),
        pytest.param(delete(f"hands/{TABLE}"), 8, id="the hands deleted"),
        pytest.param(cut_in_half(TABLE), 8, id="the table cut short"),
        pytest.param(cut_in_half(f"hands/{TABLE}"), 8, id="the hands cut short"),
        pytest.param(delete("conversion.json"), 0, id="conversion.json deleted"),
        pytest.param(cut_in_half("conversion.json"), 0, id="conversion.json cut short"),
        pytest.param(write("conversion.json", "[]"), 0, id="conversion.json a list"),
        pytest.param(write("conversion.json", '{"rows": 3}'), 0, id="conversion.json of another kind"),
        pytest.param(delete("../README.md"), 0, id="the card deleted"),
        pytest.param(delete(".work"), 0, id=".work deleted"),
        pytest.param(delete("ledger.jsonl"), 8, id="the ledger deleted"),
        pytest.param(lambda folder: shutil.rmtree(folder), 8, id="all deleted"),
    ],
)
def test_what_is_lost_is_made_again(
    once: Finished, finished: Finished, damage: Callable[[Path], None], redone: int
) -> None:
    lines = len(ledger_lines(finished.output_dir))
    damage(finished.folder)
    if not (finished.folder / "ledger.jsonl").exists():
        lines = 0
    finished.convert()
    assert finished.published() == once.published()
    assert len(done_in_this_run(finished.output_dir, lines)) == redone


def test_a_clip_that_is_made_again_leaves_the_others_alone(finished: Finished) -> None:
    before = identities(finished.output_dir)
    lost = f"{NAME}/batch_0000/trajectory_0003.mp4"
    (finished.output_dir / lost).unlink()
    finished.convert()
    after = identities(finished.output_dir)
    clips = [name for name in before if name.endswith(".mp4")]
    assert [name for name in clips if before[name] != after[name]] == [lost]


def test_a_lost_picture_of_a_clip_of_pictures_is_made_again(once: Finished, tmp_path: Path) -> None:
    pictures = Finished(once.source, tmp_path / "out")
    pictures.convert("--output.use_video=false")
    before = pictures.published()
    (pictures.folder / "batch_0000/trajectory_0003/frame_0002.jpg").unlink()
    pictures.convert("--output.use_video=false")
    assert pictures.published() == before


def test_rows_lost_outside_the_selection_leave_the_dataset_whole(finished: Finished) -> None:
    (finished.folder / TABLE).unlink()
    run = finished.convert("--output.max_trajectories=3")
    assert "8 finished trajectories have lost row or clip" in run.stderr
    dataset = Dataset(finished.output_dir)
    assert len(dataset.rows) == len(dataset.hands) == len(list(finished.folder.glob("batch_0000/*"))) == 3
    finished.convert()
    assert len(Dataset(finished.output_dir).rows) == NUM_EPISODES


def test_a_table_with_damaged_pages_stops_the_run_that_would_copy_them(once: Finished, finished: Finished) -> None:
    write_zeros(TABLE)(finished.folder)
    replace_episode(finished.source, "add_remove_lid/5")
    run = finished.convert(exit_code=3)
    assert f"{finished.folder / TABLE} is damaged: delete it" in run.stderr
    (finished.folder / TABLE).unlink()
    finished.convert()
    assert len(Dataset(finished.output_dir).rows) == NUM_EPISODES + 1


def test_a_shard_of_each_table_lost_never_mixes_rows_and_hands(once: Finished, tmp_path: Path) -> None:
    sharded = Finished(once.source, tmp_path / "out")
    sharded.convert(first=one_row_a_shard)
    before = sharded.published()
    assert len(list(sharded.folder.glob("train-*.parquet"))) == NUM_EPISODES
    sorted(sharded.folder.glob("train-*.parquet"))[0].unlink()
    sorted((sharded.folder / "hands").glob("train-*.parquet"))[-1].unlink()
    sharded.convert(first=one_row_a_shard)
    assert sharded.published() == before


# Shards ------------------------------------------------------------------------------------------------------


def one_row_a_shard() -> None:
    """Instead of 500 MB."""
    shards._ROWS_PER_GROUP, shards._SHARD_BYTES = 1, 1


def test_a_dataset_of_several_shards_that_grows_has_the_bytes_of_one_that_was_made_at_once(
    once: Finished, tmp_path: Path
) -> None:
    grown, at_once = Finished(once.source, tmp_path / "grown"), Finished(once.source, tmp_path / "at once")
    for count in (3, 6, -1):
        grown.convert(f"--output.max_trajectories={count}", first=one_row_a_shard)
    at_once.convert(first=one_row_a_shard)
    assert grown.published() == at_once.published()
    assert [row["id"] for row in Dataset(grown.output_dir).rows] == [row["id"] for row in Dataset(once.output_dir).rows]


@pytest.mark.parametrize(("rows_per_group", "bytes_per_group"), [(4, 1_000_000), (100, 160_000)])
def test_a_shard_ends_before_it_grows_over_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_group: int, bytes_per_group: int
) -> None:
    """With rows that hardly compress. Parquet's footer, some 0.1 % of a full shard, comes on top."""
    monkeypatch.setattr(shards, "_ROWS_PER_GROUP", rows_per_group)
    monkeypatch.setattr(shards, "_BYTES_PER_GROUP", bytes_per_group)
    monkeypatch.setattr(shards, "_SHARD_BYTES", 1_000_000)
    schema = pa.schema([("noise", pa.list_(pa.int64()))])
    rng = np.random.default_rng(0)
    rows = [pa.record_batch([pa.array([rng.integers(-(2**63), 2**63, 5000)])], schema) for _ in range(100)]
    with shards.ShardWriter(tmp_path / "tables", schema) as writer:
        for row in rows:
            writer.write(row, 1)
    files = sorted((tmp_path / "tables").glob("*.parquet"))
    assert [file.name for file in files] == [f"train-{n:05d}-of-00005.parquet" for n in range(5)]
    assert all(800_000 < shard.stat().st_size < 1_010_000 for shard in files)
    assert pa.concat_tables(map(pq.read_table, files)).equals(pa.Table.from_batches(rows))


# Of earlier versions ------------------------------------------------------------------------------------------


def in_the_order_of_before(folder: Path) -> None:
    """Make a dataset what 0.2.0 made: rows in the order of their episodes' names, in files that say nothing."""
    order = pq.read_table(folder / TABLE).sort_by("source")["id"].to_pylist()
    for table in (folder / TABLE, folder / "hands" / TABLE):
        rows = {row["id"]: row for row in pq.read_table(table).to_pylist()}
        schema = pq.read_schema(table).remove_metadata()
        pq.write_table(pa.Table.from_pylist([rows[each] for each in order], schema), table, compression="zstd")
    ledger = folder / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'{"format":3', b'{"format":2', 1))


@pytest.mark.parametrize("more", [False, True], ids=["nothing more", "an episode more"])
def test_a_dataset_of_0_2_0_is_brought_into_the_order_of_today_and_nothing_is_converted_again(
    once: Finished, finished: Finished, tmp_path: Path, more: bool
) -> None:
    in_the_order_of_before(finished.folder)
    lines = len(ledger_lines(finished.output_dir))
    if more:
        replace_episode(finished.source, "add_remove_lid/70")
    run = finished.convert()
    assert f"The rows of {finished.folder} are brought into the order of clip numbers, once\n" in run.stdout
    assert done_in_this_run(finished.output_dir, lines) == ["add_remove_lid/70"] * more
    assert finished.published() == (finished.fresh(tmp_path / "fresh") if more else once.published())
    before = identities(finished.output_dir)
    assert "once\n" not in finished.convert().stdout
    assert identities(finished.output_dir) == before


def test_a_dataset_of_0_2_0_is_read_checked_and_left_as_it_is(finished: Finished) -> None:
    in_the_order_of_before(finished.folder)
    before = identities(finished.output_dir)
    assert validate_dataset([str(finished.output_dir)]) == 0
    assert identities(finished.output_dir) == before


# Settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "difference"),
    [
        ("--output.max_frames=4", "--output.max_frames=32 there, 4 now"),
        ("--output.fps=10", "--output.fps=30 there, 10 now"),
        ("--output.crf=30", "--output.crf=18 there, 30 now"),
        ("--output.resize=pad", '--output.resize="stretch" there, "pad" now'),
        ("--output.use_video=false", "--output.use_video=true there, false now"),
        ("--output.actions=[camera]", '--output.actions=["hands", "fingertips", "camera"] there, ["camera"] now'),
        ("--output.max_frame_mismatch=2", "--output.max_frame_mismatch=1 there, 2 now"),
    ],
)
def test_settings_that_change_the_result_are_refused_in_one_line(
    finished: Finished, option: str, difference: str
) -> None:
    before = identities(finished.output_dir)
    run = finished.convert(option, exit_code=2)
    error, _ = run.stderr.split("\n")
    assert f"({difference})" in error
    assert "--output.overwrite=true" in error
    assert "another --dataset.dataset_name" in error
    assert identities(finished.output_dir) == before


def test_a_dataset_that_was_renamed_by_hand_is_refused(finished: Finished) -> None:
    finished.folder.rename(finished.output_dir / "other")
    run = finished.convert(name="other", exit_code=2)
    assert '--dataset.dataset_name="egodex_test" there, "other" now' in run.stderr


def test_overwrite_replaces_a_dataset_of_other_settings(finished: Finished, tmp_path: Path) -> None:
    finished.convert("--output.max_frames=4", "--output.overwrite=true")
    assert finished.published() == finished.fresh(tmp_path / "fresh", "--output.max_frames=4")


def card_configs(output_dir: Path) -> list[str]:
    header = (output_dir / "README.md").read_text().split("---\n")[1]
    return [config["config_name"] for config in yaml.safe_load(header)["configs"]]


def test_a_dataset_that_is_being_replaced_keeps_no_other_from_being_loaded(finished: Finished) -> None:
    finished.convert(name="other")

    def stop() -> None:
        def no_conversion(*_: object) -> bool:
            raise StoppedError("The power is gone")

        setattr(pipeline, "convert_all", no_conversion)  # noqa: B010

    finished.convert("--output.max_frames=4", "--output.overwrite=true", first=stop, exit_code=3)
    assert card_configs(finished.output_dir) == ["other", "other_hands"]
    finished.convert("--output.max_frames=4", "--output.overwrite=true")
    assert card_configs(finished.output_dir) == [NAME, f"{NAME}_hands", "other", "other_hands"]


def test_a_dataset_that_was_deleted_leaves_the_card_with_the_next_run(finished: Finished) -> None:
    finished.convert(name="other")
    shutil.rmtree(finished.output_dir / "other")
    finished.convert()
    assert card_configs(finished.output_dir) == [NAME, f"{NAME}_hands"]


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{}", b'{"schema_version": 2, "dataset_name": "other"}', b"\xff\xfe", b"[" * 100_000, b"", None],
    ids=lambda content: repr(content)[:40],
)
def test_a_damaged_description_harms_no_other_dataset_of_the_folder(finished: Finished, content: bytes | None) -> None:
    """None: `other` is a copy made by hand, which names the dataset that it was copied from."""
    if content is None:
        shutil.copytree(finished.folder, finished.output_dir / "other")
    else:
        finished.convert(name="other")
        (finished.output_dir / "other" / "conversion.json").write_bytes(content)
    configs = card_configs(finished.output_dir)
    replace_episode(finished.source, "add_remove_lid/0")
    run = finished.convert()
    assert f"Warning: {finished.output_dir}/other/conversion.json is damaged, or another dataset's" in run.stderr
    assert card_configs(finished.output_dir) == configs


def test_a_damaged_card_is_noticed_before_any_work(once: Finished, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("---\nconfigs: [\n---\n")
    run = Finished(once.source, tmp_path).convert(exit_code=2)
    assert run.stderr == f"Error: {card}: its header is not valid YAML; correct it\n"
    assert list(tmp_path.iterdir()) == [card]


def test_a_sentence_model_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "tokenizer.json")

    monkeypatch.setattr(language, "_checked_model_files", unreadable)
    with pytest.raises(UsageError, match=r"sentence model cannot be read: .*'tokenizer\.json'"):
        language.check_model()


def test_overwrite_keeps_a_dataset_of_the_same_settings(finished: Finished) -> None:
    before = identities(finished.output_dir)
    finished.convert("--output.overwrite=true")
    assert identities(finished.output_dir) == before


@pytest.mark.parametrize("content", ['{"format":1,"settings":{}}\n', '{"format":4,"settings":{}}\n', "not a ledger\n"])
def test_a_ledger_that_cannot_be_understood_is_refused_but_can_be_overwritten(
    once: Finished, finished: Finished, content: str
) -> None:
    (finished.folder / "ledger.jsonl").write_text(content)
    before = identities(finished.output_dir)
    run = finished.convert(exit_code=2)
    assert run.stderr.count("\n") == 1
    assert "--output.overwrite=true" in run.stderr
    assert identities(finished.output_dir) == before
    finished.convert("--output.overwrite=true")
    assert finished.published() == once.published()


# Killed before each change of the file system ------------------------------------------------------------------


def killed_at_every_change(begun: Finished, *more: str) -> Iterator[Finished]:
    """Copies of a dataset, in each of which a run was killed one change of the file system later."""

    def prepare(number: int) -> None:
        one_row_a_shard()
        die_at_change(number)()

    for number in itertools.count():
        tried = Finished(begun.source, begun.output_dir.with_name(f"killed{number}"))
        if begun.output_dir.exists():
            shutil.copytree(begun.output_dir, tried.output_dir)
        run = fork_convert(begun.source, tried.output_dir, *more, first=partial(prepare, number))
        if run.exit_code == 0:
            assert number > 30
            return
        assert run.exit_code == -signal.SIGKILL
        yield tried
        shutil.rmtree(tried.output_dir)


def counts_in_names(tables: Path) -> set[str]:
    """The 3 in train-00000-of-00003.parquet."""
    return {shard.name[-13:-8] for shard in tables.glob("train-*.parquet")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begun", "more"),
    [
        pytest.param(0, ("--output.max_trajectories=2",), id="from nothing"),
        pytest.param(2, ("--output.max_trajectories=3",), id="with a changed episode and a new one"),
        pytest.param(
            2, ("--output.max_trajectories=2", "--output.max_frames=4", "--output.overwrite=true"), id="overwriting"
        ),
    ],
)
def test_killed_before_any_change_of_the_file_system_the_next_run_makes_the_same_dataset(
    once: Finished, tmp_path: Path, begun: int, more: tuple[str, ...]
) -> None:
    source = shutil.copytree(once.source, tmp_path / "test")
    old, expected = Finished(source, tmp_path / "old"), Finished(source, tmp_path / "expected")
    if begun:
        old.convert(f"--output.max_trajectories={begun}", first=one_row_a_shard)
        replace_episode(source, ledger_lines(old.output_dir)[0]["key"])
    expected.convert(*more, first=one_row_a_shard)
    for tried in killed_at_every_change(old, *more):
        for tables in (tried.folder, tried.folder / "hands"):
            assert len(counts_in_names(tables)) <= 1, "a reader would see old shards and new ones together"
        tried.convert(*more, first=one_row_a_shard)
        assert tried.published() == expected.published()


# Several runs at once -----------------------------------------------------------------------------------------


def test_a_second_run_on_the_same_name_stops_at_once_in_one_line(finished: Finished) -> None:
    before = identities(finished.output_dir)
    with exclusive_lock(finished.folder / ".work" / "lock", wait=False):
        start = time.monotonic()
        run = finished.convert(exit_code=2)
        assert time.monotonic() - start < 2
    assert run.stderr == (
        f"Error: --dataset.dataset_name: another run is writing {finished.folder}; wait for it, "
        "or choose another name\n"
    )
    assert identities(finished.output_dir) == before


def test_a_lock_is_free_again_when_its_holder_is_killed(finished: Finished) -> None:
    shutil.rmtree(finished.folder)
    run = fork_convert(finished.source, finished.output_dir, first=die_at_change(9))
    assert run.exit_code == -signal.SIGKILL
    finished.convert()


def test_a_lock_is_exclusive(tmp_path: Path) -> None:
    with exclusive_lock(tmp_path / "lock", wait=False), pytest.raises(LockedError):
        exclusive_lock(tmp_path / "lock", wait=False).__enter__()


@pytest.mark.slow
def test_runs_on_different_names_side_by_side_in_one_folder_do_not_disturb_each_other(
    once: Finished, tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    names = ["egodex_test", "egodex_part1", "egodex_part2"]
    together, alone = tmp_path / "to gether", tmp_path / "alone"
    with ThreadPoolExecutor() as pool:
        for run in [pool.submit(convert, once.source, together, name=name, workers=1) for name in names]:
            run.result()
    for name in names:
        convert(once.source, alone, name=name)
    assert published(together) == published(alone)
    assert all(f"config_name: {name}\n" in (together / "README.md").read_text() for name in names)


# Workers -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    """With episodes that fail and are skipped for as many reasons as often, which come in any order."""
    source = tmp_path / "test"
    tiny_egodex(source, episodes=18)
    (source / "add_remove_lid/0.mp4").unlink()
    (source / "add_remove_lid/1.hdf5").unlink()
    (source / "add_remove_lid/2.mp4").write_bytes(b"no video")
    (source / "basic_pick_and_place/0.hdf5").write_bytes(b"no HDF5")
    for workers in (0, 1, 2, 4):
        convert(source, tmp_path / f"out{workers}", workers=workers, exit_code=1)
    results = [published(tmp_path / f"out{workers}") for workers in (0, 1, 2, 4)]
    assert results[0] == results[1] == results[2] == results[3]
    assert json.loads(results[0][f"{NAME}/conversion.json"])["counts"]["done"] == 14


# fail_fast ---------------------------------------------------------------------------------------------------


def test_fail_fast_stops_at_the_first_failure_and_the_next_run_goes_on(once: Finished, finished: Finished) -> None:
    shutil.rmtree(finished.output_dir)
    bad = finished.source / "basic_pick_and_place" / "0.hdf5"  # second in the order of selection
    good = bad.read_bytes()
    bad.write_bytes(b"no HDF5")
    run = finished.convert("--output.fail_fast=true", exit_code=1)
    assert "Next:    the same command goes on\n" in run.stdout and "load_dataset" not in run.stdout
    assert [status for status, _ in outcomes(finished.output_dir).values()] == ["done", "failed"]
    bad.write_bytes(good)
    finished.convert("--output.fail_fast=true")
    assert finished.published() == once.published()


def test_fail_fast_does_not_stop_at_what_is_skipped(finished: Finished) -> None:
    shutil.rmtree(finished.output_dir)
    (finished.source / "basic_pick_and_place" / "0.mp4").unlink()
    finished.convert("--output.fail_fast=true")
    assert len(Dataset(finished.output_dir).rows) == NUM_EPISODES - 1
