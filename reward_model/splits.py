"""Which rows are learned from, which are kept for evaluation.

splits = split_rows(rows, held_out_sessions=0.1, held_out_tasks=0.1)
seen = SeenRows.of(rows, checksums, splits)  # what a checkpoint keeps of them
seen.label(other_rows, other_checksums)["never seen"]  # rows that training knew nothing of
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reward_model.data import Rows
from reward_model.samples import Indices

logger = logging.getLogger("reward_model")

SIDES = LEARNED, HELD_OUT_EPISODES, HELD_OUT_TASKS = "train", "held-out episodes", "held-out tasks"
NEVER_SEEN = "never seen"


class Splits(NamedTuple):
    """Row numbers: to train on, of held-out sessions of the same tasks, of held-out tasks."""

    train: Indices
    held_out_episodes: Indices
    held_out_tasks: Indices

    def by_name(self) -> dict[str, Indices]:
        """Row numbers of each of SIDES."""
        return dict(zip(SIDES, self, strict=True))


def split_rows(rows: Rows, *, held_out_sessions: float, held_out_tasks: float) -> Splits:
    """Hold out whole sessions and whole tasks, each whose name's hash is below the share.

    So no session is on both sides, and an episode stays on its side when the dataset grows. The exception: where a
    share is not 0 but so small that no hash is below it, the name with the lowest is held out, if there are three at
    least. Growth may bring a lower one; the log says where this is so.

    Args:
        rows: to split.
        held_out_sessions: share of the sessions, 0 to 1.
        held_out_tasks: share of the tasks, 0 to 1.
    """
    tasks = _hold_out("task", {row.task for row in rows.rows}, held_out_tasks)
    sessions = _hold_out("session", {row.session for row in rows.rows if row.task not in tasks}, held_out_sessions)
    side = [2 if row.task in tasks else 1 if row.session in sessions else 0 for row in rows.rows]
    splits = Splits(*(np.flatnonzero(np.array(side) == number) for number in range(3)))
    logger.info(
        f"Train on {len(splits.train)} trajectories; held out: {len(splits.held_out_episodes)} of "
        f"{len(sessions)} session(s), {len(splits.held_out_tasks)} of {len(tasks)} whole task(s)"
        + "".join(f", {task}" for task in sorted(tasks)[:5])
    )
    return splits


def _hold_out(kind: str, names: set[str], share: float) -> set[str]:
    def position(name: str) -> float:
        return _digest(f"{kind}:{name}") / 2**64

    held_out = {name for name in names if position(name) < share}
    if share > 0 and not held_out and len(names) >= 3:
        held_out = {min(names, key=position)}
        logger.info(
            f"--dataset.held_out_{kind}s: {share:g} of {len(names)} {kind}s is none by their hashes, so one is held "
            "out; in a dataset that has grown it may be another"
        )
    return held_out


@dataclass(frozen=True)
class SeenRows:
    """The rows of a training run.

    A row is known by its id or its clip: another conversion of an episode has the same id and another clip, a copy in
    another dataset the same clip and another id.

    Attributes:
        ids, clips, sessions: (N,) uint64, digests of each row's id, of its clip's checksum, of its session's name.
        sides: (N,) uint8, its number in SIDES.
    """

    ids: NDArray[np.uint64]
    clips: NDArray[np.uint64]
    sessions: NDArray[np.uint64]
    sides: NDArray[np.uint8]

    @classmethod
    def of(cls, rows: Rows, checksums: Sequence[str], splits: Splits) -> SeenRows:
        """Those of a run on `rows`, whose clips have these checksums, split so."""
        sides = np.zeros(len(rows), np.uint8)
        for number, indices in enumerate(splits):
            sides[indices] = number
        return cls(*_digests_of(rows, checksums), sides)

    def label(self, rows: Rows, checksums: Sequence[str]) -> dict[str, Indices]:
        """Row numbers by what the rows were to the run: each of SIDES, and NEVER_SEEN."""
        ids, clips, sessions = _digests_of(rows, checksums)
        sides = np.full(len(rows), len(SIDES))
        for number in reversed(range(len(SIDES))):  # what was learned under any id or clip was learned
            known = self.sides == number
            sides[np.isin(ids, self.ids[known]) | np.isin(clips, self.clips[known])] = number
        labels = {name: np.flatnonzero(sides == number) for number, name in enumerate((*SIDES, NEVER_SEEN))}
        related = np.isin(sessions[labels[NEVER_SEEN]], self.sessions[self.sides == 0]).sum()
        logger.info(
            f"Of {len(rows)} trajectories this checkpoint has learned from {len(labels[LEARNED])}, held out "
            f"{len(labels[HELD_OUT_EPISODES]) + len(labels[HELD_OUT_TASKS])}, and never seen {len(labels[NEVER_SEEN])}"
            + (f", {related} of them of sessions that it learned from" if related else "")
        )
        return labels


class _Digests(NamedTuple):
    ids: NDArray[np.uint64]
    clips: NDArray[np.uint64]
    sessions: NDArray[np.uint64]


def _digests_of(rows: Rows, checksums: Sequence[str]) -> _Digests:
    texts = [row.id for row in rows.rows], checksums, [row.session for row in rows.rows]
    return _Digests(*(np.array([_digest(text) for text in each], np.uint64) for each in texts))


def _digest(text: str) -> int:
    """64 bits: among a million texts two are alike with a chance of 1 in 40 million."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
