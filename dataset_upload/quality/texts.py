"""What the annotation's texts are worth."""

from __future__ import annotations

from typing import Any

from dataset_upload.quality.derived import Derived
from dataset_upload.quality.measure import measure

_EGODEX = "a reversible task has two descriptions, and which_llm_description says which one applies"


@measure("", (0, 1), kind="bool")
def text_usable(episode: Derived) -> Any:
    """Whether there is a description that applies and says something."""
    return episode.tracking.task is not None


@measure("", (0, 1), kind="bool", source=_EGODEX)
def text_certain(episode: Derived) -> Any:
    """Whether the annotation says which description applies, or there is only one direction."""
    return episode.tracking.columns.get("task_certain")


@measure("", (0, 1), kind="bool", source="such texts are 'description unavailable' and 'None'")
def text_placeholder(episode: Derived) -> Any:
    """Whether the description that applies is there but says nothing."""
    columns = episode.tracking.columns
    written = columns.get("llm_description2" if columns.get("which_llm_description") == 2 else "llm_description")
    return written is not None and episode.tracking.task is None


@measure(
    "",
    ("forward", "reverse"),
    kind="text",
    source=f"{_EGODEX}; llm_verbs lists both directions, so it contradicts nothing",
)
def text_direction(episode: Derived) -> Any:
    """Which direction of its task an episode shows; unknown where the annotation does not say."""
    columns = episode.tracking.columns
    if not columns.get("task_certain"):
        return None
    return "reverse" if columns.get("which_llm_description") == 2 else "forward"
