"""What a report's page knows of every trajectory, so that it searches and sorts all: columns, some 50 bytes a row."""

from __future__ import annotations

import base64
import re
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_upload.visualization.report_part import Fact, write_script

ROWS_PER_FILE = 32_768
_NO_NUMBER = 2**32 - 1

# A source's last number is stored as one, where that gives the same text back.
_NUMBERED = re.compile(r"(.*?)(0|[1-9]\d{0,8})", re.DOTALL | re.ASCII)

# Of each column that the page gets: how the page names it, and NumPy its type.
_PAGE_COLUMNS = {
    "number": "<u4",
    "task": "<u4",  # which text
    "folder": "<u4",
    "prefix": "<u4",  # of the source, which its suffix follows
    "suffix": "<u4",
    "remarks": "<u2",  # which set of them
    "seconds": "<f4",
    "clipBytes": "<u4",
    "convertSeconds": "<f4",
    "path": "<f4",
    "topSpeed": "<f4",
    "leastInFrame": "<f4",
    "confidence": "<f4",
}
_OVERVIEW_COLUMNS = {"meanInFrame": "<f4", "radius": "<f4"}  # which the page does not need again


class Texts:
    """Texts by number, in the order of their first appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []

    def number(self, text: str) -> int:
        """The number of a text."""
        number = self._numbers.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number

    def text(self, number: int) -> str:
        """The text of a number."""
        return self._texts[number]

    def after(self, count: int) -> list[str]:
        """All but the first `count` ones."""
        return self._texts[count:]

    def __len__(self) -> int:
        return len(self._texts)


class Columns:
    """The columns of all trajectories, written to `columns_….js` while they grow.

    Attributes:
        num_files: that have been written.
        num_rows: that were added.
        some_have_hands: whether any trajectory has hands.
        texts: by the name of the column that holds their numbers.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` for the files."""
        self.num_files = 0
        self.num_rows = 0
        self.some_have_hands = False
        self.texts = {name: Texts() for name in ("task", "folder", "prefix", "remarks")}
        self._folder = folder
        self._columns: dict[str, Any] = {
            name: array(_code(kind)) for name, kind in (_PAGE_COLUMNS | _OVERVIEW_COLUMNS).items()
        }
        self._num_written = 0
        self._num_texts_written = dict.fromkeys(self.texts, 0)

    def add(self, fact: Fact) -> None:
        """Take in a trajectory. Raises StoppedError where nothing can be written."""
        numbered = _NUMBERED.fullmatch(fact.source)
        values: dict[str, Any] = {
            "number": fact.number,
            "task": self.texts["task"].number(fact.task),
            "folder": self.texts["folder"].number(fact.folder),
            "prefix": self.texts["prefix"].number(numbered[1] if numbered else fact.source),
            "suffix": int(numbered[2]) if numbered else _NO_NUMBER,
            "remarks": self.texts["remarks"].number("\n".join(fact.remarks)),
            "seconds": fact.seconds,
            "clipBytes": min(fact.clip_bytes, 2**32 - 1),
            "convertSeconds": fact.convert_seconds,
            "path": fact.path,
            "topSpeed": fact.top_speed,
            "leastInFrame": fact.least_in_frame,
            "confidence": fact.confidence,
            "meanInFrame": fact.mean_in_frame,
            "radius": fact.radius,
        }
        for name, value in values.items():
            self._columns[name].append(value)
        self.num_rows += 1
        self.some_have_hands |= fact.has_hands
        if self.num_rows - self._num_written == ROWS_PER_FILE:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are in no file yet."""
        if self.num_rows == self._num_written:
            return
        content: dict[str, Any] = {"rows": self.num_rows - self._num_written}
        for name, kind in _PAGE_COLUMNS.items():
            values = np.array(self._columns[name][self._num_written :], kind)
            content[name] = base64.b64encode(values.tobytes()).decode()
        content["texts"] = {name: texts.after(self._num_texts_written[name]) for name, texts in self.texts.items()}
        write_script(self._folder, "columns", self.num_files, content)
        self._num_texts_written = {name: len(texts) for name, texts in self.texts.items()}
        self._num_written = self.num_rows
        self.num_files += 1

    def named(self, row: int) -> dict[str, Any]:
        """How the page names a trajectory that it knows nothing else of."""
        prefix, suffix = (self._columns[name][row] for name in ("prefix", "suffix"))
        source = self.texts["prefix"].text(prefix) + ("" if suffix == _NO_NUMBER else str(suffix))
        text = self.texts["task"].text(self._columns["task"][row])
        return {"number": self._columns["number"][row], "source": source, "text": text}

    def column(self, name: str) -> NDArray[Any]:
        """A column of all rows."""
        return np.array(self._columns[name])


def _code(kind: str) -> str:
    """The letter by which `array` knows a type of NumPy."""
    return np.dtype(kind).char if kind != "<u4" else "I"
