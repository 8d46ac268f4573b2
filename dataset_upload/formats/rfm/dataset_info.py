"""conversion.json: how a dataset was made, what its columns mean, what is in it."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from dataset_upload import __version__
from dataset_upload.formats.rfm.tables import SCHEMA_VERSION
from dataset_upload.ledger import DONE, FAILED, SKIPPED, Ledger
from dataset_upload.storage.whole_file import write_whole

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
            "drawn": sum(entry.drawn is True for entry in done),
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
    """The `conversion.json` of a dataset's folder; None where there is none, or it is not what it should be."""
    try:
        content = (folder / FILE_NAME).read_bytes()
    except OSError:
        return None
    return parse(content, folder.name)


def parse(content: bytes, name: str) -> dict[str, Any] | None:
    """What the `conversion.json` of a dataset says; None where it is damaged, another's, or not as it should be."""
    try:
        description = json.loads(content)
    except (ValueError, RecursionError):
        return None
    is_right = _is_like(description, _READ) and description["dataset_name"] == name
    return description if is_right else None


# What is read of a description, and its types: whoever has one may rely on these.
_READ = {
    "dataset_name": str,
    "schema_version": int,
    "settings": {"max_frames": int, "use_video": bool, "fps": int},
    "counts": {DONE: int, SKIPPED: dict, FAILED: dict, "tasks": int},
    "bytes": {"source": int, "clips": int},
    "rows": str,
    "action_names": [str],
    "action_statistics": dict,
    "hand_joints": [str],
}


def _is_like(value: Any, kind: Any) -> bool:
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(name in value and _is_like(value[name], kind[name]) for name in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is_like(each, kind[0]) for each in value)
    return isinstance(value, kind)


def write(folder: Path, description: dict[str, Any]) -> None:
    write_whole(folder / FILE_NAME, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
