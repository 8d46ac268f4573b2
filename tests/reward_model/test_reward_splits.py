"""Which rows are held out, and what a checkpoint later knows of rows it is shown."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

from tiny_dataset import EPISODES_PER_TASK, TASKS, write_datasets

from reward_model.data import Rows, load_rows
from reward_model.features import clip_checksums
from reward_model.splits import SeenRows, split_rows

ROWS = len(TASKS) * EPISODES_PER_TASK


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_datasets(tmp_path_factory.mktemp("splits") / "egodex_dataset", "egodex_a", "egodex_b")


@pytest.fixture(scope="module")
def rows(root: Path) -> Rows:
    return load_rows(f"{root}/egodex_a")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What the package tells."""
    monkeypatch.setattr(logging.getLogger("reward_model"), "propagate", True)
    caplog.set_level(logging.INFO, "reward_model")
    return caplog


def some_of(rows: Rows, *indices: int) -> Rows:
    return replace(rows, rows=[rows.rows[index] for index in indices])


# Splitting -------------------------------------------------------------------------------------------------


def test_no_session_and_no_task_is_on_two_sides(rows: Rows) -> None:
    splits = split_rows(rows, held_out_sessions=0.3, held_out_tasks=0.3)

    sessions = [{rows.rows[i].session for i in side} for side in splits[:2]]
    assert not sessions[0] & sessions[1]
    tasks = {rows.rows[i].task for i in splits.held_out_tasks}
    assert tasks
    assert not tasks & {rows.rows[i].task for side in splits[:2] for i in side}
    assert sorted(np.concatenate(splits)) == list(range(len(rows)))


def test_an_episode_stays_on_its_side_when_the_dataset_grows(root: Path, rows: Rows) -> None:
    grown = load_rows(f"{root}/egodex")

    def sides(rows: Rows) -> dict[str, int]:
        splits = split_rows(rows, held_out_sessions=0.4, held_out_tasks=0.4)
        return {rows.rows[i].id: number for number, side in enumerate(splits) for i in side}

    assert sides(rows).items() <= sides(grown).items()


def test_a_small_dataset_still_holds_something_out(rows: Rows) -> None:
    splits = split_rows(rows, held_out_sessions=1e-9, held_out_tasks=1e-9)

    assert len({rows.rows[i].session for i in splits.held_out_episodes}) == 1
    assert len({rows.rows[i].task for i in splits.held_out_tasks}) == 1


def test_a_share_of_0_holds_nothing_out(rows: Rows) -> None:
    assert len(split_rows(rows, held_out_sessions=0, held_out_tasks=0).train) == len(rows)


def test_where_hashes_hold_out_none_the_log_says_that_growth_may_change_the_choice(
    rows: Rows, log: pytest.LogCaptureFixture
) -> None:
    split_rows(rows, held_out_sessions=0.4, held_out_tasks=1e-9)

    assert "--dataset.held_out_tasks: 1e-09 of 4 tasks is none" in log.text
    assert "in a dataset that has grown it may be another" in log.text
    assert "--dataset.held_out_sessions" not in log.text


# Labels ----------------------------------------------------------------------------------------------------


def renamed(rows: Rows) -> Rows:
    """The same rows under other ids."""
    return replace(rows, rows=[row._replace(id=f"{row.id} again") for row in rows.rows])


def seen(rows: Rows) -> SeenRows:
    splits = split_rows(rows, held_out_sessions=0.3, held_out_tasks=0.3)
    assert all(map(len, splits))
    return SeenRows.of(rows, clip_checksums(rows), splits)


def test_rows_are_labelled_by_the_side_they_were_on(rows: Rows) -> None:
    splits = split_rows(rows, held_out_sessions=0.3, held_out_tasks=0.3)

    labels = seen(rows).label(rows, clip_checksums(rows))

    assert {name: list(indices) for name, indices in labels.items()} == {
        "train": list(splits.train),
        "held-out episodes": list(splits.held_out_episodes),
        "held-out tasks": list(splits.held_out_tasks),
        "never seen": [],
    }


@pytest.mark.parametrize("change", ["order", "ids", "clips"])
def test_a_row_is_known_by_its_id_or_by_its_clip(rows: Rows, change: str) -> None:
    checksums, sides = clip_checksums(rows), seen(rows).sides
    shown = some_of(rows, *reversed(range(ROWS))) if change == "order" else renamed(rows) if change == "ids" else rows
    clips = {"order": checksums[::-1], "ids": checksums, "clips": [f"{each} again" for each in checksums]}[change]

    labels = seen(rows).label(shown, clips)

    expected = sides[::-1] if change == "order" else sides
    assert [list(indices) for indices in labels.values()] == [list(np.flatnonzero(expected == i)) for i in range(4)]


def test_what_was_learned_under_another_name_is_no_held_out_row(rows: Rows) -> None:
    copies = replace(rows, rows=[*rows.rows, *renamed(rows).rows])
    checksums = clip_checksums(copies)
    run = seen(copies)
    run.sides[:ROWS], run.sides[ROWS:] = 0, 1

    labels = run.label(copies, checksums)

    assert len(labels["train"]) == 2 * ROWS


def test_rows_that_came_later_were_never_seen(rows: Rows, log: pytest.LogCaptureFixture) -> None:
    first = some_of(rows, *range(ROWS - 2))
    run = SeenRows.of(first, clip_checksums(first), split_rows(first, held_out_sessions=0, held_out_tasks=0))

    labels = run.label(rows, clip_checksums(rows))

    assert list(labels["never seen"]) == [ROWS - 2, ROWS - 1]
    assert len(labels["train"]) == ROWS - 2
    assert f"has learned from {ROWS - 2}, held out 0, and never seen 2" in log.text


def test_later_rows_of_a_learned_session_are_counted(rows: Rows, log: pytest.LogCaptureFixture) -> None:
    first = some_of(rows, *range(ROWS - 1))  # the last two share their session
    run = SeenRows.of(first, clip_checksums(first), split_rows(first, held_out_sessions=0, held_out_tasks=0))

    run.label(rows, clip_checksums(rows))

    assert "never seen 1, 1 of them of sessions that it learned from" in log.text
