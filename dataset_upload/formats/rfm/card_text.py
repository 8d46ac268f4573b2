"""What the card of RFM datasets tells people: tables, columns, licences, citations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from dataset_upload.about import About
from dataset_upload.formats.rfm import dataset_info
from dataset_upload.formats.rfm.layout import HANDS, config_name
from dataset_upload.formats.rfm.schema import NEW_IN_VERSION_2, Field, main_fields

Description = dict[str, Any]  # what a conversion.json says

_TASK_CATEGORIES = ("robotics", "video-classification")
_TAGS = ("reward-model", "video")  # of every RFM dataset, behind those of its source

_OF_EVERY_SOURCE = frozenset(field.name for field in main_fields(()))
_WORLD_METRES = "metres in the recording's world frame"
_ARKIT_METRES = f"{_WORLD_METRES} (ARKit's: y up, its own origin)"
_MOST_NAMES = 60  # that are written out

# Columns that only some tables have, by the one that they are explained behind.
_ONLY_SOMETIMES = {
    "frames": (
        "| frames_video | only where it was asked for, never on the Hub: the clip's path on the machine that made the "
        "table |\n"
        "| video, images | only on the Hub, and only if asked for at the push: the clip, for its viewer (see below) |"
    )
}


def title(descriptions: Sequence[Description]) -> str:
    """What the datasets are called together."""
    return f"{_listed(about.name for about in _abouts(descriptions)) or 'Datasets'} for reward models"


def metadata(descriptions: Sequence[Description]) -> dict[str, list[str]]:
    """The lists that the card's YAML must hold: licences, kinds of tasks, tags."""
    abouts = _abouts(descriptions)
    return {
        "license": _unique(about.licence for about in abouts),
        "task_categories": list(_TASK_CATEGORIES),
        "tags": _unique([tag for about in abouts for tag in about.tags] + list(_TAGS)),
    }


def section(descriptions: Sequence[Description], location: str) -> str:
    """The text about these datasets.

    Args:
        location: what `load_dataset` finds them by: the folder or the repo that the card is for.
    """
    abouts = _abouts(descriptions)
    name = descriptions[0]["dataset_name"] if descriptions else "NAME"
    with_hands = [description for description in descriptions if description["hand_joints"]]
    parts = [
        f"# {title(descriptions)}",
        "\n".join(_unique(map(_introduction, abouts))),
        _TABLE_HEADER + "\n".join(map(_row, descriptions)),
        _loading(name, location, with_hands),
        _FRAMES.format(hands=", the hands" if with_hands or not descriptions else ""),
        _columns(descriptions),
        _HANDS.format(joints=_names(with_hands, "hand_joints")) if with_hands or not descriptions else "",
        _ON_THE_HUB,
        "## Licence\n\n" + "\n\n".join(_unique(about.licence_note for about in abouts)),
        _citations(abouts),
    ]
    return "\n\n".join(part for part in parts if part)


def _introduction(about: About) -> str:
    return (
        f"{about.summary}, converted from\n[{about.name}]({about.url}) for the RFM (reward foundation model) "
        "training pipeline."
    )


def _abouts(descriptions: Sequence[Description]) -> list[About]:
    """The sources of datasets, each once."""
    return _unique(map(dataset_info.about, descriptions))


def _unique(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_unique(names))


def _row(description: Description) -> str:
    counts, max_frames = description["counts"], description["settings"]["max_frames"]
    return (
        f"| `{description['dataset_name']}` | {counts['done']:,} | {counts['tasks']:,} "
        f"| {'all' if max_frames == -1 else f'at most {max_frames}'} | {description['bytes']['clips'] / 1e6:,.1f} |"
    )


def _loading(name: str, location: str, with_hands: Sequence[Description]) -> str:
    lines = [
        "```python",
        "from datasets import load_dataset",
        "",
        f'dataset = load_dataset("{location}", "{name}", split="train")',
    ]
    for description in with_hands[:1]:
        sidecar = config_name(description["dataset_name"], HANDS)
        lines.append(f'hands = load_dataset("{location}", "{sidecar}", split="train")')
    return "\n".join([*lines, "```"])


