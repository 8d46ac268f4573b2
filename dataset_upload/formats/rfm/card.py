"""README.md of the output folder: the dataset card that makes each dataset loadable by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dataset_upload.console.logs import logger
from dataset_upload.errors import UsageError
from dataset_upload.formats.rfm import dataset_info
from dataset_upload.formats.rfm.tables import NEW_IN_VERSION_2
from dataset_upload.storage.locks import exclusive_lock
from dataset_upload.storage.whole_file import write_whole

FILE_NAME = "README.md"

_MARK = "<!-- dataset_upload: this file is written by the converter -->"

_BEGIN = "<!-- dataset_upload: this section is written by the converter -->"
_END = "<!-- dataset_upload: end -->"

_TITLE = "EgoDex for reward models"
_LISTS = {
    "license": ["cc-by-nc-nd-4.0"],
    "task_categories": ["robotics", "video-classification"],
    "tags": ["egodex", "egocentric", "hand-pose", "reward-model", "video"],
}


def update_card(output_dir: Path) -> None:
    """Write the card for all datasets of a folder; runs side by side take turns. Raises UsageError as `check_card`."""
    with exclusive_lock(output_dir / ".card.lock", wait=True):
        existing = check_card(output_dir)
        folders = sorted(folder for folder in output_dir.iterdir() if (folder / dataset_info.FILE_NAME).exists())
        descriptions = {folder: dataset_info.read(folder) for folder in folders}
        for folder, description in descriptions.items():
            if description is None:
                logger.warning(
                    f"Warning: {folder / dataset_info.FILE_NAME} is damaged, or another dataset's; the card says of "
                    f"{folder.name} what it said before"
                )
        known = [description for description in descriptions.values() if description is not None]
        gone = set(listed_datasets(existing)) - {folder.name for folder in folders}
        write_whole(output_dir / FILE_NAME, render_card(existing, known, gone=gone))


def write_dataset_card(folder: Path) -> None:
    """Write the README.md by which `load_dataset` takes a dataset's folder itself. Raises as `check_dataset_card`."""
    import yaml

    check_dataset_card(folder)
    configs = _configs(folder.name, place="")
    configs[0]["default"] = True
    header = yaml.safe_dump({"configs": configs}, sort_keys=False, allow_unicode=True)
    text = f"# {folder.name}\n\n../{FILE_NAME} describes it. The paths in `frames` begin there.\n"
    write_whole(folder / FILE_NAME, f"---\n{header}---\n{_MARK}\n{text}")


def check_dataset_card(folder: Path) -> None:
    """Raises UsageError where a dataset's folder has a README.md that is not ours: it is never touched."""
    existing = read_card(folder)
    if existing.strip() and _MARK not in existing:
        raise UsageError(
            f"--dataset.dataset_name: {folder / FILE_NAME} is not the one that would be written there; give another "
            "name, or move that file away"
        )


def check_card(output_dir: Path) -> str:
    """As `read_card`. Raises UsageError, too, where a README.md is no card of ours: it is never touched."""
    existing = read_card(output_dir)
    if existing.strip() and _BEGIN not in existing:
        raise UsageError(
            f"--output.output_dir: {output_dir / FILE_NAME} is not the dataset card that would be written there; give "
            "another folder, or move that file away"
        )
    return existing


def read_card(output_dir: Path) -> str:
    """The card as it is, "" if there is none. Raises UsageError where it cannot be read, or its YAML is damaged."""
    try:
        existing = (output_dir / FILE_NAME).read_text(encoding="utf-8")
        _split(existing)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except UsageError as error:
        raise UsageError(f"{output_dir}/{error}") from error
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{output_dir}/{FILE_NAME} cannot be read ({error})") from error
    return existing


