"""Of what the columns of a representation consist, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

# A position; a rotation by one of the conventions of `rotations`; any other number.
Kind = Literal["xyz", "rot6d_columns", "rot6d_rows", "euler_zyx", "number"]

# What is added to a part's name, column by column. `r21` is the entry of the matrix in row 2, column 1, from 0.
_ENDINGS: dict[Kind, tuple[str, ...]] = {
    "xyz": ("_x", "_y", "_z"),
    "rot6d_columns": ("_r00", "_r10", "_r20", "_r01", "_r11", "_r21"),
    "rot6d_rows": ("_r00", "_r01", "_r02", "_r10", "_r11", "_r12"),
    "euler_zyx": ("_yaw", "_pitch", "_roll"),
    "number": ("",),
}
WIDTHS: dict[Kind, int] = {kind: len(endings) for kind, endings in _ENDINGS.items()}


class Part(NamedTuple):
    """Neighbouring columns that mean one thing: `Part("leftHand", "xyz")`."""

    name: str
    kind: Kind


def column_names(parts: Sequence[Part]) -> tuple[str, ...]:
    """The names of the columns: `leftHand_x`, `leftHand_y`, `leftHand_z`, `leftHand_r00`, …"""
    return tuple(part.name + ending for part in parts for ending in _ENDINGS[part.kind])


def pose_parts(name: str, rotation: Kind) -> tuple[Part, Part]:
    """The parts of a pose: its position, then its rotation."""
    return Part(name, "xyz"), Part(name, rotation)


def position_parts(names: Sequence[str]) -> tuple[Part, ...]:
    """The parts of several positions."""
    return tuple(Part(name, "xyz") for name in names)
