"""How good a judge of progress is on trajectories that it has not learned from, next to one that only counts frames.

VOC alone proves nothing: whoever numbers the frames has 1.0. So every number here stands beside the frame counter's,
which sees neither frames nor text, and most are taken on views that counting cannot judge.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from reward_model.data import Rows
from reward_model.metrics import balanced_accuracy, pearson, spearman, top_1, wins
from reward_model.model import RewardModel
from reward_model.ranks import Ranks
from reward_model.samples import Indices, View, Views, collate, there_and_back, thin

MAX_TEXTS = 16  # for task top-1
VIEWS_AT_A_TIME = 64

METRICS = {  # name: what it is
    "voc": "rank correlation of predicted progress and frame order, whole clips",
    "pearson": "linear correlation with true progress, whole clips",
    "mae": "mean error of progress, on stretches that begin and end anywhere; lower is better",
    "rewound": "rank correlation with true progress, clips that run on, then back",
    "shuffled": "rank correlation with true progress, frames in random order",
    "text_gap": "mean progress beside the right text minus that beside wrong ones, whole clips",
    "task_top1": "how often the right text of up to 16 tasks' is preferred",
    "preference": "how often the better view of a pair is preferred",
    "success": "balanced accuracy of success, frame by frame",
}


class Verdict(NamedTuple):
    """On one view: (n,) progress in 0..1 and whether the task is done, after each frame; how good it is as a whole."""

    progress: NDArray[np.float32]
    success: NDArray[np.bool_]
    preference: float


Judge = Callable[[Sequence[View]], list[Verdict]]


class Result(NamedTuple):
    """A metric with the frame counter's value of it."""

    value: float
    baseline: float


def model_judge(model: RewardModel, views: Views, ranks: Ranks) -> Judge:
    """The model as a judge. Where it is sharded, all ranks must ask it the same."""

    @torch.no_grad()
    def judge(asked: Sequence[View]) -> list[Verdict]:
        verdicts = []
        model.eval()
        for first in range(0, len(asked), VIEWS_AT_A_TIME):
            part = asked[first : first + VIEWS_AT_A_TIME]
            batch = collate(part, views.rows, views.features).to(ranks.device)
            with ranks.autocast():
                said = model(batch.texts, batch.frames, batch.lengths)
            progress, success = said.progress.cpu().numpy(), (said.success_logits > 0).cpu().numpy()
            preference = said.preference.float().cpu().numpy()
            for i, view in enumerate(part):
                n = len(view.frames)
                verdicts.append(Verdict(progress[i, :n], success[i, :n], float(preference[i])))
        model.train()
        return verdicts

    return judge


def count_frames(asked: Sequence[View]) -> list[Verdict]:
    """The trivial judge: progress is the frame's number, nothing is ever done, all views are alike."""
    lengths = [len(view.frames) for view in asked]
    return [Verdict(np.linspace(0, 1, n, dtype=np.float32), np.zeros(n, bool), 0.0) for n in lengths]


def evaluate(judge: Judge, views: Views, rows: Indices, others: Indices, max_trajectories: int) -> dict[str, Result]:
    """Every metric of METRICS on these rows, or on so many of them: always the same ones, asked the same.

    Wrong texts and videos come from the rows `others`.
    """
    chosen = sorted((_hash(views.rows.rows[row].id), int(row)) for row in rows)[:max_trajectories]
    texts = _texts_of_tasks(views.rows, others)
    questions = [question for number, row in chosen for question in _questions(views, row, others, texts, number)]
    asked = [view for _, group in questions for view in group]
    model, counter = _measure(questions, judge(asked)), _measure(questions, count_frames(asked))
    return {name: Result(model.get(name, math.nan), counter.get(name, math.nan)) for name in METRICS}


def rewound_view(views: Views, row: int, rng: np.random.Generator) -> View:
    """A clip that runs on to somewhere in its second half, then back for up to three quarters of that."""
    last = views.num_frames(row) - 1
    turn = int(rng.integers(math.ceil(last / 2), last + 1))
    end = int(turn - rng.integers(math.ceil(turn / 4), math.ceil(turn * 3 / 4) + 1))
    return views.view(row, thin(there_and_back(0, turn, max(end, 0)), views.max_frames))