def render_card(
    existing: str,
    descriptions: Sequence[dict[str, Any]],
    *,
    gone: Iterable[str] = (),
    location: str = "PATH_OR_REPO",
) -> str:
    """The card that describes these datasets and keeps what others wrote into the existing one.

    Args:
        existing: a card whose own YAML keys, configs of other datasets and text outside our section stay.
        descriptions: what the datasets' `conversion.json` say.
        gone: datasets that are not there any more; a config without its files would make all others unloadable.
        location: what `load_dataset` finds them by: the folder or the repo that the card is for.

    Raises:
        UsageError: the existing card's YAML header is damaged.
    """
    import yaml

    metadata, text = _split(existing)
    ours = [config for description in descriptions for config in _configs(description["dataset_name"])]
    names = {config["config_name"] for config in ours}
    stored = metadata.get("configs") or []
    pairs = [_configs(name) for name in gone]
    dead = [config for pair in pairs if all(each in stored for each in pair) for config in pair]
    foreign = [config for config in stored if config.get("config_name") not in names and config not in dead]
    configs = sorted([*foreign, *ours], key=lambda config: str(config.get("config_name")))
    lists = {key: _united(metadata.get(key), values) for key, values in _LISTS.items()}
    metadata = {"license": None, "pretty_name": _TITLE, **metadata, **lists, "configs": configs}
    header = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    section = f"{_BEGIN}\n{_section(descriptions, location)}\n{_END}"
    if _BEGIN in text and _END in text:
        before, rest = text.split(_BEGIN, 1)
        text = before + section + rest.split(_END, 1)[1]
    else:
        text = f"{section}\n\n{text}" if text.strip() else f"{section}\n"
    return f"---\n{header}---\n{text}"


def card_configs(card: str) -> list[dict[str, Any]]:
    """The configs of a card, as they stand. Raises UsageError where its YAML header is damaged."""
    return _split(card)[0].get("configs") or []


def listed_datasets(card: str) -> list[str]:
    """The names of the datasets that a card's configs make loadable, without their sidecars."""
    names = (str(config.get("config_name")) for config in card_configs(card))
    return [name for name in names if not name.endswith("_hands")]


def without_datasets(card: str) -> str:
    """A card that lists no datasets, but keeps all else."""
    import yaml

    metadata, text = _split(card)
    metadata.pop("configs", None)
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---\n{text}"


def _united(theirs: Any, ours: list[str]) -> Any:
    """A metadata value, one or a list, that has all of ours in it."""
    values = theirs if isinstance(theirs, list) else [theirs] if theirs else []
    values = [*values, *(value for value in ours if value not in values)]
    return values if len(values) > 1 else values[0]


def _split(card: str) -> tuple[dict[str, Any], str]:
    """A card's YAML header and the text below it."""
    import yaml

    match = re.match(r"---\r?\n(.*?\n)?---\r?\n(.*)", card, re.DOTALL)
    if match is None:
        return {}, card
    try:
        metadata = yaml.safe_load(match[1] or "") or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date like 2026-99-99
        raise UsageError(f"{FILE_NAME}: its header is not valid YAML; correct it") from error
    configs = (metadata.get("configs") or []) if isinstance(metadata, dict) else None
    if not isinstance(configs, list) or not all(isinstance(config, dict) and _has_name(config) for config in configs):
        raise UsageError(f"{FILE_NAME}: its YAML header is no mapping with a list of configs; correct it")
    return metadata, match[2]


def _has_name(config: dict[str, Any]) -> bool:
    return isinstance(config.get("config_name"), str | None)


def _configs(name: str, place: str | None = None) -> list[dict[str, Any]]:
    """The configs of a dataset's tables, whose paths begin with `place`: its folder by default."""
    place = f"{name}/" if place is None else place
    return [
        {"config_name": name, "data_files": [{"split": "train", "path": f"{place}train-*.parquet"}]},
        {"config_name": f"{name}_hands", "data_files": [{"split": "train", "path": f"{place}hands/train-*.parquet"}]},
    ]


def _section(descriptions: Sequence[dict[str, Any]], location: str) -> str:
    return _TEMPLATE.format(
        rows="\n".join(map(_row, descriptions)),
        location=location,
        name=descriptions[0]["dataset_name"] if descriptions else "NAME",
        action_names=_names(descriptions, "action_names"),
        hand_joints=_names(descriptions, "hand_joints"),
        new_columns=", ".join(NEW_IN_VERSION_2),
    )


def _row(description: dict[str, Any]) -> str:
    counts, max_frames = description["counts"], description["settings"]["max_frames"]
    return (
        f"| `{description['dataset_name']}` | {counts['done']:,} | {counts['tasks']:,} "
        f"| {'all' if max_frames == -1 else f'at most {max_frames}'} | {description['bytes']['clips'] / 1e6:,.1f} |"
    )


