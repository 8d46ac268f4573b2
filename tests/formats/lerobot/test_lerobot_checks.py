"""validate_dataset finds what is wrong with a LeRobot dataset, and names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conversions import NAME, fork_convert
from drawn_egodex import tiny_egodex

from dataset_upload import validate_dataset

DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
VIDEO = "videos/observation.images.ego/chunk-000/file-000.mp4"
POSE, CONFIDENCE = "camera.pose", "hands.confidence"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    tiny_egodex(folder / "test", episodes=4)
    assert fork_convert(folder / "test", folder / "out", "--output.format=lerobot").exit_code == 0
    return folder / "out" / NAME


@pytest.fixture
def dataset(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "out" / NAME)


def table(path: str, change: Callable[[dict[str, list[Any]]], None]) -> Callable[[Path], None]:
    """Change a table's columns, and keep its row groups and the size that the dataset says it has."""

    def spoil(dataset: Path) -> None:
        file = pq.ParquetFile(dataset / path)
        groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        content = file.read()
        columns = content.to_pydict()
        change(columns)
        changed = pa.table({name: pa.array(columns[name], content.schema.field(name).type) for name in columns})
        changed = changed.replace_schema_metadata(content.schema.metadata)
        with pq.ParquetWriter(dataset / path, changed.schema) as writer:
            start = 0
            for length in groups:
                writer.write_table(changed.slice(start, length), row_group_size=length)
                start += length

    return spoil


def value(path: str, column: str, row: int, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Change one value of a table."""

    def spoil(columns: dict[str, list[Any]]) -> None:
        columns[column][row] = change(columns[column][row])

    return table(path, spoil)


def swapped(path: str, *names: str) -> Callable[[Path], None]:
    """Swap the first two rows of some columns."""

    def spoil(columns: dict[str, list[Any]]) -> None:
        for name in names or columns:
            columns[name][0], columns[name][1] = columns[name][1], columns[name][0]

    return table(path, spoil)


def info(name: str, new: Any) -> Callable[[Path], None]:
    def spoil(dataset: Path) -> None:
        path = dataset / "meta/info.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), name: new}))

    return spoil


def stats(dataset: Path) -> None:
    path = dataset / "meta/stats.json"
    stored = json.loads(path.read_text())
    stored["action"]["q99"][0] += 0.01
    path.write_text(json.dumps(stored))


def no_pandas(dataset: Path) -> None:
    path = dataset / "meta/tasks.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def extra_column(dataset: Path) -> None:
    content = pq.read_table(dataset / DATA)
    pq.write_table(content.append_column("extra", content["index"]), dataset / DATA)


def bytes_at(path: str, place: float) -> Callable[[Path], None]:
    """Change some bytes in the middle of a file."""

    def spoil(dataset: Path) -> None:
        content = bytearray((dataset / path).read_bytes())
        start = int(len(content) * place)
        content[start : start + 40] = bytes(40)
        (dataset / path).write_bytes(content)

    return spoil


def first_frame(values: list[float]) -> list[float]:
    return [values[0] + 0.5, *values[1:]]


def transposed(pose: list[float]) -> list[float]:
    return [pose[number % 4 * 4 + number // 4] for number in range(16)]


FROM = "videos/observation.images.ego/from_timestamp"
SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "a video is gone": (lambda dataset: (dataset / VIDEO).unlink(), "files_there"),
    "a file too many": (lambda dataset: (dataset / "data/stray.parquet").write_bytes(b""), "files_there"),
    "index off by one": (value(DATA, "index", 3, lambda number: number + 1), "rows_in_order"),
    "episode_index": (value(DATA, "episode_index", 3, lambda number: number + 1), "rows_in_order"),
    "task_index": (value(DATA, "task_index", 0, lambda number: number + 1), "rows_in_order"),
    "frame_index": (value(DATA, "frame_index", 1, lambda number: 0), "rows_in_order"),
    "timestamp": (value(DATA, "timestamp", 1, lambda seconds: seconds + 0.011), "rows_in_order"),
    "rows swapped": (swapped(DATA), "rows_in_order"),
    "episodes swapped": (swapped(EPISODES), "episodes_in_order"),
    "length": (value(EPISODES, "length", 1, lambda length: length + 1), "rows_in_order"),
    "dataset_from_index": (value(EPISODES, "dataset_from_index", 1, lambda row: row + 1), "episodes_in_order"),
    "dataset_to_index": (value(EPISODES, "dataset_to_index", 1, lambda row: row - 1), "episodes_in_order"),
    "video's start": (value(EPISODES, FROM, 2, lambda seconds: seconds + 1 / 30), "episodes_in_order"),
    "data file": (value(EPISODES, "data/file_index", 2, lambda number: 1), "episodes_in_order"),
    "task of an episode": (value(EPISODES, "tasks", 1, lambda texts: ["another"]), "tasks_in_order"),
    "tasks swapped": (swapped("meta/tasks.parquet"), "tasks_in_order"),
    "tasks without index": (no_pandas, "tasks_in_order"),
    "total_frames": (info("total_frames", 1), "info_as_is"),
    "codebase_version": (info("codebase_version", "v2.1"), "info_as_is"),
    "fps": (info("fps", 15), "info_as_is"),
    "features": (info("features", {}), "info_as_is"),
    "a column too many": (extra_column, "columns_as_described"),
    "statistics": (stats, "statistics_exact"),
    "pixels": (bytes_at(VIDEO, 0.8), "pictures_are_the_pieces"),
    "action": (value(DATA, "action", 2, first_frame), "actions_follow"),
    "NaN": (value(DATA, "observation.state", 2, lambda values: [float("nan"), *values[1:]]), "numbers_finite"),
    "camera": (value(DATA, POSE, 0, lambda pose: [-pose[0], *pose[1:]]), "cameras_rigid"),
    "column-major camera": (value(DATA, POSE, 0, transposed), "cameras_rigid"),
    "intrinsics of another size": (value(DATA, "camera.intrinsics", 0, lambda k: [8 * x for x in k]), "intrinsics_fit"),
    "confidence": (value(DATA, CONFIDENCE, 0, lambda values: [-1.0, *values[1:]]), "confidences_in_range"),
    "episode's statistics": (
        value(EPISODES, "stats/action/mean", 0, first_frame), "statistics_of_episode"
    ),
}  # fmt: skip


def failed(dataset: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    code = validate_dataset.main([str(dataset), "--sample_size=all", "--json"])
    found = [check["check"] for check in json.loads(capsys.readouterr().out)["checks"] if check["outcome"] == "fail"]
    assert code == bool(found)
    return found


def test_a_sound_dataset_passes(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert failed(dataset, capsys) == []


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_is_found(dataset: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    spoil, check = SPOILT[what]
    spoil(dataset)
    assert check in failed(dataset, capsys)