Question = tuple[str, list[View]]


def _questions(views: Views, row: int, others: Indices, texts: dict[str, list[int]], number: int) -> Iterator[Question]:
    """The views of a row that answer each metric's question."""
    rng = np.random.default_rng(number)
    whole = thin(np.arange(views.num_frames(row)), views.max_frames)
    wrong = _wrong_texts(views, row, texts, np.random.default_rng([number, 1]))
    yield "whole", [views.view(row, whole), *(views.view(row, whole, text) for text in wrong)]
    start, end = views.stretch(row, rng)
    yield "stretch", [views.view(row, thin(np.arange(start, end + 1), views.max_frames))]
    yield "rewound", [rewound_view(views, row, rng)]
    yield "shuffled", [views.view(row, rng.permutation(whole))]
    for _ in range(2):
        pair = views.pair(row, others, rng)
        yield "preference", [pair.chosen, pair.rejected]


def _texts_of_tasks(rows: Rows, some: Indices) -> dict[str, list[int]]:
    """The texts of each task among some rows, by their numbers; in an order that is not the rows'."""
    found = {(rows.rows[row].task, rows.texts[rows.rows[row].text], rows.rows[row].text) for row in some}
    texts = defaultdict[str, list[int]](list)
    for task, _, text in sorted(found):
        texts[task].append(text)
    return texts


def _wrong_texts(views: Views, row: int, texts: dict[str, list[int]], rng: np.random.Generator) -> list[int]:
    """One text of each other task, of MAX_TEXTS - 1 at most; none that says nearly the same as the row's own."""
    mine, wrong = views.rows.rows[row], list[int]()
    tasks = [task for task in texts if task != mine.task]
    for i in rng.permutation(len(tasks)):
        if len(wrong) == MAX_TEXTS - 1:
            break
        for text in rng.permutation(texts[tasks[i]]):
            if views.rows.similarity(mine.text, text) < views.max_text_similarity:
                wrong.append(int(text))
                break
    return wrong


def _measure(questions: Sequence[Question], verdicts: Sequence[Verdict]) -> dict[str, float]:
    """The metrics, by what a judge said about the questions' views in turn."""
    values, following = defaultdict[str, list[float]](list), iter(verdicts)
    guessed: list[NDArray[np.bool_]] = []
    done: list[NDArray[np.float32]] = []
    for kind, group in questions:
        said = [next(following) for _ in group]
        view, verdict = group[0], said[0]
        match kind:
            case "whole":
                values["voc"].append(spearman(verdict.progress, view.frames))
                values["pearson"].append(pearson(verdict.progress, view.progress))
                if len(said) > 1:
                    wrong = float(np.mean([other.progress.mean() for other in said[1:]]))
                    values["text_gap"].append(float(verdict.progress.mean()) - wrong)
                    values["task_top1"].append(top_1([each.preference for each in said], 0))
                guessed += [each.success for each in said]
                done += [each.success for each in group]
            case "stretch":
                values["mae"].append(float(np.abs(verdict.progress - view.progress).mean()))
            case "preference":
                values["preference"].append(wins(said[0].preference, said[1].preference))
            case "rewound" | "shuffled":
                values[kind].append(spearman(verdict.progress, view.progress))
    if done:
        values["success"].append(balanced_accuracy(np.concatenate(guessed), np.concatenate(done)))
    return {name: float(np.mean(each)) for name, each in values.items()}


def table(results: dict[str, dict[str, Result]]) -> list[str]:
    """Lines for people: each metric of each split, the model's value and the frame counter's."""
    lines = [f"{'':12}" + "".join(f"{split:>28}" for split in results)]
    lines.append(f"{'':12}" + f"{'model':>16}{'counter':>12}" * len(results))
    for name in METRICS:
        cells = (f"{result[name].value:16.3f}{result[name].baseline:12.3f}" for result in results.values())
        lines.append(f"{name:12}" + "".join(cells))
    return [line.replace("nan", "  -") for line in lines]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
