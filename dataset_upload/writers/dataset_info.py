"""conversion.json: how a dataset was made, what its columns mean, what is in it."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from dataset_upload import __version__
from dataset_upload.ledger import DONE, FAILED, SKIPPED, Ledger
from dataset_upload.writers.rfm import READABLE_VERSIONS, SCHEMA_VERSION
from dataset_upload.writers.whole_file import write_whole

FILE_NAME = "conversion.json"

_LIBRARIES = ("av", "h5py", "numpy", "pyarrow", "tokenizers")


def describe(
    name: str,
    *,
    settings: dict[str, Any],
    ledger: Ledger,
    rows_digest: str,
    action_names: Sequence[str],
    action_statistics: dict[str, Any],
    hand_joints: Sequence[str],
) -> dict[str, Any]:
    """What `conversion.json` says; the same for the same rows and libraries, wherever and however often it is made."""
    done = list(ledger.with_status(DONE))
    return {
        "dataset_name": name,
        "schema_version": SCHEMA_VERSION,
        "settings": settings,
        "counts": {
            DONE: len(done),
            SKIPPED: dict(sorted(ledger.count_reasons(SKIPPED).items())),
            FAILED: dict(sorted(ledger.count_reasons(FAILED).items())),
            "tasks": len({entry.key.split("/")[-2] for entry in done}),
        },
        "bytes": {
            "source": sum(entry.source_bytes for entry in done),
            "clips": sum(entry.clip_bytes or 0 for entry in done),
        },
        "rows": rows_digest,
        "clip_cpus": sorted({entry.clip_cpu for entry in done if entry.clip_cpu is not None}),
        "action_names": list(action_names),
        "action_statistics": action_statistics,
        "hand_joints": list(hand_joints),
        "versions": {
            "dataset_upload": __version__,
            "python": platform.python_version(),
            **{library: metadata.version(library) for library in _LIBRARIES},
        },
    }


def read(folder: Path) -> dict[str, Any] | None:
    """The `conversion.json` of a dataset's folder; None where there is none that can be read."""
    try:
        description: dict[str, Any] = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return description


def parse(text: str) -> dict[str, Any] | None:
    """What a `conversion.json` that comes from elsewhere says; None where it is not one of ours."""
    try:
        description = json.loads(text)
    except ValueError:
        return None
    is_ours = isinstance(description, dict) and description.get("schema_version") in READABLE_VERSIONS
    return description if is_ours else None


def write(folder: Path, description: dict[str, Any]) -> None:
    write_whole(folder / FILE_NAME, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
