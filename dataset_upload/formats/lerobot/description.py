"""meta/provenance.json: how a dataset was made, of what, and which files make it up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dataset_upload.formats.description import READ, is_like
from dataset_upload.formats.lerobot.layout import CONVERSION

_READ = {**READ, "settings": {"version": str, "fps": int}, "files": dict, "state_names": [str]}


def read(folder: Path) -> dict[str, Any] | None:
    """What the description in a dataset's folder says; None where there is none, or it is not what it should be."""
    try:
        return parse((folder / CONVERSION).read_bytes())
    except OSError:
        return None


def parse(content: bytes) -> dict[str, Any] | None:
    """What a description says; None where it is damaged, or another's. The folder of a repo may have any name."""
    try:
        description = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return description if is_like(description, _READ) and description.get("format") == "lerobot" else None


def text(description: dict[str, Any]) -> str:
    """As the file has it."""
    return json.dumps(description, indent=2, ensure_ascii=False) + "\n"
