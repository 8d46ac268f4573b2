"""What the files of a LeRobot dataset hold of each episode, and where the pieces are that wait for the next build."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from dataset_upload.formats.lerobot.index import EpisodeFacts, Place, place_episodes
from dataset_upload.formats.lerobot.layout import CHUNK, Layout, waiting_numbers, waiting_path
from dataset_upload.storage.damage import reading
from dataset_upload.video.packed_video import ClipPlace

KINDS = ("videos", "frames", "episodes")  # the parts of a piece

FACTS = ["length", "clip_bytes", "tasks", "clip_coding"]  # columns that `facts_of` reads


def facts_of(row: dict[str, Any]) -> EpisodeFacts:
    """What places depend on, of a row of the table of episodes."""
    return EpisodeFacts(row["length"], row["clip_bytes"], row["tasks"][0], row["clip_coding"])


class StoredEpisode(NamedTuple):
    """An episode in the files of a dataset."""

    place: Place
    clip_sha256: str
    facts: EpisodeFacts


class StoredEpisodes:
    """The episodes of a dataset's folder, in their order; of each row only what is asked for is read.

    Attributes:
        folder: the dataset's.
        layout: how its files lie.
    """

    def __init__(self, folder: Path, layout: Layout, row_bytes: int) -> None:
        """`row_bytes` of a frame's row, by which episodes are spread over files."""
        self.folder = folder
        self.layout = layout
        self._row_bytes = row_bytes
        self._open: tuple[Path, pq.ParquetFile] | None = None

    @cached_property
    def by_key(self) -> dict[str, StoredEpisode]:
        """By their keys. Raises OSError, pa.ArrowException, LookupError where the table of episodes is damaged."""
        rows: list[dict[str, Any]] = []
        for number in range(self.num_meta_files):
            rows += pq.read_table(
                self.folder / self.layout.episodes_path(number), columns=["source", "clip_sha256", *FACTS]
            ).to_pylist()
        facts = [facts_of(row) for row in rows]
        places = place_episodes(facts, self._row_bytes, is_packed=self.layout.is_packed, tasks={})
        return {
            row["source"]: StoredEpisode(place, row["clip_sha256"], each)
            for row, place, each in zip(rows, places, facts, strict=True)
        }

    @property
    def num_meta_files(self) -> int:
        """How many files the table of episodes has."""
        return len(list(self.folder.glob("meta/episodes/*/*.parquet")))

    def clip(self, place: Place) -> ClipPlace:
        """Where an episode's coded pictures are."""
        path = self.folder / self.layout.video_path(place.video_file)
        return ClipPlace(path, place.first_frame, place.length)

    def frames(self, place: Place) -> pa.Table:
        """The rows of its frames. Raises DamagedFileError, OSError."""
        return self._read(self.layout.data_path(place.data_file), place.data_group)

    def row(self, place: Place, columns: Sequence[str] | None = None) -> pa.Table:
        """Its row in the table of episodes. Raises DamagedFileError, OSError."""
        return self._read(self.layout.episodes_path(place.meta_file), place.episode % CHUNK, columns)

    def _read(self, name: str, group: int, columns: Sequence[str] | None = None) -> pa.Table:
        path = self.folder / name
        with reading(path):
            if self._open is None or self._open[0] != path:
                self._open = path, pq.ParquetFile(path)
            return self._open[1].read_row_group(group, columns)


class WaitingPieces:
    """The pieces in `.work` that wait for the next build.

    Attributes:
        numbers: the clip numbers of those that are whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = set.intersection(*(waiting_numbers(folder, kind) for kind in KINDS))
        self._facts: dict[int, EpisodeFacts] = {}  # each piece is asked for twice: its size, then its place

    def clip(self, number: int, length: int) -> ClipPlace:
        """Where the coded pictures of a clip of `length` frames are."""
        return ClipPlace(self.folder / waiting_path("videos", number), 0, length)

    def facts(self, number: int) -> EpisodeFacts:
        """What its place depends on. Raises DamagedFileError, OSError."""
        if number not in self._facts:
            (row,) = self.row(number).select(FACTS).to_pylist()
            self._facts[number] = facts_of(row)
        return self._facts[number]

    def frames(self, number: int) -> pa.Table:
        """The rows of its frames. Raises DamagedFileError, OSError."""
        return self._read("frames", number)

    def row(self, number: int) -> pa.Table:
        """What the worker knew of the episode, a single row. Raises DamagedFileError, OSError."""
        return self._read("episodes", number)

    def _read(self, kind: str, number: int) -> pa.Table:
        path = self.folder / waiting_path(kind, number)
        with reading(path), pa.OSFile(str(path)) as file:
            return pa.ipc.open_file(file).read_all()

    def files(self) -> Iterator[Path]:
        """All files of pieces, also of those that are not whole."""
        for kind in KINDS:
            yield from sorted((self.folder / waiting_path(kind, 0)).parents[1].glob("*/*"))
