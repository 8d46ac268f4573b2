"""Names in the order that people count in."""

from __future__ import annotations

import re


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """A sort key that puts `2` before `10` and `task2/1` before `task10/0`."""
    pieces = re.findall(r"/|\d+|[^\d/]+", name)
    return [(1, int(piece), piece) if piece.isdecimal() else (0 if piece == "/" else 2, 0, piece) for piece in pieces]
