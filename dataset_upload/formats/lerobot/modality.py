"""modality.json: which columns of state and action belong together, for GR00T's own loader."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from dataset_upload.actions import Representation
from dataset_upload.actions.columns import WIDTHS, Part

# What GR00T's configurations for human hands call them.
_GROOT_NAMES = {
    "leftGripper": "left_eef",
    "leftGripper_opening": "left_gripper",
    "rightGripper": "right_eef",
    "rightGripper_opening": "right_gripper",
    "camera": "middle_eef",
}


def modality(representation: Representation, camera: str) -> dict[str, Any]:
    """What modality.json says of a dataset with these states and actions; `camera` is the name of the video."""
    names = _GROOT_NAMES if representation.name == "groot29" else {}
    return {
        "state": _slices(representation.parts, len(representation.names), names),
        "action": _slices(representation.action_parts, len(representation.action_names), names),
        "video": {"ego_view": {"original_key": camera}},
        "annotation": {"human.task_description": {"original_key": "task_index"}},
    }


def _slices(parts: Sequence[Part], width: int, names: dict[str, str]) -> dict[str, dict[str, int]]:
    """The columns of each thing, half-open; neighbouring parts of one name are one thing."""
    if not parts:
        return {"all": {"start": 0, "end": width}}
    slices, start = {}, 0
    for name, group in groupby(parts, key=lambda part: part.name):
        end = start + sum(WIDTHS[part.kind] for part in group)
        slices[names.get(name, name)] = {"start": start, "end": end}
        start = end
    return slices
