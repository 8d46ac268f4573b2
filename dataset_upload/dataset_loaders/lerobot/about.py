"""What a LeRobot dataset's card and info.json say of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from dataset_upload.about import About
from dataset_upload.dataset_loaders.lerobot.metadata import Info

_HEADER = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)
_CITATION = re.compile(r"^```(?:bibtex|latex)?\s*\n(@.*?)\n```", re.DOTALL | re.MULTILINE)

_HUMAN = {"human", "ego", "egocentric"}


def read_about(root: Path, info: Info) -> About:
    """Licence, citation and tags of README.md, as far as it is there and can be read."""
    try:
        card = (root / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        card = ""
    header = _header(card)
    given, tags = header.get("license"), header.get("tags")
    licence = given if isinstance(given, str) and given else "unknown"
    citation = _CITATION.search(card)
    name = root.resolve().name
    return About(
        name=name,
        url="https://github.com/huggingface/lerobot",
        summary=f"Episodes of {(info.robot_type or 'a robot') if is_robot(info.robot_type) else 'people'}",
        licence=licence,
        licence_note=(
            f"{name}'s card names no licence: ask its makers before you publish what is made of it."
            if licence == "unknown"
            else f"{name} is licensed {licence}, as its card says."
        ),
        publishing_forbidden=(
            f"{name} is licensed {licence}, which does not allow publishing what is made of it"
            if re.search(r"\bnd\b", licence.lower())
            else None
        ),
        tags=tuple(
            dict.fromkeys(
                ["lerobot", *(tag for tag in (tags if isinstance(tags, list) else []) if isinstance(tag, str))]
            )
        ),
        citation=citation[1] if citation else "",
        fps=round(info.fps) if info.fps == round(info.fps) else None,
        actions=f"`{info.action}` as the source has it",
    )


def is_robot(robot_type: str) -> bool:
    """Whether a robot did it: not where info.json's type is `hand`, or has a word like `human` or `ego` in it.

    A `shadow_hand` is a robot's.
    """
    words = set(re.findall("[a-z]+", robot_type.lower()))
    return not (words & _HUMAN or (words and words <= {"hand", "hands"}))


def _header(card: str) -> dict[str, Any]:
    found = _HEADER.search(card)
    try:
        header = yaml.safe_load(found[1]) if found else None
    except (yaml.YAMLError, ValueError):
        return {}
    return header if isinstance(header, dict) else {}