def _names(descriptions: Sequence[dict[str, Any]], key: str) -> str:
    """The names under a key of `conversion.json`: once if all datasets agree, else dataset by dataset."""
    datasets: dict[str, list[str]] = {}
    for description in descriptions:
        names = ", ".join(f"`{name}`" for name in description[key])
        datasets.setdefault(names, []).append(f"`{description['dataset_name']}`")
    if len(datasets) < 2:
        return "".join(datasets)
    return "; ".join(f"in {', '.join(owners)}: {names}" for names, owners in datasets.items())


_TEMPLATE = """\
# EgoDex for reward models

First-person manipulation clips with 3D hand, fingertip and camera positions, converted from
[EgoDex](https://arxiv.org/abs/2505.11709) for the RFM (reward foundation model) training pipeline.

| dataset | trajectories | tasks | frames a clip | clips, MB |
| --- | ---: | ---: | ---: | ---: |
{rows}

```python
from datasets import load_dataset

dataset = load_dataset("{location}", "{name}", split="train")
hands = load_dataset("{location}", "{name}_hands", split="train")
```

`frames` is the clip's path from the root of this folder or repo; `huggingface_hub.snapshot_download` with
`repo_type="dataset"` fetches a repo with its clips. Every list with one entry a frame (`actions`,
`confidences`, `camera_to_world`, `frame_indices`, `timestamps`, `source_seconds_left`, the hands) belongs to the frames
of the clip, in order.

| column | what |
| --- | --- |
| id | the trajectory's id, the same at every conversion |
| task | what is done, in words |
| lang_vector | 384 numbers of unit norm: `task` by all-MiniLM-L6-v2 |
| data_source | the dataset's name |
| frames | path of the clip: H.264 MP4 (or the paths of its JPEGs) |
| frames_video | only where it was asked for, never on the Hub: the clip's path on the machine that made the table |
| video, images | only on the Hub, and only if asked for at the push: the clip, for its viewer (see below) |
| is_robot, quality_label, partial_success | false, "successful", null: people doing the task |
| actions | (T, D) metres in the recording's world frame (ARKit's: y up, its own origin): {action_names} |
| confidences | (T, 4) in 0..1 for left hand, right hand, left and right index tip; null where the source says nothing |
| camera_to_world | (T, 4, 4) camera pose; camera axes x right, y down, z forward |
| intrinsics | (3, 3) camera matrix in pixels of the clip's frames, origin at their top-left corner |
| frame_indices, timestamps | the clip's frames in the source video: index, seconds |
| source_seconds_left | seconds from each of them to the source video's last one; null where times are unknown |
| source_num_frames, source_fps | the source video's |
| source, part, task_name | the episode's key, its part of EgoDex, its task's folder |
| session_name, collector | the recording session; who recorded it (EgoDex's `extra`) |
| environment, object, llm_type, llm_verbs, llm_objects | as annotated in EgoDex |
| llm_description, llm_description2 | both descriptions of a task that is also done in reverse |
| which_llm_description | which of them applies, 1 or 2; null where the source does not say |
| task_certain | whether the source says which description applies |
| description, annotated_task, annotated_type, annotator_version | EgoDex's other annotations |
| schema_version | of these columns; {new_columns} are new in 2 |

The `_hands` configs hold, by `id`, `left_hand` and `right_hand`: (T, 25, 3) metres in the same world frame, and
`left_wrist_rotation` and `right_wrist_rotation`: (T, 3, 3), wrist axes to world. The 25 points of a hand:
{hand_joints}.

A dataset on the Hub can have one more column. `video` holds the clip's place in the repo or, in a dataset without clip
files, the clip itself: `bytes` of an MP4 with `path`, which is what `frames` says. `images` is that of JPEG clips.

## Licence

EgoDex is licensed CC-BY-NC-ND 4.0, which does not allow publishing adapted material: keep this dataset private.

## Citation

```bibtex
@article{{hoque2025egodex,
  title={{EgoDex: Learning Dexterous Manipulation from Large-Scale Egocentric Video}},
  author={{Hoque, Ryan and Huang, Peide and Yoon, David J. and Sivapurapu, Mouli and Zhang, Jian}},
  journal={{arXiv preprint arXiv:2505.11709}},
  year={{2025}}
}}
```"""
