"""The wrong texts that a judge is asked about beside a clip."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

from reward_model.data import Row, Rows, Source
from reward_model.evaluation import MAX_TEXTS, _questions, _texts_of_tasks, count_frames, evaluate
from reward_model.features import Features
from reward_model.samples import Views


class CountedRows(Rows):
    """Rows that count how many texts they were asked to compare."""

    compared = 0

    def similarity(self, a: int, b: int) -> float:
        CountedRows.compared += 1
        return super().similarity(a, b)


def views_of(count: int, tasks: int) -> Views:
    """Clips of 6 frames. Each task has two texts, of which the second says the same as the next task's first."""
    vectors = np.eye(2 * tasks, dtype=np.float32)
    vectors[1::2] = np.roll(vectors[::2], -1, axis=0)
    rows = [
        Row(f"id-{i}", 2 * (i % tasks) + i // tasks % 2, f"task {i % tasks}", f"{i}", True, ("clip",), Source(Path()))
        for i in range(count)
    ]
    features = cast(Features, [np.zeros((6, 1), np.float16)] * count)
    return Views(CountedRows(rows, [f"text {i}" for i in range(2 * tasks)], vectors), features, 6, 0.9)


def wrong_texts(views: Views, row: int) -> list[int]:
    everything = np.arange(len(views.rows))
    _, group = next(_questions(views, row, everything, _texts_of_tasks(views.rows, everything), number=7))
    return [view.text for view in group[1:]]


def test_wrong_texts_are_of_different_other_tasks_and_say_something_else() -> None:
    views = views_of(80, tasks=20)

    for row in range(40):
        own, wrong = views.rows.rows[row].text, wrong_texts(views, row)
        tasks = {text // 2 for text in wrong}
        assert len(tasks) == len(wrong) == MAX_TEXTS - 1
        assert own // 2 not in tasks
        assert all(views.rows.similarity(own, text) < 0.9 for text in wrong)


def test_every_other_task_has_a_wrong_text_where_they_are_few() -> None:
    assert sorted(text // 2 for text in wrong_texts(views_of(80, tasks=5), 3)) == [0, 1, 2, 4]


def test_wrong_texts_are_always_the_same_and_differ_between_rows() -> None:
    views = views_of(80, tasks=20)

    assert wrong_texts(views, 0) == wrong_texts(views_of(80, tasks=20), 0)
    assert wrong_texts(views, 0) != wrong_texts(views, 1)


@pytest.mark.parametrize("tasks", [5, 40])
def test_judging_a_row_does_not_compare_it_with_all_others(tasks: int) -> None:
    views, judged = views_of(2000, tasks), 10
    everything = np.arange(len(views.rows))
    CountedRows.compared = 0

    evaluate(count_frames, views, everything, everything, judged)

    assert CountedRows.compared < 50 * judged
