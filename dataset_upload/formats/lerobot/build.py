"""A LeRobot dataset's files, made of those that are there and the pieces that wait; what has not changed stays."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_upload.about import About, Column
from dataset_upload.actions import Representation
from dataset_upload.config import LerobotKeys
from dataset_upload.console.logs import logger
from dataset_upload.console.progress import progress
from dataset_upload.formats.lerobot import description, metadata
from dataset_upload.formats.lerobot.chunk_statistics import EpisodeActions, chunk_statistics
from dataset_upload.formats.lerobot.episode_row import schema_of_episode
from dataset_upload.formats.lerobot.episode_stats import NAMES, Stats, united
from dataset_upload.formats.lerobot.exact_statistics import Batch, exact_statistics
from dataset_upload.formats.lerobot.features import ACTION, INDICES, Feature, as_numbers, schema_of_frames
from dataset_upload.formats.lerobot.index import EpisodeFacts, Place, place_episodes
from dataset_upload.formats.lerobot.keys import KEYS, Keys
from dataset_upload.formats.lerobot.layout import CHUNK_STATS, CONVERSION, MODALITY, NEW, STATS, Layout
from dataset_upload.formats.lerobot.modality import modality
from dataset_upload.formats.lerobot.stored import StoredEpisodes, WaitingPieces
from dataset_upload.formats.lerobot.swap import begin_swap, finish_swap
from dataset_upload.storage.damage import reading
from dataset_upload.video.packed_video import ClipPlace, ClipReader, join_clips

_ROWS_AT_ONCE = 16_384  # that statistics are made of: some 20 MB


@dataclass
class Build:
    """One build.

    Attributes:
        target: folder of the dataset that is built; new files go to its `.work/new`.
        layout: of it.
        features: of its frames, without the video.
        declared: what its loader says of episodes.
        fps: of its videos.
        robot_type: for info.json.
        representation: of its states and actions.
        keys: names of camera and hands, a key of `KEYS`.
        horizons: of chunks that there are to be statistics of.
        stored: the episodes that are in files: the target's own, or another dataset's of other layout.
        waiting: the pieces that wait; they count more than what is stored. None: there are none.
    """

    target: Path
    layout: Layout
    features: Sequence[Feature]
    declared: Sequence[Column]
    fps: int
    robot_type: str
    representation: Representation
    keys: LerobotKeys
    horizons: Sequence[int]
    stored: StoredEpisodes
    waiting: WaitingPieces | None

    def run(self, episodes: Sequence[tuple[str, int]]) -> list[str]:
        """Write all files that are to be other than they are.

        Args:
            episodes: (key, clip number), in the order in which they are to stand.

        Returns:
            The paths of all files that the dataset then has.

        Raises:
            DamagedFileError: a file is not as it was written.
            OSError: one cannot be read or written.
        """
        shutil.rmtree(self.target / NEW, ignore_errors=True)
        (self.target / NEW).mkdir(parents=True)
        facts = [self._facts(key, number) for key, number in episodes]
        tasks: dict[str, int] = {}
        row_bytes = sum(feature.num_bytes for feature in self.features)
        places = list(place_episodes(facts, row_bytes, is_packed=self.layout.is_packed, tasks=tasks))
        placed = [(key, number, place) for (key, number), place in zip(episodes, places, strict=True)]
        with ClipReader(self.fps) as reader:
            videos = self._write_files(
                placed,
                "video_file",
                ("video_file", "first_frame", "length"),
                self.layout.video_path,
                lambda path, members: join_clips(map(self._clip, members), path, reader),
            )
        data = self._write_files(
            placed,
            "data_file",
            ("data_file", "data_group", "first_row", "episode", "task", "length"),
            self.layout.data_path,
            self._write_rows,
        )
        tables = self._write_files(placed, "meta_file", Place._fields, self.layout.episodes_path, self._write_episodes)
        self._write_meta(places, tasks, videos, data, tables)
        own = [f"meta/{path.name}" for path in (self.target / NEW / "meta").iterdir() if path.is_file()]
        return sorted([*videos, *data, *tables, *own])

    def _facts(self, key: str, number: int) -> EpisodeFacts:
        if not self._waits(number):
            return self.stored.by_key[key].facts
        return self.waiting.facts(number)  # type: ignore[union-attr]

    def _waits(self, number: int) -> bool:
        return self.waiting is not None and number in self.waiting.numbers

    def _write_files(
        self,
        placed: Sequence[tuple[str, int, Place]],
        kind: str,
        decisive: Sequence[str],
        name: Callable[[int], str],
        write: Callable[[Path, list[tuple[str, int, Place]]], None],
    ) -> list[str]:
        """Write the files of a kind whose episodes are not as `decisive` in those that are there; returns all paths."""
        is_own = self.stored.folder == self.target and self.stored.layout == self.layout
        sizes: dict[int, int] = {}
        for each in self.stored.by_key.values() if is_own else ():
            number = getattr(each.place, kind)
            sizes[number] = sizes.get(number, 0) + 1

        def is_as_stored(key: str, number: int, place: Place) -> bool:
            if self._waits(number) or key not in self.stored.by_key:
                return False
            stored = self.stored.by_key[key].place
            return all(getattr(stored, field) == getattr(place, field) for field in decisive)

        files = [
            (file, list(members))
            for file, members in itertools.groupby(placed, lambda each: int(getattr(each[2], kind)))
        ]
        for file, members in progress(files, f"Writing {kind}s".replace("_", " "), total=len(files), unit="file"):
            if sizes.get(file) == len(members) and all(is_as_stored(*each) for each in members):
                continue
            path = self.target / NEW / name(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, members)
        return [name(file) for file, _ in files]

    def _clip(self, episode: tuple[str, int, Place]) -> ClipPlace:
        key, number, place = episode
        if self._waits(number):
            return self.waiting.clip(number, place.length)  # type: ignore[union-attr]
        return self.stored.clip(self.stored.by_key[key].place)

    def _write_rows(self, path: Path, members: list[tuple[str, int, Place]]) -> None:
        schema = schema_of_frames(self.features)
        with pq.ParquetWriter(path, schema) as writer:
            for key, number, place in members:
                rows = (
                    self.waiting.frames(number)  # type: ignore[union-attr]
                    if self._waits(number)
                    else self.stored.frames(self.stored.by_key[key].place)
                )
                first = place.first_row
                indices = {
                    "episode_index": [place.episode] * len(rows),
                    "index": range(first, first + len(rows)),
                    "task_index": [place.task] * len(rows),
                }
                columns = [
                    pa.array(indices[name], pa.int64()) if name in INDICES else rows[name] for name in schema.names
                ]
                writer.write_table(pa.table(columns, schema=schema), row_group_size=max(len(rows), 1))

    def _write_episodes(self, path: Path, members: list[tuple[str, int, Place]]) -> None:
        camera = self.layout.camera
        own = schema_of_episode(self.declared, self.features, camera)
        schema = pa.schema([*metadata.index_fields(camera), *own])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for key, number, place in members:
                row = (
                    self.waiting.row(number)  # type: ignore[union-attr]
                    if self._waits(number)
                    else self.stored.row(self.stored.by_key[key].place, own.names)
                )
                index = metadata.index_columns(place, self.fps, camera)
                columns = [
                    pa.array([index[each.name]], each.type) if each.name in index else row[each.name] for each in schema
                ]
                writer.write_table(pa.table(columns, schema=schema))

    def _write_meta(
        self, places: Sequence[Place], tasks: dict[str, int], videos: list[str], data: list[str], tables: list[str]
    ) -> None:
        root = self.target / NEW
        paths, camera = list(map(self._new_or_old, data)), self.layout.camera
        stats = exact_statistics(lambda: _batches(paths)) if places else {}
        if places:
            stats[camera] = united(_pixel_stats(map(self._new_or_old, tables), camera))
        metadata.write_json(root / STATS, stats)
        if self.horizons:
            metadata.write_json(
                root / CHUNK_STATS, chunk_stats_of(self.representation, KEYS[self.keys], self.horizons, paths)
            )
        metadata.write_tasks(root, tasks, self.layout)
        if not self.layout.is_packed:
            metadata.write_episode_lines(root, list(map(self._new_or_old, tables)), self.features, camera)
            metadata.write_json(root / MODALITY, modality(self.representation, camera))
        metadata.write_info(
            root,
            self.layout,
            self.features,
            places,
            fps=self.fps,
            robot_type=self.robot_type,
            num_tasks=len(tasks),
            video=self._new_or_old(videos[0]) if videos else None,
        )

    def _new_or_old(self, name: str) -> Path:
        new = self.target / NEW / name
        return new if new.exists() else self.target / name


def finish_build(
    folder: Path, files: Sequence[str], describe: Callable[[dict[str, int]], dict[str, Any]], pieces: Sequence[Path]
) -> None:
    """Put what a build has written into its place.

    Args:
        folder: the target of the build.
        files: as `Build.run` returned them.
        describe: gives what meta/provenance.json says, of the sizes of all files.
        pieces: files that are of no use any more then.
    """
    new = folder / NEW
    sizes = {name: ((new if (new / name).exists() else folder) / name).stat().st_size for name in files}
    (new / CONVERSION).write_text(description.text(describe(sizes)), encoding="utf-8")
    begin_swap(folder, [*files, CONVERSION], pieces)
    finish_swap(folder)


def chunk_stats_of(
    representation: Representation, keys: Keys, horizons: Sequence[int], files: Sequence[Path]
) -> dict[str, dict[str, Stats]]:
    """What chunk_stats.json says: by frame of reference and horizon, of all actions in these files of rows."""

    def episodes() -> Iterator[EpisodeActions]:
        for path in files:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, [ACTION, *keys.camera], use_threads=False)
                columns = {name: as_numbers(rows[name]) for name in rows.schema.names}
                cameras = keys.camera_to_world(columns).astype(np.float32)
                yield EpisodeActions(columns[ACTION], cameras)

    found = {}
    for horizon in progress(horizons, "Statistics of chunks", total=len(horizons), unit="horizon"):
        stats = chunk_statistics(representation, horizon, episodes)
        if stats is None:
            logger.warning(f"Warning: No episode has {horizon} actions; --lerobot.horizons={horizon} is left out")
        else:
            found[str(horizon)] = stats
    return {"camera": found}


def robot_type(about: About) -> str:
    """Of what moves in the episodes of a source."""
    return "human_hands" if about.hand_joints else "unknown"


def _pixel_stats(tables: Iterable[Path], camera: str) -> Iterator[dict[str, Any]]:
    names = [f"stats/{camera}/{name}" for name in NAMES]
    for path in tables:
        with reading(path):
            for batch in pq.ParquetFile(path).iter_batches(columns=names):
                for row in batch.to_pylist():
                    yield {name: row[f"stats/{camera}/{name}"] for name in NAMES}


def _batches(files: Iterable[Path]) -> Iterator[Batch]:
    for path in files:
        with reading(path):
            for batch in pq.ParquetFile(path).iter_batches(_ROWS_AT_ONCE, use_threads=False):
                yield {name: as_numbers(batch[name]) for name in batch.schema.names}
