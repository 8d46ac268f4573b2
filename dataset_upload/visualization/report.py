"""The report: a folder with an HTML page about a whole dataset, opened from disk.

`index.html` carries its styles, scripts and what it shows at first. Beside it lies `data/`, scripts that the page asks
for as it needs them, for a page from disk may not fetch:

    columns_00000.js       what search and sort need, of 32,768 trajectories each
    pictures_00000.js      thumbnails of 50 rows each
    clips_00000.js         what the player shows of 50 rows each, or fewer where clips are large
    unconverted_00000.js   1,000 episodes each that have no row, or whose row could not be drawn
"""

from __future__ import annotations

import errno
import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dataset_upload.console.logs import logger
from dataset_upload.console.progress import progress
from dataset_upload.errors import one_line
from dataset_upload.formats.each_trajectory import ROWS_PER_PART, Lost, each_trajectory
from dataset_upload.formats.finished_dataset import FinishedDataset
from dataset_upload.ledger import DONE, FAILED, SKIPPED
from dataset_upload.storage.whole_file import write_whole
from dataset_upload.visualization.report_columns import Columns
from dataset_upload.visualization.report_overview import overview
from dataset_upload.visualization.report_part import DrawPart, Fact, Undrawn, write_script

_PAGE = Path(__file__).parent / "page"
_SCRIPTS = ("files.js", "columns.js", "charts.js", "player.js", "list.js", "report.js")
_DATA = "data"

_CLIP_FILE_BYTES = 3_000_000  # about, before base64: what is read to play one clip
_EPISODES_PER_FILE = 1000

NOT_DRAWN = "not drawn"  # beside the ledger's words for what was not converted


class Report(NamedTuple):
    """A report on disk."""

    page: Path
    num_undrawn: int  # trajectories that could not be drawn; each is named in a warning and on the page


def build_report(dataset: FinishedDataset, folder: Path, *, num_workers: int = -1) -> Report:
    """Write the report of a dataset into a folder, instead of an earlier one; without its page it is not finished.

    Args:
        dataset: to draw.
        folder: for the report.
        num_workers: processes that draw; as `each_trajectory`.

    Raises:
        OSError: conversion.json or a table is missing or damaged.
        StoppedError: nothing can be written.
    """
    description, total = dataset.description, len(dataset)
    if total == 0 and description["counts"][DONE]:
        raise FileNotFoundError(errno.ENOENT, "lacks its rows", str(dataset.folder))
    data = _empty_data(folder)
    per_file = clips_per_file(description)
    facts = each_trajectory(
        DrawPart(data, per_file),
        dataset,
        num_workers=num_workers,
        preload=("dataset_upload.visualization.report_part",),
    )
    undrawn: list[Undrawn] = []
    columns = Columns(data)
    for fact in progress(facts, "Drawing trajectories", total=total):
        if isinstance(fact, Fact):
            columns.add(fact)
            continue
        undrawn.append(Undrawn(fact.source, str(fact.error)) if isinstance(fact, Lost) else fact)
        logger.warning(f"Warning: {one_line(undrawn[-1].source)} cannot be drawn ({undrawn[-1].reason})")
    page = write_page(dataset, folder, columns, undrawn)
    return Report(page, len(undrawn))


def clips_per_file(description: dict[str, Any]) -> int:
    """How many rows' clips are in one file: of the usual clips all of a part, of larger ones fewer."""
    mean = description["bytes"]["clips"] / (description["counts"][DONE] or 1)
    divisors = (number for number in range(ROWS_PER_PART, 1, -1) if ROWS_PER_PART % number == 0)
    return next((number for number in divisors if number * mean <= _CLIP_FILE_BYTES), 1)


def write_page(dataset: FinishedDataset, folder: Path, columns: Columns, undrawn: Sequence[Undrawn] = ()) -> Path:
    """Write what is left when the files of all parts are there; returns the page, which comes last.

    Args:
        dataset: whose ledger tells which episodes were not converted; a copy has only their number by reason.
        folder: of the report.
        columns: of every trajectory that could be drawn.
        undrawn: every other trajectory.
    """
    columns.flush()
    num_listed, episodes = 0, _unconverted(dataset, undrawn)
    for number, some in enumerate(iter(lambda: [*itertools.islice(episodes, _EPISODES_PER_FILE)], [])):
        write_script(folder / _DATA, "unconverted", number, some)
        num_listed += len(some)
    description = dataset.description
    page = folder / "index.html"
    content = {
        "name": dataset.name,
        "settings": description["settings"],
        "actionNames": description["action_names"],
        "counts": {
            **{status: description["counts"][status] for status in (SKIPPED, FAILED)},
            NOT_DRAWN: {"": len(undrawn)} if undrawn else {},
        },
        "bytes": {
            **description["bytes"],
            "tables": sum(table.stat().st_size for table in dataset.table_files()),
        },
        "rowsPerFile": {
            "pictures": ROWS_PER_PART,
            "clips": clips_per_file(description),
            "unconverted": _EPISODES_PER_FILE,
        },
        "unconverted": num_listed,
        **overview(columns),
    }
    write_whole(page, _render(content))
    return page


def _empty_data(folder: Path) -> Path:
    """The folder for the page's files, without those of an earlier report, whose page goes first."""
    page = folder / "index.html"
    if page.exists():
        page.unlink()
        shutil.rmtree(folder / "media", ignore_errors=True)  # of versions before 0.3
    data = folder / _DATA
    if data.exists():
        shutil.rmtree(data)
    data.mkdir(parents=True)
    return data


def _unconverted(dataset: FinishedDataset, undrawn: Iterable[Undrawn]) -> Iterator[tuple[str, str, str | None, str]]:
    """The key, status, reason and message of every episode that the page has no trajectory of."""
    for each in undrawn:
        yield each.source, NOT_DRAWN, None, each.reason
    for entry in dataset.ledger.values():
        if entry.status != DONE:
            yield one_line(entry.key), entry.status, entry.reason, one_line(entry.message or "")


def _render(content: dict[str, Any]) -> str:
    """The page with everything inside."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    parts = {
        "title": one_line(content["name"]).replace("&", "&amp;").replace("<", "&lt;"),
        "style": (_PAGE / "report.css").read_text(encoding="utf-8"),
        "script": "".join((_PAGE / name).read_text(encoding="utf-8") for name in _SCRIPTS),
        "data": text.replace("<", "\\u003c"),  # no text of the dataset ends the script element
    }
    before, *rest = (_PAGE / "report.html").read_text(encoding="utf-8").split("{{")
    filled = [parts[name] + after for name, after in (piece.split("}}", 1) for piece in rest)]
    return before + "".join(filled)
