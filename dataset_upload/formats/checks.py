"""What holds for every sound dataset of a format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

# A check yields a line for each thing that is wrong. The first line of its docstring says what holds if it passes.
Check = Callable[[Any], Iterator[str]]


class Checks(NamedTuple):
    """The checks of a format.

    Attributes:
        of_dataset: take a dataset.
        of_trajectory: take what `case` makes of a trajectory, so that all of them share what takes long.
        case: of a dataset and one of its trajectories.
        need_ledger: names of those that a copy from the Hub, which has no ledger, cannot pass.
    """

    of_dataset: tuple[Check, ...]
    of_trajectory: tuple[Check, ...]
    case: Callable[[Any, Any], Any]
    need_ledger: frozenset[str]
