"""What one step learns from: pairs of views of clips, of which one shows more of its task done than the other.

A view is a text beside some frames in some order, with the progress that each of these frames shows. The chosen view
of a pair is a stretch of a clip beside its own text: as it was filmed, with a detour backwards, or in random order but
for its last frame. The rejected one is made from the same stretch in one of five ways:

    earlier      the same stretch, but it stops sooner
    rewound      the same stretch, but then it runs backwards for a while
    reversed     the same stretch backwards
    other video  a stretch of another task's clip: no progress
    other text   the same stretch beside another task's text: no progress

Progress is where in its clip a frame stands, from 0 to 1. Views begin anywhere, turn back, and are out of order, so
that they cannot be judged by counting. Both views are for learning progress and success, the pair for learning the
preference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from reward_model.data import Rows
from reward_model.features import Features

SUCCESS_FROM = 0.95  # progress from which a successful clip's frame shows success
SAME_VIDEO_WAYS = ("earlier", "rewound", "reversed")
OTHER_TASK_WAYS = ("other video", "other text")
TRIES = 32  # to find another task

Indices = NDArray[np.int64]


class View(NamedTuple):
    """A text beside frames of a clip.

    Attributes:
        row: whose clip it is.
        text: number of the text in Rows.texts.
        frames: (n,) which of the clip's frames, in the order seen.
        progress: (n,) float32 in 0..1, all 0 where text and clip do not belong together.
        success: (n,) float32, 1 where the task is done.
        noise: seed of the noise on its features; None: no noise.
    """

    row: int
    text: int
    frames: Indices
    progress: NDArray[np.float32]
    success: NDArray[np.float32]
    noise: int | None = None


class Pair(NamedTuple):
    """Two views; the chosen one shows more progress in its text's task."""

    chosen: View
    rejected: View
    way: str


# Views -----------------------------------------------------------------------------------------------------


def thin(path: Indices, count: int) -> Indices:
    """At most `count` of a path's frames, evenly spaced, with the first and the last."""
    count = min(count, len(path))
    thinned: Indices = path[np.linspace(0, len(path) - 1, count).round().astype(np.int64)]
    return thinned


def there_and_back(start: int, turn: int, end: int) -> Indices:
    """Forwards from `start` to `turn`, then backwards to `end`."""
    return np.concatenate([np.arange(start, turn + 1), np.arange(turn - 1, end - 1, -1)])


def detour(start: int, turn: int, back: int, end: int) -> Indices:
    """Forwards from `start` to `turn`, backwards to `back`, forwards to `end`."""
    return np.concatenate([there_and_back(start, turn, back), np.arange(back + 1, end + 1)])


