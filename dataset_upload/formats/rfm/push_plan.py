"""Which files of an RFM dataset belong on the Hub, with the tables that the options ask for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dataset_upload import __version__
from dataset_upload.config import HubConfig
from dataset_upload.dataset_folder import LEDGER, WORK
from dataset_upload.errors import UsageError
from dataset_upload.formats import PushPlan
from dataset_upload.formats.rfm import dataset_info
from dataset_upload.formats.rfm.finished_dataset import RfmDataset
from dataset_upload.formats.rfm.hub_tables import write_tables_without_frames_video, write_viewer_tables
from dataset_upload.formats.rfm.layout import CARD, SWAP, has_tables, is_clip, is_main_table, is_table, shards
from dataset_upload.formats.rfm.packed_tables import write_packed_tables
from dataset_upload.formats.rfm.shards import has_frames_video
from dataset_upload.storage.whole_file import write_whole

_MADE_OF = "made_of.json"  # beside tables for the Hub that are complete
_LOCAL = (LEDGER, CARD)  # what of a dataset's folder is of no use elsewhere


class RfmPushPlan(PushPlan):
    """Tables include conversion.json."""

    def outdated_tables(self, remote: Iterable[str]) -> list[str]:
        """Tables that an earlier push of this dataset has left in the repo."""
        return [path for path in self._others(remote) if is_table(path)]

    def outdated_media(self, remote: Iterable[str]) -> list[str]:
        """Clips that an earlier push of this dataset has left in the repo."""
        return [path for path in self._others(remote) if is_clip(path)]

    def removals(self, remote: Iterable[str]) -> list[str]:
        """The outdated clips, with folders that hold nothing else in one piece ("NAME/batch_0000/")."""
        folders_in_use = {_clip_folder(path) for path in (*self.media, *self.tables)}
        clips = self.outdated_media(remote)
        return sorted({path if _clip_folder(path) in folders_in_use else _clip_folder(path) for path in clips})

    def _others(self, remote: Iterable[str]) -> list[str]:
        ours = self.media.keys() | self.tables.keys()
        return [path for path in remote if path.startswith(f"{self.name}/") and path not in ours]


def _clip_folder(path: str) -> str:
    return "/".join(path.split("/")[:2]) + "/"


def plan_push(folder: Path, repo_id: str, options: HubConfig, work: Path) -> RfmPushPlan:
    """See `formats.Format.push_plan`."""
    root = folder.parent
    _check_finished(folder)
    if not has_tables(folder):
        raise UsageError(f"{folder} has lost its tables; run the conversion again")
    files = {file.relative_to(root).as_posix(): file for file in _visible_files(folder) if file.name not in _LOCAL}
    lacking = [path for path in _clips_of_rows(folder) if path not in files]
    if lacking:
        raise UsageError(f"{root / lacking[0]} is not there, but a row names it; run the conversion again")
    media = {path: file for path, file in files.items() if is_clip(path)}
    tables = {path: file for path, file in files.items() if path not in media}
    made = _tables_for_the_hub(folder, repo_id, options, work / "tables")
    if made:
        tables = {path: file for path, file in tables.items() if not is_main_table(path)} | made
    return RfmPushPlan(folder.name, {} if options.packed else media, tables)


def _tables_for_the_hub(folder: Path, repo_id: str, options: HubConfig, target: Path) -> dict[str, Path]:
    """Shards of the main table to push instead of the dataset's own; none where these are right as they are.

    Those that an earlier push has left in `target`, because it did not complete, are taken if nothing has changed.
    """
    description = dataset_info.read(folder)
    made_of = json.dumps(
        {
            "version": __version__,
            "rows": description and description["rows"],
            "shards": [[shard.name, shard.stat().st_size, shard.stat().st_mtime_ns] for shard in shards(folder)],
            "options": [options.packed, options.viewer_video, repo_id],
        }
    )
    if not (target / _MADE_OF).exists() or (target / _MADE_OF).read_text() != made_of:
        shutil.rmtree(target, ignore_errors=True)
        try:
            _make_tables(folder, repo_id, options, target, use_video=description is None or _uses_video(description))
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        if target.exists():
            write_whole(target / _MADE_OF, made_of)
    return {f"{folder.name}/{shard.name}": shard for shard in shards(target)}


def _uses_video(description: dict[str, Any]) -> bool:
    return bool(description["settings"]["use_video"])


def _make_tables(folder: Path, repo_id: str, options: HubConfig, target: Path, *, use_video: bool) -> None:
    if options.packed:
        write_packed_tables(folder, target, use_video=use_video)
    elif options.viewer_video and use_video:
        write_viewer_tables(folder, target, repo_id=repo_id)
    elif options.viewer_video:
        raise UsageError(
            f"--hub.viewer_video: the clips of {folder} are not videos; --hub.packed=true shows JPEGs, too"
        )
    elif has_frames_video(folder):
        write_tables_without_frames_video(folder, target)


def _check_finished(folder: Path) -> None:
    """Raises UsageError where an interrupted run has left clips or shards that do not belong together."""
    dataset = RfmDataset(folder)
    if dataset.is_copy:
        return
    description = dataset_info.read(folder)  # None if a power cut has damaged it
    if description is None or dataset.ledger_digest() != description["rows"] or (folder / WORK / SWAP).exists():
        raise UsageError(f"{folder} is not finished, its last run was interrupted; run the conversion again")


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            yield from _visible_files(path) if path.is_dir() else [path]


def _clips_of_rows(folder: Path) -> Iterator[str]:
    """The paths of all clips, or of their JPEGs, that the main table names."""
    for shard in shards(folder):
        for frames in pq.read_table(shard, columns=["frames"])["frames"].to_pylist():
            yield from [frames] if isinstance(frames, str) else frames
