"""What holds for a whole LeRobot dataset: files, counts, and every index in both directions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from dataset_upload.formats.lerobot.build import chunk_stats_of
from dataset_upload.formats.lerobot.exact_statistics import exact_statistics
from dataset_upload.formats.lerobot.features import as_numbers, describe_video
from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset
from dataset_upload.formats.lerobot.index import Place, place_episodes
from dataset_upload.formats.lerobot.layout import CHUNK_STATS, INFO, STATS, TASKS
from dataset_upload.formats.lerobot.metadata import index_columns
from dataset_upload.ledger import DONE
from dataset_upload.video.packed_video import packets_of, read_coding

_FOLDERS = ("data", "videos", "meta")
_SAME = 1e-6  # relative: what rounding to nine digits, and another order of adding, may change


def files_there(dataset: LerobotDataset) -> Iterator[str]:
    """Every file is there with its size, and no other one."""
    sizes = dataset.description["files"]
    for name, size in sizes.items():
        path = dataset.folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != size:
            yield f"{name} has {path.stat().st_size:,} bytes, not {size:,}"
    for top in _FOLDERS:
        for path in sorted((dataset.folder / top).rglob("*")):
            name = path.relative_to(dataset.folder).as_posix()
            if path.is_file() and name not in sizes and name != "meta/provenance.json":
                yield f"{name} belongs to no episode"


def episodes_in_order(dataset: LerobotDataset) -> Iterator[str]:
    """Row i of the table of episodes is episode i, and says of it what follows from the lengths of all."""
    camera = dataset.layout.camera
    names = list(index_columns(_FIRST, 1, camera))
    for path in dataset.episode_tables:
        for row in pq.read_table(path, columns=[*names, "source"]).to_pylist():
            expected = index_columns(dataset.episodes.by_key[row["source"]].place, dataset.fps, camera)
            for name, value in expected.items():
                if not _is_same(row[name], value):
                    yield f"{row['source']}: {name} is {row[name]}, not {value}"


def rows_in_order(dataset: LerobotDataset) -> Iterator[str]:
    """Every frame's row is where its index says, in a row group of its episode, with its time k / fps."""
    for source, episode in dataset.episodes.by_key.items():
        place = episode.place
        table = dataset.episodes.frames(place)
        steps = np.arange(place.length)
        expected = {
            "index": place.first_row + steps,
            "episode_index": np.full(place.length, place.episode),
            "task_index": np.full(place.length, place.task),
            "frame_index": steps,
            "timestamp": (steps / dataset.fps).astype(np.float32),
        }
        if len(table) != place.length:
            yield f"{source}: {len(table)} rows for {place.length} frames"
            continue
        for name, values in expected.items():
            stored = as_numbers(table[name])[:, 0]
            if not (stored == values).all():
                first = int(np.flatnonzero(stored != values)[0])
                yield f"{source}: {name} of frame {first} is {stored[first]}, not {values[first]}"


def columns_as_described(dataset: LerobotDataset) -> Iterator[str]:
    """Every file of rows has the columns that info.json names, no other, and holds just its episodes."""
    wanted = {feature.name: feature.type for feature in dataset.features}
    groups = _count(place.data_file for place in _places(dataset))
    for number, count in groups.items():
        path = dataset.folder / dataset.layout.data_path(number)
        file = pq.ParquetFile(path)
        stored = {field.name: field.type for field in file.schema_arrow}
        if stored != wanted:
            yield f"{path.name}: its columns are {', '.join(stored)}"
        if file.num_row_groups != count:
            yield f"{path.name} has {file.num_row_groups} row groups for {count} episodes"


def videos_in_order(dataset: LerobotDataset) -> Iterator[str]:
    """Every video has a picture at each k / fps and no other, and a keyframe where an episode begins."""
    starts: dict[int, set[int]] = {}
    lengths: dict[int, int] = {}
    for place in _places(dataset):
        starts.setdefault(place.video_file, set()).add(place.first_frame)
        lengths[place.video_file] = place.first_frame + place.length
    for number, firsts in starts.items():
        path = dataset.folder / dataset.layout.video_path(number)
        name = path.relative_to(dataset.folder)
        count = 0
        for packet in packets_of(path):
            seconds = None if packet.pts is None else packet.pts * packet.time_base
            if seconds is None or seconds * dataset.fps != count:
                yield f"{name}: frame {count} is shown at {seconds} s"
                break
            if count in firsts and not packet.is_keyframe:
                yield f"{name}: frame {count}, where an episode begins, is no keyframe"
            count += 1
        if count != lengths[number]:
            yield f"{name} has {count} frames, not {lengths[number]}"