@dataclass(frozen=True)
class Views:
    """Makes views of the rows, which know their progress."""

    rows: Rows
    features: Features
    max_frames: int
    max_text_similarity: float

    def num_frames(self, row: int) -> int:
        return len(self.features[row])

    def view(self, row: int, frames: Indices, text: int | None = None, noise: int | None = None) -> View:
        """Frames of a row's clip beside its own text, or beside another task's."""
        own = text is None
        progress = (frames / max(self.num_frames(row) - 1, 1) * own).astype(np.float32)
        success = (progress >= SUCCESS_FROM) & self.rows.rows[row].successful
        text = self.rows.rows[row].text if text is None else text
        return View(row, text, frames, progress, success.astype(np.float32), noise)

    def other_task(self, row: int, among: Indices, rng: np.random.Generator) -> int | None:
        """A row of another task whose text says something else, too; None where there seems to be none."""
        mine = self.rows.rows[row]
        for other in among[rng.integers(len(among), size=TRIES)]:
            theirs = self.rows.rows[other]
            if theirs.task != mine.task and self.rows.similarity(mine.text, theirs.text) < self.max_text_similarity:
                return int(other)
        return None

    def stretch(self, row: int, rng: np.random.Generator) -> tuple[int, int]:
        """First and last frame: of half the views the clip's own, of the others anywhere; a quarter of it at least."""
        last = self.num_frames(row) - 1
        shortest = min(last, max(1, last // 4))
        start = 0 if rng.random() < 0.5 else int(rng.integers(0, last - shortest + 1))
        end = last if rng.random() < 0.5 else int(rng.integers(start + shortest, last + 1))
        return start, end

    def pair(self, row: int, among: Indices, rng: np.random.Generator, *, noise: bool = False) -> Pair:
        """A pair about a row; videos and texts of other tasks come from the rows `among`."""
        start, end = self.stretch(row, rng)
        other = self.other_task(row, among, rng)
        ways = SAME_VIDEO_WAYS if other is None else SAME_VIDEO_WAYS + OTHER_TASK_WAYS
        way = ways[rng.integers(len(ways))]
        count = int(rng.integers(min(4, self.max_frames), self.max_frames + 1))
        seeds = [int(seed) for seed in rng.integers(2**31, size=2)]
        noises = seeds if noise else [None, None]
        forwards = thin(np.arange(start, end + 1), count)
        match rng.integers(3):
            case 0:
                path = forwards
            case 1:
                back, turn = sorted(rng.integers(start, end + 1, size=2))
                path = thin(detour(start, turn, back, end), count)
            case _:
                path = np.append(rng.permutation(forwards[:-1]), forwards[-1])
        chosen = self.view(row, path, noise=noises[0])

        before = int(rng.integers(start, end)) if end > start else start
        match way:
            case "earlier":
                rejected = self.view(row, thin(np.arange(start, before + 1), count), noise=noises[1])
            case "rewound":
                rejected = self.view(row, thin(there_and_back(start, end, before), count), noise=noises[1])
            case "reversed":
                rejected = self.view(row, forwards[::-1], noise=noises[1])
            case "other video":
                assert other is not None
                first, last = self.stretch(other, rng)
                frames = thin(np.arange(first, last + 1), count)
                rejected = self.view(other, frames, self.rows.rows[row].text, noises[1])
            case _:
                assert other is not None
                rejected = self.view(row, forwards, self.rows.rows[other].text, noises[1])
        return Pair(chosen, rejected, way)


# The training set --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingPairs:
    """The endless sequence of training pairs; each is a pure function of the seed and its place in the sequence."""

    views: Views
    train: Indices  # row numbers
    seed: int

    def __getitem__(self, place: int) -> Pair:
        """The pair at a place: each epoch goes once through all rows, in an order of its own."""
        epoch, index = divmod(place, len(self.train))
        row = _order(self.seed, epoch, len(self.train))[index]
        rng = np.random.default_rng([self.seed, epoch, index, 1])
        return self.views.pair(int(self.train[row]), self.train, rng, noise=True)

    def batch(self, step: int, batch_size: int, rank: int = 0, ranks: int = 1) -> list[Pair]:
        """A rank's share of the pairs of a step, counted from 0."""
        first = step * batch_size
        return [self[first + i] for i in range(rank * batch_size // ranks, (rank + 1) * batch_size // ranks)]


@lru_cache(2)
def _order(seed: int, epoch: int, count: int) -> Indices:
    return np.random.default_rng([seed, epoch]).permutation(count)


# Batches ---------------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """B views as the model takes them, padded at the end to T frames.

    Attributes:
        texts: (B, 384) float32.
        frames: (B, T, D) float32, 0 where padded.
        lengths: (B,) int64, how many frames are real.
        progress, success: (B, T) float32, 0 where padded.
    """

    texts: torch.Tensor
    frames: torch.Tensor
    lengths: torch.Tensor
    progress: torch.Tensor
    success: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    @property
    def real(self) -> torch.Tensor:
        """(B, T) bool: which frames are not padding."""
        return torch.arange(self.frames.shape[1], device=self.lengths.device) < self.lengths[:, None]


def collate(views: Sequence[View], rows: Rows, features: Features, noise: NDArray[np.float32] | None = None) -> Batch:
    """A batch of views; `noise` is the standard deviation, (D,), of the noise on features."""
    count, longest = len(views), max(len(view.frames) for view in views)
    frames = np.zeros((count, longest, features.dim), np.float32)
    progress, success = np.zeros((2, count, longest), np.float32)
    for i, view in enumerate(views):
        n = len(view.frames)
        seen = features[view.row][view.frames].astype(np.float32)
        if noise is not None and view.noise is not None:
            seen += noise * np.random.default_rng(view.noise).standard_normal(seen.shape, np.float32)
        frames[i, :n], progress[i, :n], success[i, :n] = seen, view.progress, view.success
    return Batch(
        texts=torch.from_numpy(rows.vectors[[view.text for view in views]]),
        frames=torch.from_numpy(frames),
        lengths=torch.tensor([len(view.frames) for view in views]),
        progress=torch.from_numpy(progress),
        success=torch.from_numpy(success),
    )
