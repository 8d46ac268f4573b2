"""conversion.json: how a dataset was made, what its columns mean, what is in it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from dataset_upload.about import About
from dataset_upload.formats import description as descriptions
from dataset_upload.formats.rfm.layout import CONVERSION
from dataset_upload.formats.rfm.schema import VERSION
from dataset_upload.ledger import Ledger
from dataset_upload.storage.whole_file import write_whole


def describe(
    name: str,
    *,
    source: dict[str, Any],
    about: About,
    ledger: Ledger,
    rows_digest: str,
    action_statistics: dict[str, Any],
) -> dict[str, Any]:
    """What `conversion.json` says: as `formats.description`, with the statistics of each action column."""
    own = {"schema_version": VERSION, "action_statistics": action_statistics}
    return descriptions.describe(
        name, "rfm", source=source, about=about, ledger=ledger, rows_digest=rows_digest, own=own
    )


def read(folder: Path) -> dict[str, Any] | None:
    """The `conversion.json` of a dataset's folder; None where there is none, or it is not what it should be."""
    try:
        content = (folder / CONVERSION).read_bytes()
    except OSError:
        return None
    return parse(content, folder.name)


def parse(content: bytes, name: str) -> dict[str, Any] | None:
    """What the `conversion.json` of a dataset says; None where it is damaged, another's, or not as it should be."""
    try:
        description = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if isinstance(description, dict):
        description = {**_before_0_2(), **description}
    is_right = descriptions.is_like(description, _READ) and description["dataset_name"] == name
    return description if is_right else None


about = descriptions.about


@cache
def _before_0_2() -> dict[str, Any]:
    """What datasets that were made before 0.2 do not say: there was one format, and one source."""
    before: dict[str, Any] = json.loads(Path(__file__).with_name("before_0_2.json").read_text(encoding="utf-8"))
    return before


# What is read of a description, and its types: whoever has one may rely on these.
_READ = {
    **descriptions.READ,
    "schema_version": int,
    "settings": {"max_frames": int, "use_video": bool, "fps": int},
    "action_frame": str,
    "action_rotation": str,
    "action_statistics": dict,
}


def write(folder: Path, description: dict[str, Any]) -> None:
    write_whole(folder / CONVERSION, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