def tasks_in_order(dataset: LerobotDataset) -> Iterator[str]:
    """Row i of the table of tasks is task i, each text once, and every episode has the text of its task."""
    tasks: dict[str, int] = {}
    facts = [episode.facts for episode in dataset.episodes.by_key.values()]
    list(place_episodes(facts, 1, is_packed=dataset.layout.is_packed, tasks=tasks))
    if dataset.layout.is_packed:
        table = pq.read_table(dataset.folder / TASKS)
        stored = list(zip(table["task"].to_pylist(), table["task_index"].to_pylist(), strict=True))
        if b"pandas" not in (table.schema.metadata or {}):
            yield f"{TASKS} does not tell pandas that tasks are its index"
    else:
        lines = (dataset.folder / "meta/tasks.jsonl").read_text(encoding="utf-8").splitlines()
        stored = [(row["task"], row["task_index"]) for row in map(json.loads, lines)]
    if stored != list(tasks.items()):
        yield f"{len(stored)} tasks are listed, not the {len(tasks)} of the episodes in their order"


def info_as_is(dataset: LerobotDataset) -> Iterator[str]:
    """info.json has version, frame rate, counts and features as they are."""
    info = json.loads((dataset.folder / INFO).read_text(encoding="utf-8"))
    places = _places(dataset)
    expected: dict[str, Any] = {
        "codebase_version": dataset.layout.version,
        "fps": dataset.fps,
        "total_episodes": len(places),
        "total_frames": sum(place.length for place in places),
        "total_tasks": len({place.task for place in places}),
        "splits": {"train": f"0:{len(places)}"},
        "data_path": dataset.layout.data,
        "video_path": dataset.layout.video,
    }
    for name, value in expected.items():
        if info.get(name) != value:
            yield f"{name} is {info.get(name)}, not {value}"
    features = {feature.name: feature.describe() for feature in dataset.features}
    if places:
        size, codec = read_coding(dataset.folder / dataset.layout.video_path(0))
        features[dataset.layout.camera] = describe_video(size, dataset.fps, codec)
    for name in features.keys() | info["features"].keys():
        if info["features"].get(name) != features.get(name):
            yield f"the feature {name} is not described as it is"


def statistics_exact(dataset: LerobotDataset) -> Iterator[str]:
    """stats.json has the statistics of all rows."""
    stored = json.loads((dataset.folder / STATS).read_text(encoding="utf-8"))
    if not len(dataset):
        return
    paths = sorted(dataset.folder.glob("data/*/*.parquet"))

    def batches() -> Iterator[dict[str, Any]]:
        for path in paths:
            for batch in pq.ParquetFile(path).iter_batches(16_384, use_threads=False):
                yield {name: as_numbers(batch[name]) for name in batch.schema.names}

    for feature, stats in exact_statistics(batches).items():
        for name, values in stats.items():
            if not _is_same(stored.get(feature, {}).get(name), values):
                yield f"{name} of {feature} is not that of its rows"
    if dataset.layout.camera not in stored:
        yield f"{dataset.layout.camera} has no statistics"


def chunk_statistics_exact(dataset: LerobotDataset) -> Iterator[str]:
    """chunk_stats.json has the statistics of all chunks."""
    if not dataset.horizons:
        return
    stored = json.loads((dataset.folder / CHUNK_STATS).read_text(encoding="utf-8"))
    paths = sorted(dataset.folder.glob("data/*/*.parquet"))
    for frame, by_horizon in chunk_stats_of(dataset.representation, dataset.keys, dataset.horizons, paths).items():
        for horizon, stats in by_horizon.items():
            for name, values in stats.items():
                if not _is_same(stored.get(frame, {}).get(horizon, {}).get(name), values):
                    yield f"{name} of chunks of {horizon} is not that of its rows"


def ledger_agrees(dataset: LerobotDataset) -> Iterator[str]:
    """The ledger calls just these episodes done, in the order of their clip numbers, with these pictures."""
    done = sorted(
        (entry.clip, entry.key, entry.clip_sha256) for entry in dataset.ledger.values() if entry.status == DONE
    )
    columns = [dataset.column(name) for name in ("clip_number", "source", "clip_sha256")]
    stored = list(zip(*columns, strict=True))
    for entry in done:
        if entry not in stored:
            yield f"{entry[1]} is done, but not stored so"
    for row in stored:
        if row not in done:
            yield f"{row[1]} is stored, but not done so"
    if sorted(stored) != stored:
        yield "episodes are not in the order of their clip numbers"


NEED_LEDGER = frozenset({ledger_agrees})
DATASET_CHECKS = (
    files_there,
    info_as_is,
    episodes_in_order,
    tasks_in_order,
    columns_as_described,
    rows_in_order,
    videos_in_order,
    statistics_exact,
    chunk_statistics_exact,
    ledger_agrees,
)

_FIRST = Place(0, 0, 0, 0, 0, 0, 0, 0, 1)


def _places(dataset: LerobotDataset) -> list[Place]:
    return [episode.place for episode in dataset.episodes.by_key.values()]


def _count(numbers: Iterator[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for number in numbers:
        counts[number] = counts.get(number, 0) + 1
    return counts


def _is_same(stored: Any, expected: Any) -> bool:
    """Whether numbers are the same but for rounding."""
    if stored is None or np.shape(stored) != np.shape(expected):
        return False
    return bool(np.allclose(stored, expected, rtol=_SAME, atol=1e-9))
