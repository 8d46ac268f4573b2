"""All trajectories of a dataset on all cores: in order, whatever the number of workers, and none lost for another."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from dataset_reader import Dataset

from dataset_upload.formats import each_trajectory as module
from dataset_upload.formats.each_trajectory import Lost, each_trajectory
from dataset_upload.formats.finished_dataset import FinishedDataset, open_dataset


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_PART", 2)


@pytest.fixture
def dataset(converted: Dataset) -> FinishedDataset:
    return open_dataset(str(converted.output_dir))


def told(dataset: FinishedDataset, numbers: Sequence[int]) -> list[tuple[int, str, list[str]]]:
    return [(each.number, each.source, sorted(dataset.ledger)) for each in dataset.trajectories(numbers)]


def die_at_the_third(dataset: FinishedDataset, numbers: Sequence[int]) -> list[str]:
    sources = [each.source for each in dataset.trajectories(numbers)]
    if 2 in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return sources


def refuse_the_third(dataset: FinishedDataset, numbers: Sequence[int]) -> list[str]:
    if 2 in numbers:
        raise ValueError("no third one")
    return [each.source for each in dataset.trajectories(numbers)]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_results_are_in_order_and_workers_know_the_ledger_of_their_rows(
    num_workers: int, dataset: FinishedDataset
) -> None:
    results = [each for each in each_trajectory(told, dataset, num_workers=num_workers) if not isinstance(each, Lost)]
    assert [result[:2] for result in results] == list(enumerate(dataset.column("source")))
    assert all(source in ledger and len(ledger) <= 2 for _, source, ledger in results)


def test_some_rows(dataset: FinishedDataset) -> None:
    results = each_trajectory(told, dataset, [0, 2, 3])
    assert [result[0] for result in results] == [0, 2, 3]
    assert list(each_trajectory(told, dataset, [])) == []


@pytest.mark.parametrize(
    ("function", "num_workers", "reason"),
    [(die_at_the_third, 2, "SIGKILL"), (refuse_the_third, 0, "no third one")],
)
def test_a_trajectory_that_kills_costs_no_other(
    function: module.PartFunction[str], num_workers: int, reason: str, dataset: FinishedDataset
) -> None:
    expected = dataset.column("source")
    results = list(each_trajectory(function, dataset, num_workers=num_workers))
    assert isinstance(results[2], Lost)
    assert results[2].source == expected[2]
    assert reason in str(results[2].error)
    assert [*results[:2], *results[3:]] == [*expected[:2], *expected[3:]]


def test_a_dataset_travels_as_its_place(dataset: FinishedDataset, tmp_path: Path) -> None:
    assert dataset.ledger
    rebuilt, arguments = dataset.__reduce__()
    assert rebuilt(*arguments).__dict__.keys() == {"root", "name", "folder"}