def _columns(descriptions: Sequence[Description]) -> str:
    """A table of the columns; those of a loader are said to be in its datasets only, where others have none."""
    lines = ["| column | what |", "| --- | --- |"]
    sources: dict[tuple[Any, ...], list[str]] = {}
    for description in descriptions:
        sources.setdefault(dataset_info.about(description).columns, []).append(f"`{description['dataset_name']}`")
    first, *others = sources or {(): []}
    fields = main_fields(first)
    declared = {column.name for columns in sources for column in columns}
    texts = {
        "actions": _actions(descriptions),
        "new_columns": ", ".join(name for name in NEW_IN_VERSION_2 if name in declared or name in _OF_EVERY_SOURCE),
    }
    all_have_hands = all(description["hand_joints"] for description in descriptions)

    def meaning_of(field: Field) -> str:
        if field.name in declared:
            return field.meaning
        return ((not all_have_hands and field.meaning_without_hands) or field.meaning).format(**texts)

    for meaning, group in itertools.groupby(fields, key=meaning_of):
        names = [field.name for field in group]
        where = sources[first] if others and names[0] in declared else []
        lines.append(_column_row(names, meaning, where))
        lines += [_ONLY_SOMETIMES[name] for name in names if name in _ONLY_SOMETIMES]
    for columns in others:
        for meaning, group_of_columns in itertools.groupby(columns, key=lambda column: column.meaning):
            lines.append(_column_row([column.name for column in group_of_columns], meaning, sources[columns]))
    return "\n".join(lines)


def _actions(descriptions: Sequence[Description]) -> str:
    """What the numbers of an action are, and their names: dataset by dataset where they differ in what they are."""
    meanings = [_meaning_of_actions(description) for description in descriptions] or [_ARKIT_METRES]
    if len(set(meanings)) == 1:
        return f"{meanings[0]}: {_names(descriptions, 'action_names')}"
    return "; ".join(
        f"in `{description['dataset_name']}`: {meaning}: {_written(description['action_names'])}"
        for description, meaning in zip(descriptions, meanings, strict=True)
    )


def _meaning_of_actions(description: Description) -> str:
    if description.get("action_frame"):
        name, rotation = description["settings"].get("action_representation"), description["action_rotation"]
        return f"`{name}`, frame: {description['action_frame']}; rotation: {rotation}"
    return dataset_info.about(description).actions or (_ARKIT_METRES if description["hand_joints"] else _WORLD_METRES)


def _column_row(names: Sequence[str], meaning: str, where: Sequence[str]) -> str:
    return f"| {', '.join(names)} | {meaning}{f' (in {_listed(where)} only)' if where else ''} |"


def _names(descriptions: Sequence[Description], key: str) -> str:
    """The names under a key of `conversion.json`: once if all datasets agree, else dataset by dataset."""
    datasets: dict[str, list[str]] = {}
    for description in descriptions:
        names = _written(description[key])
        datasets.setdefault(names, []).append(f"`{description['dataset_name']}`")
    if len(datasets) < 2:
        return "".join(datasets)
    return "; ".join(f"in {', '.join(owners)}: {names}" for names, owners in datasets.items())


def _written(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMES:
        return f"`{names[0]}` … `{names[-1]}`, {len(names)}, all in conversion.json"
    return ", ".join(f"`{name}`" for name in names)


def _citations(abouts: Sequence[About]) -> str:
    citations = "\n".join(_unique(about.citation for about in abouts if about.citation))
    return f"## Citation\n\n```bibtex\n{citations}\n```" if citations else ""


_TABLE_HEADER = """\
| dataset | trajectories | tasks | frames a clip | clips, MB |
| --- | ---: | ---: | ---: | ---: |
"""

_FRAMES = """\
`frames` is the clip's path from the root of this folder or repo; `huggingface_hub.snapshot_download` with
`repo_type="dataset"` fetches a repo with its clips. Every list with one entry a frame (`actions`,
`confidences`, `camera_to_world`, `frame_indices`, `timestamps`, `source_seconds_left`{hands}) belongs to the frames
of the clip, in order."""

_HANDS = """\
The `_hands` configs hold, by `id`, `left_hand` and `right_hand`: (T, 25, 3) metres in the same world frame, and
`left_wrist_rotation` and `right_wrist_rotation`: (T, 3, 3), wrist axes to world. The 25 points of a hand:
{joints}."""

_ON_THE_HUB = """\
A dataset on the Hub can have one more column. `video` holds the clip's place in the repo or, in a dataset without clip
files, the clip itself: `bytes` of an MP4 with `path`, which is what `frames` says. `images` is that of JPEG clips."""
