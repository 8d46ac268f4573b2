"""The metrics against their formulas, and what the frame counter gets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

from reward_model.evaluation import METRICS, Verdict, _measure, count_frames
from reward_model.metrics import balanced_accuracy, pearson, ranks_of, spearman, top_1, wins
from reward_model.metrics_log import MetricsLog, read_metrics
from reward_model.samples import View


def test_equal_values_share_the_mean_rank() -> None:
    assert ranks_of([10, 30, 10, 20]).tolist() == [0.5, 3, 0.5, 2]


def test_spearman_is_its_textbook_formula_without_ties() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.permutation(20), rng.permutation(20)

    difference = ranks_of(a) - ranks_of(b)
    assert spearman(a, b) == pytest.approx(1 - 6 * (difference @ difference) / (20 * (20**2 - 1)))


def test_spearman_with_ties_is_the_known_value() -> None:
    assert spearman([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(0.9486832980505138)


def test_spearman_sees_order_only() -> None:
    assert spearman([1, 2, 4, 8], [0.1, 0.2, 0.3, 0.31]) == pytest.approx(1)


def test_pearson_is_numpys() -> None:
    a, b = np.random.default_rng(0).random((2, 15))

    assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_a_constant_correlates_with_nothing() -> None:
    assert spearman([3, 3, 3], [1, 2, 3]) == pearson([3, 3, 3], [1, 2, 3]) == 0


def test_equals_share_a_win() -> None:
    assert (wins(2, 1), wins(1, 1), wins(0, 1)) == (1, 0.5, 0)
    assert (top_1([3, 1, 2], 0), top_1([3, 3, 2], 0), top_1([1, 3, 2], 0)) == (1, 0.5, 0)


def test_balanced_accuracy_weighs_the_rare_as_much() -> None:
    assert balanced_accuracy([1, 0, 0, 0, 0], [1, 1, 0, 0, 0]) == 0.75
    assert np.isnan(balanced_accuracy([1, 0], [0, 0]))


def view(frames: list[int], belongs: bool = True) -> View:
    progress = (np.array(frames) / 9 * belongs).astype(np.float32)
    return View(0, 0, np.array(frames), progress, (progress >= 0.95).astype(np.float32))


def test_the_frame_counter_is_perfect_at_voc_and_nowhere_else() -> None:
    whole = view(list(range(10)))
    questions = [
        ("whole", [whole, view(list(range(10)), belongs=False)]),
        ("stretch", [view([4, 5, 6, 7, 8])]),
        ("rewound", [view([0, 2, 4, 6, 8, 6, 4, 2])]),
        ("shuffled", [view([5, 0, 9, 3, 1, 8, 2, 6, 4, 7])]),
        ("preference", [whole, view(list(range(9, -1, -1)))]),
    ]
    found = _measure(questions, count_frames([each for _, group in questions for each in group]))

    assert set(found) == set(METRICS)
    assert found["voc"] == found["pearson"] == pytest.approx(1)
    assert found["mae"] > 0.1
    assert found["rewound"] < 0.5 > abs(found["shuffled"])
    assert found["text_gap"] == pytest.approx(0)
    assert found["task_top1"] == found["preference"] == found["success"] == 0.5


def test_a_judge_that_knows_the_truth_is_perfect_everywhere() -> None:
    whole, wrong = view(list(range(10))), view(list(range(10)), belongs=False)
    questions = [
        ("whole", [whole, wrong]),
        ("stretch", [view([4, 5, 6])]),
        ("rewound", [view([0, 4, 8, 4])]),
        ("shuffled", [view([5, 0, 9, 3])]),
        ("preference", [whole, wrong]),
    ]
    asked = [each for _, group in questions for each in group]
    verdicts = [Verdict(each.progress, each.success > 0, float(each.progress[-1])) for each in asked]

    found = _measure(questions, verdicts)

    assert found.pop("mae") == 0
    assert found.pop("text_gap") == pytest.approx(0.5)
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


# metrics.jsonl ---------------------------------------------------------------------------------------------


def test_a_resumed_log_drops_what_will_come_again(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, from_step=0) as log:
        for step in (10, 20, 30):
            log.write(step, {"loss": 1 / step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # killed in the middle of a line

    with MetricsLog(tmp_path, from_step=20) as log:
        log.write(30, {"loss": float("nan")})

    assert read_metrics(tmp_path) == [{"step": 10, "loss": 0.1}, {"step": 20, "loss": 0.05}, {"step": 30, "loss": None}]
    assert all(json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())


def test_only_the_main_rank_writes_a_log(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "run", from_step=0, is_main=False) as log:
        log.write(1, {"loss": 1.0})

    assert not (tmp_path / "run").exists()
