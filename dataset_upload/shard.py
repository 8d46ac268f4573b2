"""A share of a run, for machines that each do one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_MOST = 1_000_000


@dataclass(frozen=True)
class Shard:
    """Share `index` of `count`: the episodes whose clip number leaves that remainder."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `3/8`. Raises ValueError: why it is none."""
        found = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text)
        if found is None:
            raise ValueError("must be like 0/8, the first of eight")
        index, count = map(int, found.groups())
        if not index < count <= _MOST:
            raise ValueError(f"must be from 0/{count} to {count - 1}/{count}" if count else "must be like 0/8")
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def file_name(self) -> str:
        """`3-of-8`."""
        return f"{self.index}-of-{self.count}"

    def has(self, number: int) -> bool:
        """Whether the piece of this number is of this share."""
        return number % self.count == self.index


def as_ranges(numbers: Iterable[int]) -> str:
    """Numbers as a Slurm array takes them: `1,4-6`."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)
