"""The first line of a ledger: what its rows are made of and with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dataset_upload.errors import UsageError

# Of this file and of the tables that it tells of. Those of 1 have fewer columns; those of 2 have rows in another order,
# and become 3 as they are opened.
FORMAT, FORMAT_OF_ANOTHER_ORDER = 3, 2


class Origin(NamedTuple):
    """What rows are made of and with; a ledger tells it in its first line.

    Attributes:
        settings: what decides the bytes of the result, by the names of the options.
        defaults: what a setting is where the ledger lacks it, because the option came later.
        part: the only part of the source that episodes come from; None where their keys carry their part.
    """

    settings: dict[str, Any]
    defaults: Mapping[str, Any] = {}
    part: str | None = None


def check_header(path: Path, settings: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Look at a ledger's first line, if there is one.

    Raises:
        UsageError: the ledger's rows were made with other settings, of another part or by another version, or the line
            is damaged.
    """
    if path.exists():
        with path.open("rb") as file:
            first = file.readline()
        if first.endswith(b"\n"):
            check_first_line(path, first, settings, defaults, part=None)


def check_first_line(
    path: Path, line: bytes, settings: dict[str, Any], defaults: Mapping[str, Any], part: str | None
) -> None:
    """Likewise, at a line that was read. Args: settings, defaults, part: as an `Origin`'s."""
    try:
        header = json.loads(line)
        made_by, stored, its_part = header["format"], {**defaults, **header["settings"]}, header.get("part")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path} does not begin with the dataset's settings; restore it from a backup, or "
            "give `overwrite=true` to convert everything again"
        ) from error
    subject = path.parent if path.stem == "ledger" else path  # a shard's is named itself: it can be deleted alone
    if made_by == 1:
        raise UsageError(
            f"{path.parent} was made by an earlier version, whose rows have fewer columns: it can be read, "
            "checked, pushed and trained on as it is, but not added to; give another `dataset_name`, or "
            "`overwrite=true` to convert everything again"
        )
    if made_by not in (FORMAT, FORMAT_OF_ANOTHER_ORDER):
        raise UsageError(
            f"{path} has format {made_by}, this version of dataset_upload writes {FORMAT}; use the version "
            "that wrote it, give `overwrite=true` to replace it, or another `dataset_name`"
        )
    if stored != settings:
        raise UsageError(_difference(subject, stored, settings))
    if None not in (part, its_part) and part != its_part:
        raise UsageError(
            f"{subject} was made of the part {its_part}, and this is {part}; give another `dataset_name`, or "
            f"`overwrite=true` to replace it; if this is a copy of {its_part} under another name, give a folder or a "
            f"link that is called {its_part}",
            "dataset_path",
        )


def _difference(subject: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> str:
    differences = ", ".join(
        f"`{name}={json.dumps(stored.get(name))}` there, {json.dumps(wanted.get(name))} now"
        for name in sorted({*stored, *wanted})
        if stored.get(name) != wanted.get(name)
    )
    return (
        f"{subject} was made with other settings ({differences}); give `overwrite=true` to replace it, "
        "or another `dataset_name`"
    )
