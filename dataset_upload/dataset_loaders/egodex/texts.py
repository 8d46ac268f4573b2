"""What an EgoDex annotation says in words, and which of its descriptions applies."""

from __future__ import annotations

from typing import TypedDict

from dataset_upload.dataset_loaders.egodex.annotation import Annotation
from dataset_upload.errors import EpisodeError, Reason


class Texts(TypedDict):
    """What EgoDex's annotations say of an episode; None where they do not."""

    task_certain: bool  # False where the file does not say which of two descriptions applies
    llm_description: str | None
    llm_description2: str | None
    which_llm_description: int | None  # 1 or 2
    llm_type: str | None
    session_name: str | None
    collector: str | None  # who recorded it: C7, …
    environment: str | None
    object: str | None
    llm_verbs: list[str]
    llm_objects: list[str]
    description: str | None  # in newer annotations only
    annotated_task: str | None  # the annotation's own name of the task
    annotated_type: str | None  # in newer annotations only
    annotator_version: float | None


def read_texts(annotation: Annotation) -> Texts:
    """Read them all. Raises EpisodeError."""
    which, llm_type = _which_description(annotation), annotation.text("llm_type")
    return Texts(
        task_certain=which is not None or llm_type != "reversible",
        llm_description=annotation.text("llm_description"),
        llm_description2=annotation.text("llm_description2"),
        which_llm_description=which,
        llm_type=llm_type,
        session_name=annotation.text("session_name"),
        collector=annotation.text("extra"),
        environment=annotation.text("environment"),
        object=annotation.text("object"),
        llm_verbs=annotation.texts("llm_verbs"),
        llm_objects=annotation.texts("llm_objects"),
        description=annotation.text("description"),
        annotated_task=annotation.text("task"),
        annotated_type=annotation.text("type"),
        annotator_version=annotation.number("annotator_version"),
    )


def usable_task(texts: Texts) -> str | None:
    """The text that describes what an episode shows; None where it says nothing.

    A reversible task has two descriptions, one for each direction, and `which_llm_description` says which applies.
    Older copies of the dataset lack that field: there the first description is taken and marked uncertain. The other
    direction's description never stands in for one that is not usable.
    """
    task = texts["llm_description2" if texts["which_llm_description"] == 2 else "llm_description"]
    if task is None or task == "None" or "description unavailable" in task.lower():
        return None
    return task


def choose_task(texts: Texts, name: str) -> str:
    """Likewise. Raises EpisodeError where there is none; `name` is what the message calls the file."""
    task = usable_task(texts)
    if task is None:
        raise EpisodeError(Reason.NO_DESCRIPTION, f"Warning: No task description in {name}")
    return task


def _which_description(annotation: Annotation) -> int | None:
    which = annotation.text("which_llm_description")
    return int(which) if which in ("1", "2") else None
