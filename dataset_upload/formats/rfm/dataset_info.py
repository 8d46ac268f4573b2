"""conversion.json: how a dataset was made, what its columns mean, what is in it."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

from dataset_upload import __version__
from dataset_upload.about import About, Column, ColumnType
from dataset_upload.actions import Representation
from dataset_upload.formats.rfm.layout import CONVERSION
from dataset_upload.formats.rfm.schema import VERSION
from dataset_upload.ledger import DONE, FAILED, SKIPPED, Ledger
from dataset_upload.storage.whole_file import write_whole

_LIBRARIES = ("av", "h5py", "numpy", "pyarrow", "tokenizers")


def describe(
    name: str,
    *,
    source: dict[str, Any],
    about: About,
    ledger: Ledger,
    rows_digest: str,
    action_statistics: dict[str, Any],
) -> dict[str, Any]:
    """What `conversion.json` says; the same for the same rows and libraries, wherever and however often it is made.

    Args:
        name: the dataset's.
        source: `loader`, the loader's name; `settings`, what decides the bytes of rows; `representation`, of actions.
        about: what the loader declares.
        ledger: what was done, skipped, failed.
        rows_digest: the fingerprint of what was done.
        action_statistics: of each action column.
    """
    done = list(ledger.with_status(DONE))
    actions: Representation = source["representation"]
    # Of actions that the loader gives, `about` tells what they are.
    meaning = {"action_frame": actions.action_frame, "action_rotation": actions.rotation} if actions.needs else {}
    return {
        "dataset_name": name,
        "format": "rfm",
        "schema_version": VERSION,
        "loader": source["loader"],
        "settings": source["settings"],
        "counts": {
            DONE: len(done),
            "drawn": sum(entry.drawn is True for entry in done),
            SKIPPED: dict(sorted(ledger.count_reasons(SKIPPED).items())),
            FAILED: dict(sorted(ledger.count_reasons(FAILED).items())),
            "tasks": len({entry.task_name for entry in done}),
        },
        "bytes": {
            "source": sum(entry.source_bytes for entry in done),
            "clips": sum(entry.clip_bytes or 0 for entry in done),
        },
        "rows": rows_digest,
        "clip_cpus": sorted({entry.clip_cpu for entry in done if entry.clip_cpu is not None}),
        "action_names": list(actions.action_names),
        **meaning,
        "action_statistics": action_statistics,
        "hand_joints": list(about.hand_joints),
        "about": about_as_json(about),
        "versions": {
            "dataset_upload": __version__,
            "python": platform.python_version(),
            **{library: metadata.version(library) for library in _LIBRARIES},
        },
    }


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
    is_right = _is_like(description, _READ) and description["dataset_name"] == name
    return description if is_right else None


def about(description: dict[str, Any]) -> About:
    """What a description says of the source."""
    stored = description["about"]
    return About(
        **{name: stored[name] for name in (*_TEXTS, "publishing_forbidden")},
        actions=stored.get("actions", ""),
        tags=tuple(stored["tags"]),
        columns=tuple(Column(column["name"], column["type"], column["meaning"]) for column in stored["columns"]),
        hand_joints=tuple(description["hand_joints"]),
    )


def about_as_json(about: About) -> dict[str, Any]:
    """A source as a description has it, but for its joints."""
    fields = {name: value for name, value in asdict(about).items() if name != "hand_joints"}
    if not about.actions:
        del fields["actions"]  # which datasets that were made before this was said have not either
    return {**fields, "columns": [column._asdict() for column in about.columns]}


@cache
def _before_0_2() -> dict[str, Any]:
    """What datasets that were made before 0.2 do not say: there was one format, and one source."""
    before: dict[str, Any] = json.loads(Path(__file__).with_name("before_0_2.json").read_text(encoding="utf-8"))
    return before


_TEXTS = ("name", "url", "summary", "licence", "licence_note", "citation")

# What is read of a description, and its types: whoever has one may rely on these.
_READ = {
    "dataset_name": str,
    "schema_version": int,
    "settings": {"max_frames": int, "use_video": bool, "fps": int},
    "counts": {DONE: int, SKIPPED: dict, FAILED: dict, "tasks": int},
    "bytes": {"source": int, "clips": int},
    "rows": str,
    "action_names": [str],
    "action_frame": str,
    "action_rotation": str,
    "action_statistics": dict,
    "hand_joints": [str],
    "loader": str,
    "about": {
        **dict.fromkeys(_TEXTS, str),
        "tags": [str],
        "columns": [{"name": str, "type": get_args(ColumnType), "meaning": str}],
        "publishing_forbidden": (str, type(None)),
    },
}


def _is_like(value: Any, kind: Any) -> bool:
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(name in value and _is_like(value[name], kind[name]) for name in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is_like(each, kind[0]) for each in value)
    if isinstance(kind, tuple) and isinstance(kind[0], str):  # one of these
        return value in kind
    return isinstance(value, kind)


def write(folder: Path, description: dict[str, Any]) -> None:
    write_whole(folder / CONVERSION, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
