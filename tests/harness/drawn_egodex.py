"""Small parts of EgoDex, drawn for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from conversions import text_encoder

from dataset_upload.mini_egodex.part import EpisodeRecord, make_mini_egodex, write_episode

# Irregular, but no reason to fail: these episodes are converted, or skipped and counted.
HARMLESS = (
    "missing_confidences",
    "old_release",
    "missing_mp4",
    "missing_hdf5",
    "row0_repeated",
    "description_unavailable",
    "no_description",
    "number_gap",
    "macos_litter",
)


class MiniEgoDex(NamedTuple):
    """A part folder of drawn episodes, and what was drawn, by episode key."""

    path: Path
    records: dict[str, EpisodeRecord]

    def with_irregularity(self, name: str) -> EpisodeRecord:
        (record,) = (record for record in self.records.values() if record.irregularity == name)
        return record


def draw_mini_egodex(path: Path) -> MiniEgoDex:
    """8 normal episodes of 6 tasks, 20 to 50 frames of 320x180, and one more for each harmless irregularity."""
    records = make_mini_egodex(path, episodes=8, size=(320, 180), frames=(20, 50), irregularities=HARMLESS)
    return MiniEgoDex(path, {record.key: record for record in records})


def tiny_egodex(path: Path, *, episodes: int, seed: int = 0) -> list[EpisodeRecord]:
    """Episodes of 64x64 pixels that convert in some milliseconds."""
    records = make_mini_egodex(path, episodes=episodes, size=(64, 64), frames=(6, 12), seed=seed)
    for record in records:
        text_encoder().encode(record.description)  # remembered, also by the forks below
    return records


def replace_episode(source: Path, key: str, size: tuple[int, int] = (64, 64)) -> EpisodeRecord:
    """Write another episode over one of `tiny_egodex`, or add it."""
    task, number = key.split("/")
    record = write_episode(source, task, int(number), frames=7, size=size, seed=99)
    text_encoder().encode(record.description)
    return record
