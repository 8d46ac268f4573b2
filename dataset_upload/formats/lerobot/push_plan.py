"""Which files of a LeRobot dataset belong on the Hub: all that make it up, at the root of a repo of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from dataset_upload.config import HubConfig
from dataset_upload.errors import UsageError
from dataset_upload.formats import PushPlan
from dataset_upload.formats.lerobot import description
from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset
from dataset_upload.formats.lerobot.layout import CARD, CONVERSION, SWAP
from dataset_upload.ledger import DONE, rows_digest

_VIDEOS, _TABLES = "videos/", ("data/", "meta/")


class LerobotPushPlan(PushPlan):
    """Videos are media; tables include all metadata."""

    def obstacle(self, remote: Collection[str], read: Callable[[str], bytes | None]) -> str | None:
        """Readers take the root of a repo for the dataset, so there must be no other."""
        ours = (".gitattributes", CARD)
        foreign = [path for path in remote if path not in ours and not path.startswith((_VIDEOS, *_TABLES))]
        if foreign:
            return f"it holds {foreign[0]}, and a LeRobot dataset takes a repo of its own"
        content = read(CONVERSION)
        told = None if content is None else description.parse(content)
        if told is not None and told["dataset_name"] != self.name:
            return f"it holds {told['dataset_name']}, and a LeRobot dataset takes a repo of its own"
        return None

    def outdated_tables(self, remote: Iterable[str]) -> list[str]:
        """Tables and metadata that an earlier push has left in the repo."""
        return [path for path in remote if path.startswith(_TABLES) and path not in self.tables]

    def outdated_media(self, remote: Iterable[str]) -> list[str]:
        """Likewise, videos."""
        return [path for path in remote if path.startswith(_VIDEOS) and path not in self.media]


def plan_push(folder: Path, options: HubConfig) -> LerobotPushPlan:
    """See `formats.Format.push_plan`."""
    for name in ("packed", "viewer_video"):
        if getattr(options, name):
            raise UsageError(f"--hub.{name}: has no use for {folder}, a LeRobot dataset; leave it out")
    told = description.read(folder)
    dataset = LerobotDataset(folder)
    done = (entry for entry in dataset.ledger.values() if entry.status == DONE)
    is_current = dataset.is_copy or (
        told is not None and told["rows"] == rows_digest((each.clip, each.clip_sha256, each.key) for each in done)
    )
    if told is None or not is_current or (folder / SWAP).exists():
        raise UsageError(f"{folder} is not finished, its last run was interrupted; run the conversion again")
    for name, size in told["files"].items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != size:
            raise UsageError(f"{folder / name} is missing or damaged; run the conversion again")
    files = {name: folder / name for name in (*told["files"], CONVERSION)}
    media = {name: file for name, file in files.items() if name.startswith(_VIDEOS)}
    tables = {name: file for name, file in files.items() if name not in media}
    return LerobotPushPlan(
        folder.name, media, tables, told["settings"]["version"], "--lerobot.version=v3.0 packs episodes into few"
    )
