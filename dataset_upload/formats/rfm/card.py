"""README.md of the output folder: the dataset card that makes each dataset loadable by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dataset_upload.console.logs import logger
from dataset_upload.errors import UsageError
from dataset_upload.formats.rfm import card_text, dataset_info
from dataset_upload.formats.rfm.layout import (
    CARD,
    CARD_LOCK,
    CONVERSION,
    HANDS,
    MAIN,
    TABLES,
    config_name,
    is_sidecar,
    table_pattern,
    tables_with,
)
from dataset_upload.storage.locks import exclusive_lock
from dataset_upload.storage.whole_file import write_whole

_MARK = "<!-- dataset_upload: this file is written by the converter -->"

_BEGIN = "<!-- dataset_upload: this section is written by the converter -->"
_END = "<!-- dataset_upload: end -->"


def update_card(output_dir: Path) -> None:
    """Write the card for all datasets of a folder; runs side by side take turns. Raises UsageError as `check_card`."""
    with exclusive_lock(output_dir / CARD_LOCK, wait=True):
        existing = check_card(output_dir)
        folders = sorted(folder for folder in output_dir.iterdir() if (folder / CONVERSION).exists())
        descriptions = {folder: dataset_info.read(folder) for folder in folders}
        for folder, description in descriptions.items():
            if description is None:
                logger.warning(
                    f"Warning: {folder / CONVERSION} is damaged, or another dataset's; the card says of "
                    f"{folder.name} what it said before"
                )
        known = [description for description in descriptions.values() if description is not None]
        gone = set(listed(existing)) - {folder.name for folder in folders}
        if folders or existing:
            write_whole(output_dir / CARD, render(existing, known, gone=gone))


def write_dataset_card(folder: Path) -> None:
    """Write the README.md by which `load_dataset` takes a dataset's folder itself. Raises as `check_dataset_card`."""
    import yaml

    check_dataset_card(folder)
    tables = TABLES if any(folder.glob(table_pattern(HANDS))) else (MAIN,)
    configs = _configs(folder.name, tables, place="")
    configs[0]["default"] = True
    header = yaml.safe_dump({"configs": configs}, sort_keys=False, allow_unicode=True)
    text = f"# {folder.name}\n\n../{CARD} describes it. The paths in `frames` begin there.\n"
    write_whole(folder / CARD, f"---\n{header}---\n{_MARK}\n{text}")


def check_dataset_card(folder: Path) -> None:
    """Raises UsageError where a dataset's folder has a README.md that is not ours: it is never touched."""
    existing = read(folder)
    if existing.strip() and _MARK not in existing:
        raise UsageError(
            f"--dataset.dataset_name: {folder / CARD} is not the one that would be written there; give another "
            "name, or move that file away"
        )


def check_card(output_dir: Path) -> str:
    """As `read`. Raises UsageError, too, where a README.md is no card of ours: it is never touched."""
    existing = read(output_dir)
    if existing.strip() and _BEGIN not in existing:
        raise UsageError(
            f"--output.output_dir: {output_dir / CARD} is not the dataset card that would be written there; give "
            "another folder, or move that file away"
        )
    return existing


def read(output_dir: Path) -> str:
    """The card as it is, "" if there is none. Raises UsageError where it cannot be read, or its YAML is damaged."""
    try:
        existing = (output_dir / CARD).read_text(encoding="utf-8")
        _split(existing)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except UsageError as error:
        raise UsageError(f"{output_dir}/{error}") from error
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{output_dir}/{CARD} cannot be read ({error})") from error
    return existing


def render(
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
    ours = [config for description in descriptions for config in _configs_of(description)]
    names = {config["config_name"] for config in ours}
    stored = metadata.get("configs") or []
    dead = [config for name in gone if _lists(existing, name) for config in _configs(name, TABLES)]
    foreign = [config for config in stored if config.get("config_name") not in names and config not in dead]
    configs = sorted([*foreign, *ours], key=lambda config: str(config.get("config_name")))
    lists = {key: _united(metadata.get(key), values) for key, values in card_text.metadata(descriptions).items()}
    title = card_text.title(descriptions) if descriptions else None
    metadata = {"license": None, "pretty_name": title, **metadata, **lists, "configs": configs}
    metadata = {key: value for key, value in metadata.items() if value not in (None, [])}
    header = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    section = f"{_BEGIN}\n{card_text.section(descriptions, location)}\n{_END}"
    if _BEGIN in text and _END in text:
        before, rest = text.split(_BEGIN, 1)
        text = before + section + rest.split(_END, 1)[1]
    else:
        text = f"{section}\n\n{text}" if text.strip() else f"{section}\n"
    return f"---\n{header}---\n{text}"


def card_configs(card: str) -> list[dict[str, Any]]:
    """The configs of a card, as they stand. Raises UsageError where its YAML header is damaged."""
    return _split(card)[0].get("configs") or []


def listed(card: str) -> list[str]:
    """The names of the datasets that a card's configs make loadable, without their sidecars."""
    names = (str(config.get("config_name")) for config in card_configs(card))
    return [name for name in names if not is_sidecar(name)]


def description_path(name: str) -> str:
    """Where in an output folder or a repo it stands what a dataset is."""
    return f"{name}/{CONVERSION}"


parse = dataset_info.parse


def without_datasets(output_dir: Path) -> str:
    """A folder's card, but that it lists none of its datasets. Raises UsageError as `read`."""
    import yaml

    metadata, text = _split(read(output_dir))
    metadata.pop("configs", None)
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---\n{text}"


def _united(theirs: Any, ours: list[str]) -> Any:
    """A metadata value, one or a list, that has all of ours in it."""
    values = theirs if isinstance(theirs, list) else [theirs] if theirs else []
    values = [*values, *(value for value in ours if value not in values)]
    return values if len(values) != 1 else values[0]


def _split(card: str) -> tuple[dict[str, Any], str]:
    """A card's YAML header and the text below it."""
    import yaml

    match = re.match(r"---\r?\n(.*?\n)?---\r?\n(.*)", card, re.DOTALL)
    if match is None:
        return {}, card
    try:
        metadata = yaml.safe_load(match[1] or "") or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date like 2026-99-99
        raise UsageError(f"{CARD}: its header is not valid YAML; correct it") from error
    configs = (metadata.get("configs") or []) if isinstance(metadata, dict) else None
    if not isinstance(configs, list) or not all(isinstance(config, dict) and _has_name(config) for config in configs):
        raise UsageError(f"{CARD}: its YAML header is no mapping with a list of configs; correct it")
    return metadata, match[2]


def _has_name(config: dict[str, Any]) -> bool:
    return isinstance(config.get("config_name"), str | None)


def _configs(name: str, tables: Sequence[str], place: str | None = None) -> list[dict[str, Any]]:
    """The configs of a dataset's tables, whose paths begin with `place`: its folder by default."""
    place = f"{name}/" if place is None else place
    return [
        {
            "config_name": config_name(name, table),
            "data_files": [{"split": "train", "path": f"{place}{table_pattern(table)}"}],
        }
        for table in tables
    ]


def _configs_of(description: dict[str, Any]) -> list[dict[str, Any]]:
    return _configs(description["dataset_name"], tables_with(description["hand_joints"]))


def _lists(card: str, name: str) -> bool:
    """Whether the converter has written a dataset into a card, and not somebody else."""
    metadata, text = _split(card)
    stored = metadata.get("configs") or []
    has_row = f"\n| `{name}` |" in text.partition(_BEGIN)[2].partition(_END)[0]
    return has_row or all(config in stored for config in _configs(name, TABLES))
