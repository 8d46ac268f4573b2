"""Tables are built in a stream and swapped in whole: any order of work, any interruption, the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_up_tables import NAME, Killed, Tables, killed_after, random_row
from numpy.typing import NDArray

from dataset_upload.dataset_folder import dataset_lock, incoming_folder
from dataset_upload.dataset_loaders.egodex.about import EGODEX
from dataset_upload.formats.rfm import shards
from dataset_upload.formats.rfm.layout import HANDS, MAIN, clip_path
from dataset_upload.formats.rfm.schema import HANDS_SCHEMA, main_schema
from dataset_upload.formats.statistics import ActionStatistics

pytestmark = pytest.mark.slow

MAIN_SCHEMA = main_schema(EGODEX.columns, use_video=True)


# Rows ------------------------------------------------------------------------------------------------------


def test_rows_come_out_as_they_went_in(tables: Tables) -> None:
    tables.add(0, 1, 2)
    tables.build(0, 1, 2)
    for number, (row, hands) in enumerate(zip(tables.rows(), tables.rows("hands"), strict=True)):
        expected = random_row(number)
        for name, value in {**row, **hands}.items():
            if isinstance(expected[name], np.ndarray):
                np.testing.assert_array_equal(np.array(value, expected[name].dtype), expected[name])
            else:
                assert value == expected[name]


def test_unknown_confidences_are_null_one_by_one(tables: Tables) -> None:
    tables.add(1)
    tables.build(1)
    (row,) = tables.rows()
    assert [[value is None for value in frame] for frame in row["confidences"]] == [[False, True, False, False]] * 3


def test_the_tables_have_the_frozen_columns(tables: Tables) -> None:
    tables.add(0)
    tables.build(0)
    assert pq.read_schema(tables.shards()[0]).equals(MAIN_SCHEMA)
    assert pq.read_schema(tables.shards("hands")[0]).equals(HANDS_SCHEMA)


def test_a_record_that_was_made_again_counts(tables: Tables) -> None:
    tables.add(0, 1)
    tables.add(1, version=1)
    tables.build(0, 1)
    assert [row["task"] for row in tables.rows()] == ["Task 0, version 0.", "Task 1, version 1."]


def test_a_record_counts_more_than_the_row_in_the_tables(tables: Tables) -> None:
    tables.add(0, 1, 2)
    tables.build(0, 1, 2)
    tables.add(1, version=1)
    tables.build(0, 1, 2)
    assert [row["task"] for row in tables.rows()][1] == "Task 1, version 1."
    np.testing.assert_array_equal(tables.rows("hands")[1]["left_hand"], random_row(1, version=1)["left_hand"])


def test_a_row_that_is_no_longer_named_is_dropped(tables: Tables) -> None:
    tables.add(0, 1, 2)
    tables.build(0, 1, 2)
    tables.build(0, 2)
    assert [row["source"] for row in tables.rows()] == ["task/0", "task/2"]
    assert tables.stored() == {"task/0", "task/2"}


def test_tables_without_rows_have_the_columns_all_the_same(tables: Tables) -> None:
    assert tables.build().summary() == {}
    assert tables.rows() == tables.rows("hands") == []
    assert pq.read_schema(tables.shards()[0]).equals(MAIN_SCHEMA)
    tables.add(0)
    tables.build(0)
    assert len(tables.rows()) == 1


def test_records_wait_through_a_restart(tables: Tables) -> None:
    tables.add(0, 1)
    tables.restart()
    assert tables.writer.tables.record_numbers() == {0, 1}
    tables.build(0, 1)
    assert len(tables.rows()) == 2
    assert tables.writer.tables.record_numbers() == set()


@pytest.mark.parametrize("table", [MAIN, HANDS])
def test_rows_whose_table_is_gone_do_not_count_as_stored(tables: Tables, table: str) -> None:
    tables.add(0, 1)
    tables.build(0, 1)
    assert tables.stored() == {"task/0", "task/1"}
    tables.shards(table)[0].unlink()
    assert tables.stored() == set()


# Clips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number, path",
    [
        (0, "egodex_test/batch_0000/trajectory_0000.mp4"),
        (999, "egodex_test/batch_0000/trajectory_0999.mp4"),
        (1000, "egodex_test/batch_0001/trajectory_1000.mp4"),
        (314_799, "egodex_test/batch_0314/trajectory_314799.mp4"),
    ],
)
def test_1000_clips_lie_in_a_folder_and_their_numbers_are_global(number: int, path: str) -> None:
    assert f"{NAME}/{clip_path(number, use_video=True)}" == path
    assert f"{NAME}/{clip_path(number, use_video=False)}" == path.removesuffix(".mp4")


def test_a_clip_lies_where_its_row_says(tables: Tables) -> None:
    tables.add(1, 1000)
    tables.build(1, 1000)
    for row in tables.rows():
        assert (tables.folder.parent / row["frames"]).read_bytes() == b"clip"


def test_clips_that_no_row_names_are_deleted(tables: Tables) -> None:
    tables.add(0, 1, 1000)
    tables.build(1)
    assert [path.name for path in tables.folder.glob("batch_*/*")] == ["trajectory_0001.mp4"]


def test_clips_that_were_being_written_are_deleted_by_the_next_run(tables: Tables) -> None:
    left_behind = tables.folder / ".work" / "incoming-of-a-killed-run"
    left_behind.mkdir()
    (left_behind / "half.mp4").write_bytes(b"half")
    with dataset_lock(tables.folder), incoming_folder(tables.folder) as incoming:
        assert not left_behind.exists() and incoming.is_dir() and not list(incoming.iterdir())
    assert not incoming.exists()


# Shards ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_shards")
def test_large_tables_are_cut_into_shards_that_are_numbered_and_counted(tables: Tables) -> None:
    tables.add(*range(4))
    tables.build(*range(4))
    for table in (MAIN, HANDS):
        names = [shard.name for shard in tables.shards(table)]
        assert names == [f"train-{number:05d}-of-00004.parquet" for number in range(4)]
        assert [row["id"] for row in tables.rows(table)] == [f"id-{number}" for number in range(4)]


def test_a_shard_takes_no_more_than_its_limit(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_ROWS_PER_GROUP", 1)
    monkeypatch.setattr(shards, "_SHARD_BYTES", 30_000)
    tables.add(*range(12))
    tables.build(*range(12))
    assert 1 < len(tables.shards()) < 12
    for shard in tables.shards():
        metadata = pq.read_metadata(shard)
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        columns = [group.column(number) for group in groups for number in range(group.num_columns)]
        assert sum(column.total_compressed_size for column in columns) < 1.1 * 30_000


def test_long_clips_make_smaller_groups(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_FRAMES_PER_GROUP", 10)
    tables.add(0, 1, 2, num_frames=2)
    tables.add(3, 4, num_frames=12)
    tables.build(0, 1, 2, 3, 4)
    for table in (MAIN, HANDS):
        metadata = pq.read_metadata(tables.shards(table)[0])
        assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [4, 1]


@pytest.mark.parametrize("shard_bytes", [500_000_000, 20_000, 1])
@pytest.mark.parametrize(
    "batches",
    [
        [[5, 3, 0, 2, 6, 1, 4]],
        [[0, 1, 2, 3], [4, 5, 6]],
        [[4, 5, 6], [0, 1, 2, 3]],
        [[0, 2, 4, 6], [1, 3, 5]],
        [[6], [4, 0], [1, 2, 3, 5]],
        [[0, 1, 2, 3, 4, 5, 6], []],
    ],
    ids=str,
)
def test_rows_that_come_in_several_runs_give_the_bytes_of_one(
    new_tables: Callable[[], Tables],
    batches: Sequence[Sequence[int]],
    shard_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "_ROWS_PER_GROUP", 2)
    monkeypatch.setattr(shards, "_SHARD_BYTES", shard_bytes)
    once, by_and_by = new_tables(), new_tables()
    once.add(*range(7))
    statistics = once.build(*range(7)).summary()
    known: set[int] = set()
    for batch in batches:
        by_and_by.restart()
        by_and_by.add(*batch)
        known.update(batch)
        later_statistics = by_and_by.build(*sorted(known)).summary()
    assert by_and_by.contents() == once.contents()
    assert later_statistics == statistics


# Interruptions ---------------------------------------------------------------------------------------------


OLD, NEW = "version 0.", "version 1."


def versions_seen(tables: Tables, table: str) -> set[str]:
    """Which builds the rows that a reader finds now are of; each shard must be whole."""
    if table == MAIN:
        return {row["task"].split(", ")[1] for row in tables.rows()}
    old = {number: random_row(number)["left_hand"].tolist() for number in range(20)}
    return {OLD if row["left_hand"] == old[int(row["id"][3:])] else NEW for row in tables.rows("hands")}


@pytest.mark.parametrize("num_old, num_new", [(0, 1), (1, 1), (1, 3), (3, 1), (3, 3)])
@pytest.mark.usefixtures("small_shards")
def test_a_swap_killed_at_any_step_is_finished_and_never_shows_old_rows_beside_new_ones(
    new_tables: Callable[[], Tables], num_old: int, num_new: int
) -> None:
    before, expected = new_tables(), new_tables()
    if num_old:
        before.add(*range(num_old))
        before.build(*range(num_old))
    before.add(*range(num_new), version=1)
    expected.add(*range(num_new), version=1)
    expected.build(*range(num_new))

    for num_changes in range(1000):
        tables = new_tables()
        shutil.copytree(before.folder, tables.folder, dirs_exist_ok=True)
        tables.restart()
        try:
            with killed_after(num_changes):
                tables.build(*range(num_new))
        except Killed:
            for table in (MAIN, HANDS):
                assert len(versions_seen(tables, table)) < 2
            tables.restart()
            for table in (MAIN, HANDS):
                assert len(versions_seen(tables, table)) < 2
            assert tables.writer.tables.record_numbers() or tables.contents() == expected.contents()
            tables.build(*range(num_new))
            assert tables.contents() == expected.contents()
        else:
            assert tables.contents() == expected.contents()
            assert num_changes > 10
            return
    raise AssertionError("a build never ends")


def test_a_build_killed_before_its_swap_leaves_the_old_tables_as_they_are(tables: Tables) -> None:
    tables.add(0, 1)
    tables.build(0, 1)
    before = tables.contents()
    tables.add(2)

    def killed(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Killed):
        monkeypatch.setattr("dataset_upload.formats.rfm.tables.prepare_swap", killed)
        tables.build(0, 1, 2)
    tables.restart()
    assert tables.contents() == before
    tables.build(0, 1, 2)
    assert len(tables.rows()) == 3


# Statistics ------------------------------------------------------------------------------------------------


def statistics_of(*trajectories: NDArray[np.float32]) -> dict[str, Any]:
    statistics = ActionStatistics()
    for actions in trajectories:
        statistics.add(actions)
    return statistics.summary()


@pytest.mark.parametrize("num_columns", [3, 15])
def test_statistics_are_numpys(num_columns: int) -> None:
    rng = np.random.default_rng(0)
    trajectories = [
        (rng.normal(size=(length, num_columns)) * np.arange(1, num_columns + 1) / 5 + 0.7).astype(np.float32)
        for length in (1, 32, 300, 7)
    ]
    together = np.concatenate(trajectories)
    summary = statistics_of(*trajectories)
    rounding = 0.5e-4
    np.testing.assert_allclose(summary["mean"], together.mean(axis=0), rtol=0, atol=rounding + 1e-6)
    np.testing.assert_allclose(summary["std"], together.std(axis=0), rtol=0, atol=rounding + 1e-6)
    for name, share in (("q01", 0.01), ("q50", 0.5), ("q99", 0.99)):
        exact = np.quantile(together, share, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(summary[name], exact, rtol=0, atol=0.5e-3 + rounding + 1e-6)


def test_statistics_of_the_build_are_those_of_its_rows(tables: Tables) -> None:
    tables.add(0, 1, 2)
    assert tables.build(0, 1, 2).summary() == statistics_of(*(random_row(number)["actions"] for number in range(3)))


def test_tracker_jumps_beyond_20_metres_do_not_break_the_quantiles() -> None:
    actions = np.zeros((1000, 1), np.float32)
    actions[0], actions[1] = 1e6, -1e6
    summary = statistics_of(actions)
    assert summary["q01"] == summary["q50"] == summary["q99"] == [pytest.approx(0, abs=1e-3)]


def test_a_still_column_has_no_deviation() -> None:
    summary = statistics_of(np.full((1000, 2), 1.2345, np.float32))
    assert summary["std"] == [0, 0] and summary["mean"] == [1.2345, 1.2345]
