"""Tables of rows that are made up, as a run writes them and as a reader sees them; no episode is converted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from dataset_upload.config import OutputConfig
from dataset_upload.dataset_loaders.egodex.about import EGODEX
from dataset_upload.formats.rfm.layout import MAIN, clip_path, table_folder
from dataset_upload.formats.rfm.schema import _plain, schemas
from dataset_upload.formats.rfm.writer import RfmWriter
from dataset_upload.formats.statistics import ActionStatistics
from dataset_upload.jobs import Job, Piece
from dataset_upload.ledger import DONE, Entry

NAME = "egodex_test"
SCHEMAS = schemas(EGODEX.columns, EGODEX.hand_joints, use_video=True)


def random_row(number: int, version: int = 0, num_frames: int = 3) -> dict[str, Any]:
    """A row as conversion makes it, another one for each number and version."""
    rng = np.random.default_rng([number, version])

    def numbers(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=(num_frames, *shape)).astype(np.float32)

    confidences = numbers(4)
    confidences[:, number % 4] = np.nan
    return {
        "id": f"id-{number}",
        "task": f"Task {number}, version {version}.",
        "data_source": NAME,
        "frames": f"{NAME}/{clip_path(number, use_video=True)}",
        "is_robot": False,
        "quality_label": "successful",
        "partial_success": None,
        "actions": numbers(15),
        "confidences": None if number % 3 == 0 else confidences,
        "camera_to_world": numbers(4, 4),
        "intrinsics": numbers(3, 3)[0],
        "frame_indices": np.arange(num_frames),
        "timestamps": np.arange(num_frames) / 30,
        "source_seconds_left": None if number % 2 else np.arange(num_frames)[::-1] / 30,
        "source_num_frames": 2 * num_frames,
        "source_fps": 30.0,
        "source": f"task/{number}",
        "part": "test",
        "task_name": "task",
        "session_name": None if number % 2 else "2025.mov",
        "collector": "C1",
        "environment": "table",
        "object": None,
        "llm_type": "reset",
        "llm_verbs": ["fold", "press"][: number % 3],
        "llm_objects": [],
        "llm_description": f"Task {number}.",
        "llm_description2": "None",
        "which_llm_description": None if number % 2 else 2,
        "task_certain": True,
        "description": None,
        "annotated_task": "Task",
        "annotated_type": None,
        "annotator_version": 0.2,
        "left_hand": numbers(25, 3),
        "right_hand": numbers(25, 3),
        "left_wrist_rotation": numbers(3, 3),
        "right_wrist_rotation": numbers(3, 3),
        "lang_vector": np.full(384, number, np.float32),
        "schema_version": 2,
    }


def record(row: dict[str, Any], schema: pa.Schema) -> bytes:
    """A row as it waits for a build."""
    arrays = [pa.array([_plain(row[field.name])], field.type) for field in schema]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as file:
        file.write_batch(pa.record_batch(arrays, schema))
    return bytes(sink.getvalue())


def entry(number: int) -> Entry:
    """What the ledger says of a row."""
    return Entry(f"task/{number}", DONE, number, 1, (1,), clip_bytes=4, clip_sha256=f"sha256 of {number}")


class Tables:
    """The tables of one dataset, as a run writes them and as a reader sees them."""

    def __init__(self, output_dir: Path) -> None:
        self.folder = output_dir / NAME
        (self.folder / ".work").mkdir(parents=True)
        self.restart()

    def add(self, *numbers: int, version: int = 0, num_frames: int = 3) -> None:
        for number in numbers:
            row = random_row(number, version, num_frames)
            records = {table: record(row, schema) for table, schema in SCHEMAS.items()}
            piece = Piece(records, {clip_path(number, use_video=True): b"clip"}, 4, "sha256")
            self.writer.place(Job(None, row["source"], number, (1, (1,))), piece)
        self.writer.flush()

    def build(self, *numbers: int) -> ActionStatistics:
        """Build tables of these rows, all of which are stored or added, and clean up."""
        statistics = self.writer.tables.build(map(entry, numbers))
        self.writer.clean_up(numbers)
        return statistics

    def restart(self) -> None:
        """What the next run does first."""
        self.open()
        self.writer.recover()

    def open(self) -> None:
        """What also a run does that shares the dataset with others."""
        self.writer = RfmWriter(self.folder, OutputConfig(), EGODEX, {})

    def stored(self) -> set[str]:
        """The keys of those of the first 20 rows that are in the tables."""
        return self.writer.tables.present(map(entry, range(20)))

    def shards(self, table: str = MAIN) -> list[Path]:
        return sorted((self.folder / table_folder(table)).glob("train-*.parquet"))

    def rows(self, table: str = MAIN) -> list[dict[str, Any]]:
        return [row for shard in self.shards(table) for row in pq.ParquetFile(shard).read().to_pylist()]

    def contents(self) -> dict[str, bytes]:
        paths = [*self.shards(), *self.shards("hands")]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, nothing is cleaned up."""


@contextmanager
def killed_after(num_changes: int) -> Iterator[None]:
    """Let so many changes to folders happen, then end before the next one."""
    remaining = num_changes

    def counted(change: Callable[..., None]) -> Callable[..., None]:
        def changing(*args: Any, **kwargs: Any) -> None:
            nonlocal remaining
            if remaining == 0:
                raise Killed
            remaining -= 1
            change(*args, **kwargs)

        return changing

    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("unlink", "rename", "replace", "rmdir", "mkdir", "link"):
            monkeypatch.setattr(os, name, counted(getattr(os, name)))
        yield
