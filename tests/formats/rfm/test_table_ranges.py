"""Tables are made range by range: only files whose rows have changed are written, and what is in a file it tells."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_tables import Killed, Tables, entry, killed_after

from dataset_upload.errors import StoppedError
from dataset_upload.formats.rfm import layout, shards
from dataset_upload.formats.rfm.layout import HANDS, MAIN
from dataset_upload.formats.statistics import ActionStatistics

ALL = range(10)  # in ranges of three


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three clip numbers a range instead of 4000; two rows a row group."""
    monkeypatch.setattr(layout, "_CLIPS_PER_RANGE", 3)
    monkeypatch.setattr(shards, "_ROWS_PER_GROUP", 2)


@pytest.fixture
def finished(new_tables: Callable[[], Tables]) -> Tables:
    """Tables of ten rows: four files each."""
    tables = new_tables()
    tables.add(*ALL)
    tables.build(*ALL)
    return tables


def inodes(tables: Tables) -> dict[str, tuple[int, int]]:
    """What tells a file that was written anew from one that was kept, whatever either is called."""
    paths = (path for table in (MAIN, HANDS) for path in tables.shards(table))
    return {str(path.relative_to(tables.folder)): (os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in paths}


def changed(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    """The names of the files that were written anew."""
    return sorted(name for name, inode in after.items() if inode not in before.values())


def numbers_in(path: Path) -> list[int]:
    return [int(value.removeprefix("id-")) for value in pq.read_table(path)["id"].to_pylist()]


# Which files are written --------------------------------------------------------------------------------------


def test_rows_stand_in_the_order_of_clip_numbers_a_range_in_a_file(finished: Tables) -> None:
    for table in (MAIN, HANDS):
        assert [numbers_in(path) for path in finished.shards(table)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_a_changed_row_has_the_files_of_its_range_written_and_no_other(finished: Tables) -> None:
    before = inodes(finished)
    finished.add(4, version=1)
    finished.build(*ALL)
    second = "train-00001-of-00004.parquet"
    assert changed(before, inodes(finished)) == [f"hands/{second}", second]
    assert finished.rows()[4]["task"] == "Task 4, version 1."


def test_a_row_that_is_gone_has_the_files_of_its_range_written_and_no_other(finished: Tables) -> None:
    before = inodes(finished)
    finished.build(*(number for number in ALL if number != 7))
    third = "train-00002-of-00004.parquet"
    assert changed(before, inodes(finished)) == [f"hands/{third}", third]
    assert [number for path in finished.shards() for number in numbers_in(path)] == [0, 1, 2, 3, 4, 5, 6, 8, 9]


def test_files_that_stay_are_renamed_where_their_number_grows(finished: Tables) -> None:
    before = inodes(finished)
    finished.add(10, 11, 12)
    finished.build(*range(13))
    after = inodes(finished)
    new = [f"train-{number:05d}-of-00005.parquet" for number in (3, 4)]
    assert changed(before, after) == [*(f"hands/{name}" for name in new), *new]
    assert len(after) == 10


def test_a_range_without_rows_has_no_file(finished: Tables) -> None:
    before = inodes(finished)
    finished.build(0, 1, 2, 9)
    assert [numbers_in(path) for path in finished.shards()] == [[0, 1, 2], [9]]
    assert changed(before, inodes(finished)) == []


def test_a_build_with_nothing_to_do_touches_nothing(finished: Tables) -> None:
    before, statistics = inodes(finished), finished.build(*ALL).summary()
    folder = os.stat(finished.folder).st_mtime_ns
    assert finished.build(*ALL).summary() == statistics
    assert inodes(finished) == before
    assert os.stat(finished.folder).st_mtime_ns == folder


def test_files_are_kept_where_the_file_system_knows_one_name_a_file(
    finished: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {path.name: path.read_bytes() for path in finished.shards()[:3]}

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    finished.add(10, 11, 12)
    finished.build(*range(13))
    kept = {path.name.replace("00005", "00004"): path.read_bytes() for path in finished.shards()[:3]}
    assert kept == expected
    assert [number for path in finished.shards() for number in numbers_in(path)] == [*range(13)]


@pytest.mark.parametrize("shard_bytes", [500_000_000, 30_000, 1])
@given(
    batches=st.lists(st.lists(st.integers(0, 11), max_size=6, unique=True), max_size=4),
    dropped=st.sets(st.integers(0, 11), max_size=3),
)
@settings(max_examples=15)
def test_a_dataset_that_grows_and_shrinks_in_many_runs_has_the_bytes_of_one_run(
    tmp_path_factory: pytest.TempPathFactory, shard_bytes: int, batches: Sequence[Sequence[int]], dropped: set[int]
) -> None:
    """Each run makes its rows anew, whether they are there or not; at last some rows are dropped."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(shards, "_SHARD_BYTES", shard_bytes)
        by_and_by, once = (Tables(tmp_path_factory.mktemp("ranges") / name) for name in ("by_and_by", "once"))
        versions: dict[int, int] = {}
        for version, batch in enumerate(batches):
            by_and_by.restart()
            by_and_by.add(*batch, version=version)
            versions |= dict.fromkeys(batch, version)
            by_and_by.build(*versions)
        left = sorted(versions.keys() - dropped)
        by_and_by.restart()
        statistics = by_and_by.build(*left).summary()
        for number in left:
            once.add(number, version=versions[number])
        assert once.build(*left).summary() == statistics
        assert once.contents() == by_and_by.contents()


# Killed -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("added", [(4,), (4, 8), (1, 4, 10, 11, 12, 13)], ids=str)
def test_a_build_of_some_ranges_killed_at_any_step_is_finished_and_shows_no_mixture(
    new_tables: Callable[[], Tables], added: Sequence[int]
) -> None:
    before, expected = new_tables(), new_tables()
    every = sorted({*ALL, *added})
    before.add(*ALL)
    before.build(*ALL)
    before.add(*added, version=1)
    expected.add(*(number for number in every if number not in added))
    expected.add(*added, version=1)
    expected.build(*every)

    num_tried = 0
    for tables in copies_killed_later_and_later(before, new_tables, every):
        num_tried += 1
        assert len(versions_of(tables, added)) < 2
        tables.restart()
        assert len(versions_of(tables, added)) < 2
        assert present(tables, every) == keys(every)
        tables.build(*every)
        assert tables.contents() == expected.contents()
    assert num_tried > 10


def versions_of(tables: Tables, numbers: Sequence[int]) -> set[str]:
    """Which builds those of these rows are of that a reader finds now; each number at most once."""
    rows = [row for row in tables.rows() if int(row["id"].removeprefix("id-")) in numbers]
    assert len({row["id"] for row in tables.rows()}) == len(tables.rows())
    return {row["task"].split(", ")[1] for row in rows if row["source"] in keys(ALL)}


def keys(numbers: Sequence[int]) -> set[str]:
    return {f"task/{number}" for number in numbers}


def present(tables: Tables, numbers: Sequence[int]) -> set[str]:
    """The keys of those of these rows that no run would convert again."""
    return tables.writer.tables.present(map(entry, numbers))


def test_opening_a_dataset_whose_swap_was_interrupted_leaves_it_to_a_run_that_has_it_for_itself(
    finished: Tables, new_tables: Callable[[], Tables]
) -> None:
    finished.add(4, 8, version=1)
    for tables in copies_killed_later_and_later(finished, new_tables):
        if (tables.folder / ".work" / "swap").exists() and len(tables.shards()) < 4:
            break
    else:
        raise AssertionError("it was never interrupted where files are missing")
    before = sorted(tables.folder.rglob("*"))
    tables.open()
    assert sorted(tables.folder.rglob("*")) == before
    tables.writer.recover()
    assert [row["task"] for row in tables.rows()][4] == "Task 4, version 1."


# What files tell ----------------------------------------------------------------------------------------------


def rewrite(path: Path, said: bytes | None, order: Callable[[pa.Table], pa.Table] = lambda table: table) -> None:
    """Write a table's file as others would, with something else, or nothing, where it says what it holds."""
    table = order(pq.read_table(path))
    metadata = {} if said is None else {b"dataset_upload": said}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def said_by(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(pq.read_metadata(path).metadata[b"dataset_upload"])
    return said


def forged(**values: Any) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        rewrite(path, json.dumps({**said_by(path), **values}).encode())

    return act


@pytest.mark.parametrize("table", [MAIN, HANDS])
@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda path: rewrite(path, None), id="nothing"),
        pytest.param(lambda path: rewrite(path, b""), id="empty"),
        pytest.param(lambda path: rewrite(path, b"\xff\x00"), id="no text"),
        pytest.param(lambda path: rewrite(path, b"[1]"), id="a list"),
        pytest.param(lambda path: rewrite(path, b"[" * 100_000), id="nested"),
        pytest.param(forged(range=0), id="another range"),
        pytest.param(forged(range="1"), id="a range that is no number"),
        pytest.param(forged(range=10**30), id="a range that is no clip's"),
        pytest.param(forged(rows="0" * 64), id="another digest"),
        pytest.param(forged(rows=None), id="no digest"),
        pytest.param(forged(root="/elsewhere"), id="paths that it has not"),
        pytest.param(forged(statistics=[1]), id="a list of statistics"),
        pytest.param(lambda path: os.truncate(path, path.stat().st_size // 2), id="cut short"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
        pytest.param(lambda path: path.unlink(), id="deleted"),
    ],
)
def test_a_file_that_tells_what_is_not_so_is_made_again(
    finished: Tables, table: str, forge: Callable[[Path], None]
) -> None:
    """Rows that are lost with it are those of its range, or at most of the one that it claims to be of."""
    expected = finished.contents()
    forge(finished.shards(table)[1])
    finished.restart()
    lost = keys(ALL) - present(finished, ALL)
    assert lost <= keys(range(6))
    finished.add(*(int(key.removeprefix("task/")) for key in lost))
    finished.build(*ALL)
    assert finished.contents() == expected


def test_a_main_table_that_tells_no_statistics_is_made_again(finished: Tables) -> None:
    expected = finished.contents()
    forged(statistics=None)(finished.shards()[1])
    finished.build(*ALL)
    assert finished.contents() == expected


def statistics_of_three_columns() -> dict[str, Any]:
    statistics = ActionStatistics()
    statistics.add(np.zeros((1, 3), np.float32))
    return statistics.to_json()


@pytest.mark.parametrize(
    "statistics",
    [
        pytest.param(statistics_of_three_columns(), id="of other columns"),
        pytest.param({"count": 1}, id="a half"),
        pytest.param({"count": 1, "sums": [[0.0] * 10**6] * 2, "histograms": ""}, id="huge"),
        pytest.param({"count": 1, "sums": [[0.0], [0.0]], "histograms": "AAAA"}, id="damaged"),
        pytest.param({**statistics_of_three_columns(), "sums": [[0.0], [0.0]]}, id="longer than they say"),
        pytest.param({**statistics_of_three_columns(), "sums": [[0.0] * 4] * 2}, id="shorter than they say"),
    ],
)
def test_statistics_that_make_no_sense_stop_the_run(finished: Tables, statistics: dict[str, Any]) -> None:
    path = finished.shards()[1]
    forged(statistics=statistics)(path)
    with pytest.raises(StoppedError, match=f"{path} is damaged: delete it"):
        finished.build(*ALL)


def test_rows_in_another_order_than_their_file_tells_stop_the_build_that_would_take_them(finished: Tables) -> None:
    path = finished.shards()[1]
    for table in (MAIN, HANDS):
        shard = finished.shards(table)[1]
        rewrite(shard, json.dumps(said_by(shard)).encode(), lambda rows: rows.take([1, 0, 2]))
    finished.add(5, version=1)
    with pytest.raises(StoppedError, match=f"task/4 has no row where it belongs in {path}: delete it"):
        finished.build(*ALL)
    path.unlink()
    finished.restart()
    assert keys(ALL) - present(finished, ALL) == keys((3, 4))


def test_load_dataset_takes_files_that_say_different_things(finished: Tables, tmp_path: Path) -> None:
    for folder, features in ((finished.folder, "actions"), (finished.folder / "hands", "left_hand")):
        loaded = datasets.load_dataset(
            str(folder), data_files="train-*.parquet", split="train", cache_dir=str(tmp_path)
        )
        assert loaded["id"][:] == [f"id-{number}" for number in ALL]
        assert features in loaded.column_names


# Of earlier versions ------------------------------------------------------------------------------------------


def in_the_earlier_order(tables: Tables, numbers: Sequence[int]) -> None:
    """Make the tables what versions before wrote: one file, in an order of its own, which says nothing of itself."""
    for table in (MAIN, HANDS):
        paths = tables.shards(table)
        rows = pa.concat_tables(map(pq.read_table, paths), promote_options="none").replace_schema_metadata(None)
        for path in paths:
            path.unlink()
        pq.write_table(rows.take(numbers), paths[0].with_name("train-00000-of-00001.parquet"), compression="zstd")


EARLIER = [9, 1, 0, 8, 2, 3, 7, 4, 6, 5]


@pytest.mark.parametrize("added", [(), (4,), (10, 11)], ids=str)
def test_tables_of_an_earlier_order_become_those_that_would_be_made_today(
    new_tables: Callable[[], Tables], finished: Tables, added: Sequence[int]
) -> None:
    every = sorted({*ALL, *added})
    in_the_earlier_order(finished, EARLIER)
    finished.restart()
    assert present(finished, ALL) == keys(ALL)
    finished.add(*added, version=1)
    finished.build(*every)
    expected = new_tables()
    expected.add(*ALL)
    expected.add(*added, version=1)
    expected.build(*every)
    assert finished.contents() == expected.contents()
    assert not (finished.folder / ".work" / "put_back").exists()


def test_rows_of_an_earlier_order_that_are_no_longer_named_are_dropped(finished: Tables) -> None:
    in_the_earlier_order(finished, EARLIER)
    finished.build(0, 2, 9)
    assert [number for path in finished.shards() for number in numbers_in(path)] == [0, 2, 9]


@pytest.mark.slow
def test_no_row_of_an_earlier_order_is_lost_when_its_build_is_killed(
    finished: Tables, new_tables: Callable[[], Tables]
) -> None:
    expected = finished.contents()
    in_the_earlier_order(finished, EARLIER)
    for tables in copies_killed_later_and_later(finished, new_tables):
        tables.restart()
        assert present(tables, ALL) == keys(ALL)
        tables.build(*ALL)
        assert tables.contents() == expected


def copies_killed_later_and_later(
    before: Tables, new_tables: Callable[[], Tables], numbers: Sequence[int] = ALL
) -> Iterator[Tables]:
    """Copies of tables, the build of each killed one change later, up to the one that is not."""
    for num_changes in range(1000):
        tables = new_tables()
        shutil.copytree(before.folder, tables.folder, dirs_exist_ok=True)
        tables.restart()
        try:
            with killed_after(num_changes):
                tables.build(*numbers)
        except Killed:
            yield tables
        else:
            return
