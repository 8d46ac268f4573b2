"""What a dataset is made of: what its card says of the source, and the columns that only this source has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

ColumnType = Literal["bool", "int32", "float64", "string", "list<string>"]


class Column(NamedTuple):
    """One column of a table, which may be null.

    Attributes:
        name: as in the table.
        type: of a value.
        meaning: for people, with units. Columns that stand together and have the same meaning are explained together.
    """

    name: str
    type: ColumnType
    meaning: str


def columns(meaning: str, **types: ColumnType) -> list[Column]:
    """Columns that are explained together: `columns("who; where", collector="string", environment="string")`."""
    return [Column(name, type, meaning) for name, type in types.items()]


@dataclass(frozen=True)
class About:
    """A source of episodes, for the card of what is made of it.

    Attributes:
        name: of the source: "EgoDex".
        url: where it is described.
        summary: what its episodes show, the beginning of a sentence: "First-person manipulation clips with …".
        licence: its identifier on the Hub, as "cc-by-nc-nd-4.0".
        licence_note: what the licence means for a dataset made of it, one sentence.
        tags: for the Hub's search.
        citation: BibTeX; empty where there is nothing to cite.
        columns: what its annotations say of an episode.
        hand_joints: the names of a hand's points, in order; none where its trajectories have no hands.
        publishing_forbidden: why what is made of it must not be public, in half a sentence; None: it may be.
        fps: frames a second of all its videos; None: they differ, or nobody knows.
        actions: what an action's numbers are, with units and frame of reference; empty: metres in the world frame.
    """

    name: str
    url: str
    summary: str
    licence: str
    licence_note: str
    tags: tuple[str, ...] = ()
    citation: str = ""
    columns: tuple[Column, ...] = ()
    hand_joints: tuple[str, ...] = ()
    publishing_forbidden: str | None = None
    fps: int | None = None
    actions: str = ""
