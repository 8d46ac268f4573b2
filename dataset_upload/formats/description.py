"""What a dataset says of itself: how it was made, of what, how much of it there is; of any format, as JSON."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any, get_args

from dataset_upload import __version__
from dataset_upload.about import About, Column, ColumnType
from dataset_upload.actions import Representation
from dataset_upload.ledger import DONE, FAILED, SKIPPED, Ledger
from dataset_upload.quality.filters import make_rules, yields

_LIBRARIES = ("av", "h5py", "numpy", "pyarrow", "tokenizers")


def describe(
    name: str,
    format_name: str,
    *,
    source: dict[str, Any],
    about: About,
    ledger: Ledger,
    rows_digest: str,
    own: Mapping[str, Any],
) -> dict[str, Any]:
    """What a dataset says; the same for the same rows and libraries, wherever and however often it is made.

    Args:
        name: the dataset's.
        format_name: as `output.format` has it.
        source: `loader`, the loader's name; `settings`, what decides the bytes of rows; `representation`, of actions;
            `filters`, the rules by which episodes were left out.
        about: what the loader declares.
        ledger: what was done, skipped, failed.
        rows_digest: the fingerprint of what was done.
        own: what else the format says.
    """
    done = list(ledger.with_status(DONE))
    actions: Representation = source["representation"]
    # Of actions that the loader gives, `about` tells what they are.
    meaning = {"action_frame": actions.action_frame, "action_rotation": actions.rotation} if actions.needs else {}
    rules = make_rules(source["filters"])
    removals = [asdict(each) for each in yields(rules, (dict(entry.measures) for entry in ledger.entries.values()))]
    return {
        "dataset_name": name,
        "format": format_name,
        "loader": source["loader"],
        "settings": source["settings"],
        "counts": {
            DONE: len(done),
            "drawn": sum(entry.drawn is True for entry in done),
            SKIPPED: dict(sorted(ledger.count_reasons(SKIPPED).items())),
            FAILED: dict(sorted(ledger.count_reasons(FAILED).items())),
            "tasks": len({entry.task_name for entry in done}),
        },
        **({"filters": removals} if rules else {}),
        "bytes": {
            "source": sum(entry.source_bytes for entry in done),
            "clips": sum(entry.clip_bytes or 0 for entry in done),
        },
        "rows": rows_digest,
        "clip_cpus": sorted({entry.clip_cpu for entry in done if entry.clip_cpu is not None}),
        "action_names": list(actions.action_names),
        **meaning,
        **own,
        "hand_joints": list(about.hand_joints),
        "about": about_as_json(about),
        "versions": {
            "dataset_upload": __version__,
            "python": platform.python_version(),
            **{library: metadata.version(library) for library in _LIBRARIES},
        },
    }


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
    """A source as a description has it, but for its joints and its frame rate, which stand elsewhere."""
    fields = {name: value for name, value in asdict(about).items() if name not in ("hand_joints", "fps")}
    if not about.actions:
        del fields["actions"]  # which datasets that were made before this was said have not either
    return {**fields, "columns": [column._asdict() for column in about.columns]}


_TEXTS = ("name", "url", "summary", "licence", "licence_note", "citation")

# What every format's has, and its types; a format adds what else it reads.
READ = {
    "dataset_name": str,
    "settings": dict,
    "counts": {DONE: int, SKIPPED: dict, FAILED: dict, "tasks": int},
    "bytes": {"source": int, "clips": int},
    "rows": str,
    "action_names": [str],
    "hand_joints": [str],
    "loader": str,
    "about": {
        **dict.fromkeys(_TEXTS, str),
        "tags": [str],
        "columns": [{"name": str, "type": get_args(ColumnType), "meaning": str}],
        "publishing_forbidden": (str, type(None)),
    },
}


def is_like(value: Any, kind: Any) -> bool:
    """Whether a value has these types, as `READ` has them."""
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(name in value and is_like(value[name], kind[name]) for name in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(is_like(each, kind[0]) for each in value)
    if isinstance(kind, tuple) and isinstance(kind[0], str):  # one of these
        return value in kind
    return isinstance(value, kind)
