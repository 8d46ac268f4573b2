"""Which episodes a run converts, in which order, under which numbers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_upload.errors import UsageError
from dataset_upload.ledger import Entry, Ledger
from dataset_upload.natural_order import natural_key
from dataset_upload.selection import choose_tasks, select_round_robin


class Listed(NamedTuple):
    key: str
    task_name: str


def listed(**tasks: int) -> list[Listed]:
    return [Listed(f"{task}/{number}", task) for task, count in tasks.items() for number in range(count)]


def keys(episodes: list[Listed]) -> list[str]:
    return [episode.key for episode in episodes]


def test_a_few_trajectories_cover_as_many_tasks_as_there_are() -> None:
    assert keys(select_round_robin(listed(fold=3, pour=1, stack=2), 4)) == ["fold/0", "pour/0", "stack/0", "fold/1"]


@pytest.mark.parametrize("everything", [None, -1, 100])
def test_no_limit_takes_all(everything: int | None) -> None:
    assert len(select_round_robin(listed(fold=3, pour=1), everything)) == 4


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(1, 30), st.integers(1, 30))
def test_a_larger_selection_begins_with_the_smaller_one(counts: list[int], fewer: int, more: int) -> None:
    episodes = listed(**{f"task{number}": count for number, count in enumerate(counts)})
    fewer, more = sorted((fewer, more))
    assert select_round_robin(episodes, more)[:fewer] == select_round_robin(episodes, fewer)[:more]


@pytest.mark.parametrize(
    "patterns, expected",
    [
        ([], ["fold/0", "fold_box/0", "pour/0"]),
        ("fold", ["fold/0"]),
        ("fold*", ["fold/0", "fold_box/0"]),
        (["pour", "*_box", "pour"], ["fold_box/0", "pour/0"]),
    ],
)
def test_tasks_are_chosen_by_names_and_globs(patterns: str | list[str], expected: list[str]) -> None:
    assert keys(choose_tasks(listed(fold=1, fold_box=1, pour=1), patterns)) == expected


def test_an_unknown_task_is_refused_with_those_that_were_probably_meant() -> None:
    with pytest.raises(UsageError, match=r"^tasks: no task is called fold_boks; there are fold_box, fold$"):
        choose_tasks(listed(fold=1, fold_box=1, pour=1), ["pour", "fold_boks"])


def test_natural_order_counts_as_people_do() -> None:
    names = ["b/1", "a10/0", "a2/10", "a2/9", "a2/2", "a2_x/0", "a/0"]
    assert sorted(names, key=natural_key) == ["a/0", "a2/2", "a2/9", "a2/10", "a2_x/0", "a10/0", "b/1"]


@given(st.lists(st.text("ab1290/_-é½", max_size=8)))
def test_natural_order_orders_any_names(names: list[str]) -> None:
    assert sorted(sorted(names, key=natural_key), key=natural_key) == sorted(names, key=natural_key)


def ledger_with(tmp_path: Path, **numbers: int) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    for key, number in numbers.items():
        ledger.append(Entry(key, "done", number, 1, (1,)))
    return ledger


def test_clips_are_numbered_in_the_order_of_selection(tmp_path: Path) -> None:
    assert ledger_with(tmp_path).clip_numbers(["b", "a", "c"]) == {"b": 0, "a": 1, "c": 2}


def test_what_finished_first_does_not_matter(tmp_path: Path) -> None:
    assert ledger_with(tmp_path, c=2).clip_numbers(["b", "a", "c"]) == {"b": 0, "a": 1, "c": 2}


def test_numbers_are_kept_when_the_source_grows(tmp_path: Path) -> None:
    numbers = ledger_with(tmp_path, a=0, b=1).clip_numbers(["new", "a", "b", "newer"])
    assert (numbers["a"], numbers["b"]) == (0, 1)
    assert sorted(numbers.values()) == sorted(set(numbers.values()))
