"""A LeRobot dataset's files, made of those that are there and the pieces that wait; what has not changed stays."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_upload.about import About, Column
from dataset_upload.console.progress import progress
from dataset_upload.formats.lerobot import description, metadata
from dataset_upload.formats.lerobot.damage import reading
from dataset_upload.formats.lerobot.episode_row import schema_of_episode
from dataset_upload.formats.lerobot.episode_stats import NAMES, united
from dataset_upload.formats.lerobot.exact_statistics import Batch, exact_statistics
from dataset_upload.formats.lerobot.features import INDICES, Feature, as_numbers, schema_of_frames
from dataset_upload.formats.lerobot.index import EpisodeFacts, Place, place_episodes
from dataset_upload.formats.lerobot.layout import CAMERA, CONVERSION, MODALITY, NEW, Layout
from dataset_upload.formats.lerobot.packed_video import ClipPlace, ClipReader, join_clips
from dataset_upload.formats.lerobot.stored import StoredEpisodes, WaitingPieces
from dataset_upload.formats.lerobot.swap import begin_swap, finish_swap

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
        modality: what modality.json says, which v2.1 has.
        stored: the episodes that are in files: the target's own, or another dataset's of other layout.
        waiting: the pieces that wait; they count more than what is stored. None: there are none.
    """

    target: Path
    layout: Layout
    features: Sequence[Feature]
    declared: Sequence[Column]
    fps: int
    robot_type: str
    modality: dict[str, Any]
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
        (row,) = self.waiting.row(number).select(["length", "clip_bytes", "tasks"]).to_pylist()  # type: ignore[union-attr]
        return EpisodeFacts(row["length"], row["clip_bytes"], row["tasks"][0])

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
        own = schema_of_episode(self.declared, self.features)
        schema = pa.schema([*metadata.index_fields(), *own])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for key, number, place in members:
                row = (
                    self.waiting.row(number)  # type: ignore[union-attr]
                    if self._waits(number)
                    else self.stored.row(self.stored.by_key[key].place, own.names)
                )
                index = metadata.index_columns(place, self.fps)
                columns = [
                    pa.array([index[each.name]], each.type) if each.name in index else row[each.name] for each in schema
                ]
                writer.write_table(pa.table(columns, schema=schema))

    def _write_meta(
        self, places: Sequence[Place], tasks: dict[str, int], videos: list[str], data: list[str], tables: list[str]
    ) -> None:
        root = self.target / NEW
        paths = list(map(self._new_or_old, data))
        stats = exact_statistics(lambda: self._batches(paths)) if places else {}
        if places:
            stats[CAMERA] = united(_pixel_stats(map(self._new_or_old, tables)))
        metadata.write_stats(root, stats)
        metadata.write_tasks(root, tasks, self.layout)
        if not self.layout.is_packed:
            metadata.write_episode_lines(root, list(map(self._new_or_old, tables)), self.features)
            metadata.write_json(root / MODALITY, self.modality)
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

    def _batches(self, files: Iterable[Path]) -> Iterator[Batch]:
        for path in files:
            with reading(path):
                for batch in pq.ParquetFile(path).iter_batches(_ROWS_AT_ONCE, use_threads=False):
                    yield {name: as_numbers(batch[name]) for name in batch.schema.names}


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


def robot_type(about: About) -> str:
    """Of what moves in the episodes of a source."""
    return "human_hands" if about.hand_joints else "unknown"


def _pixel_stats(tables: Iterable[Path]) -> Iterator[dict[str, Any]]:
    names = [f"stats/{CAMERA}/{name}" for name in NAMES]
    for path in tables:
        with reading(path):
            for batch in pq.ParquetFile(path).iter_batches(columns=names):
                for row in batch.to_pylist():
                    yield {name: row[f"stats/{CAMERA}/{name}"] for name in NAMES}
