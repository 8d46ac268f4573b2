"""README.md of a LeRobot dataset, which is the root of a repo of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dataset_upload.errors import UsageError
from dataset_upload.formats.description import about as about_of
from dataset_upload.formats.lerobot import description as descriptions
from dataset_upload.formats.lerobot.keys import KEYS
from dataset_upload.formats.lerobot.layout import CARD, CONVERSION
from dataset_upload.storage.whole_file import write_whole

_MARK = "<!-- dataset_upload: this file is written by the converter -->"

_TEXT = """\
# {name}: {about_name} for LeRobot

{summary}, converted from
[{about_name}]({url}) to the [LeRobot](https://github.com/huggingface/lerobot) format {version}.

| episodes | tasks | frames a second | states and actions |
| --- | --- | --- | --- |
| {episodes:,} | {tasks:,} | {fps} | {representation}, {columns} columns |

```python
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("OWNER/NAME", root="PATH_TO_THIS_FOLDER")
```

`{video}` is the video, `observation.state` where hands and camera are, `action` what is done next;
`meta/info.json` names every number. {keys_note} `{intrinsics}` belong to the
stored pictures; `hands.confidence` is -1 where it is unknown. `meta/episodes` tells where each episode comes from.

## Licence

{licence_note}
{citation}"""


def write(folder: Path, description: dict[str, Any]) -> None:
    """Write a dataset's card. Raises UsageError as `check`."""
    check(folder)
    write_whole(folder / CARD, render("", [description]))


def check(folder: Path) -> None:
    """Raises UsageError where a folder has a README.md that is not ours: it is never touched."""
    try:
        existing = (folder / CARD).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{folder}/{CARD} cannot be read ({error})") from error
    if existing.strip() and _MARK not in existing:
        raise UsageError(
            f"--dataset.dataset_name: {folder / CARD} is not the one that would be written there; give another "
            "name, or move that file away"
        )


def render(
    existing: str, descriptions: Sequence[dict[str, Any]], *, gone: Iterable[str] = (), location: str = ""
) -> str:
    """The card of a dataset; nothing of another's is in it, as a repo has one."""
    import yaml

    if not descriptions:
        return existing
    (description,) = descriptions
    about, settings = about_of(description), description["settings"]
    keys = KEYS[settings.get("keys", "default")]
    header = yaml.safe_dump(
        {
            "license": about.licence,
            "task_categories": ["robotics"],
            "tags": ["LeRobot", *about.tags],
            "configs": [{"config_name": "default", "data_files": "data/*/*.parquet"}],
        },
        sort_keys=False,
        allow_unicode=True,
    )
    text = _TEXT.format(
        name=description["dataset_name"],
        about_name=about.name,
        summary=about.summary,
        url=about.url,
        version=settings["version"],
        episodes=description["counts"]["done"],
        tasks=description["counts"]["tasks"],
        fps=settings["fps"],
        representation=settings["action_representation"],
        columns=len(description["action_names"]),
        video=keys.video,
        keys_note=keys.note,
        intrinsics=keys.intrinsics,
        licence_note=about.licence_note,
        citation=f"\n```bibtex\n{about.citation}\n```\n" if about.citation else "",
    )
    return f"---\n{header}---\n{_MARK}\n{text}"


def listed(card: str) -> list[str]:
    """No other dataset is in a repo."""
    return []


def without_datasets(output_dir: Path) -> str:
    """A card of nothing."""
    return ""


def description_path(name: str) -> str:
    """Where it stands what a dataset is, in the folder that holds the dataset's."""
    return f"{name}/{CONVERSION}"


def parse(content: bytes, name: str) -> dict[str, Any] | None:
    """What it says there; None where it is damaged, or another's."""
    return descriptions.parse(content)
