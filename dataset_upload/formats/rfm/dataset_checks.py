"""Checks of a dataset as a whole: its tables, its folder, its ledger, its card."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_upload.errors import Reason
from dataset_upload.formats.rfm import dataset_info
from dataset_upload.formats.rfm.card import card_configs
from dataset_upload.formats.rfm.card import read as read_card
from dataset_upload.formats.rfm.finished_dataset import RfmDataset
from dataset_upload.formats.rfm.layout import (
    HANDS,
    MAIN,
    clip_folders,
    clip_number,
    clip_path,
    config_name,
    range_of,
    shard_names,
    table_folder,
    table_pattern,
)
from dataset_upload.formats.rfm.schema import FRAMES_VIDEO, HANDS_SCHEMA, READABLE_VERSIONS, VECTOR_SIZE, main_schema
from dataset_upload.formats.rfm.table_files import read_files
from dataset_upload.ledger import DONE, FAILED, MEASURED, SKIPPED, Entry, rows_digest

DatasetCheck = Callable[[RfmDataset], Iterator[str]]

# Columns that a push may add to the main table.
_FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_CLIPS_ON_THE_HUB = {"video": _FILE, "images": pa.list_(_FILE)}

_NORM_TOLERANCE = 1e-4


def shards_complete(dataset: RfmDataset) -> Iterator[str]:
    """Main table and sidecar have all their shards, and each can be read."""
    for table in dataset.tables:
        shards = dataset.shards(table)
        names = [shard.name for shard in shards]
        where = table_folder(table) or "main table"
        if not shards:
            yield f"no {table_pattern(table)}"
        elif names != shard_names(len(shards)):
            yield f"{where}: {len(shards)} shards called {', '.join(names)}"
        for shard in shards:
            try:
                file = pq.ParquetFile(shard, page_checksum_verification=True)
                for group in range(file.num_row_groups):
                    file.read_row_group(group)
            except (pa.ArrowException, OSError) as error:
                yield f"{shard.name} of {where} is damaged: {error}"


def column_types(dataset: RfmDataset) -> Iterator[str]:
    """Every column is there, in its place, with its type; no other is, except those that may be asked for."""
    declared = dataset_info.about(dataset.description).columns
    main = main_schema(declared, use_video=dataset.uses_video, version=dataset.description["schema_version"])
    for table in dataset.tables:
        schema = main if table == MAIN else HANDS_SCHEMA
        for shard in dataset.shards(table):
            stored = pq.read_schema(shard)
            for name, kind in _CLIPS_ON_THE_HUB.items():
                if dataset.is_copy and name in stored.names and stored.field(name).type == kind:
                    stored = stored.remove(stored.get_field_index(name))
            if table == MAIN and stored.field(-1) == FRAMES_VIDEO:
                stored = stored.remove(len(stored) - 1)
            where = shard.relative_to(dataset.folder)
            if stored.names != schema.names:
                differing = sorted({*stored.names} ^ {*schema.names}) or ["their order"]
                yield f"{where}: columns differ: {', '.join(differing)}"
            for field in schema:
                if field.name in stored.names and stored.field(field.name).type != field.type:
                    yield f"{where}: {field.name} is {stored.field(field.name).type}, not {field.type}"


def unique_ids(dataset: RfmDataset) -> Iterator[str]:
    """Every row has an id, without a slash, that no other row has."""
    for value, count in Counter(dataset.column("id")).items():
        if not value or "/" in value:
            yield f"{value!r} is no id"
        elif count > 1:
            yield f"{value} is the id of {count} rows"


def unique_sources(dataset: RfmDataset) -> Iterator[str]:
    """Every row names an episode that no other row names."""
    for source, count in Counter(dataset.column("source")).items():
        if not source or count > 1:
            yield f"{source!r} is the source of {count} rows"


def tasks_told(dataset: RfmDataset) -> Iterator[str]:
    """Every task is a text: not empty, and no placeholder."""
    for source, task in zip(dataset.column("source"), dataset.column("task"), strict=True):
        if not task or task.strip().lower() in ("", "none") or "description unavailable" in task.lower():
            yield f"{source}: task is {task!r}"


def data_sources(dataset: RfmDataset) -> Iterator[str]:
    """Every row bears the dataset's name and the number of its schema, one that this version knows."""
    columns = [dataset.column(name) for name in ("source", "data_source", "schema_version")]
    expected = dataset.description["schema_version"]
    if expected not in READABLE_VERSIONS:
        yield f"schema_version is {expected}; this version knows {', '.join(map(str, READABLE_VERSIONS))}"
    for source, name, version in zip(*columns, strict=True):
        if name != dataset.name:
            yield f"{source}: data_source is {name!r}, not {dataset.name!r}"
        if version != expected:
            yield f"{source}: schema_version is {version}, not {expected}"


def lang_vectors(dataset: RfmDataset) -> Iterator[str]:
    """Every lang_vector has 384 finite numbers and unit norm."""
    for shard in dataset.shards():
        for batch in pq.ParquetFile(shard).iter_batches(columns=["source", "lang_vector"], batch_size=1000):
            for source, values in zip(batch["source"].to_pylist(), batch["lang_vector"], strict=True):
                vector = np.array(values.as_py() or [], np.float64)
                if vector.shape != (VECTOR_SIZE,):
                    yield f"{source}: {len(vector)} numbers"
                elif not abs(np.linalg.norm(vector) - 1) < _NORM_TOLERANCE:  # nor is NaN
                    yield f"{source}: norm {np.linalg.norm(vector):.4f}"


def same_sidecar(dataset: RfmDataset) -> Iterator[str]:
    """The sidecar has the main table's ids in the main table's order."""
    if HANDS not in dataset.tables:
        return
    main, hands = dataset.column("id"), dataset.column("id", HANDS)
    if len(main) != len(hands):
        yield f"{len(hands)} rows of hands for {len(main)} trajectories"
    for number, (one, other) in enumerate(zip(main, hands, strict=False)):
        if one != other:
            yield f"row {number}: {one} in the main table, {other} in hands"


def rows_in_order(dataset: RfmDataset) -> Iterator[str]:
    """Rows stand in the order of clip numbers, and those of a range in files of their own.

    Files that tell no range are passed over: those of earlier versions, and those that were made for the Hub.
    """
    for table in dataset.tables:
        last = -1
        for file in read_files(dataset.shards(table)):
            if file.range is None:
                continue
            numbers = _clip_numbers(file.path) if table == MAIN else []
            if file.range < last or numbers != sorted(numbers):
                yield f"{file.path.relative_to(dataset.folder)}: not in the order of clip numbers"
            if any(range_of(number) != file.range for number in numbers):
                yield f"{file.path.relative_to(dataset.folder)}: rows of another range than {file.range}"
            last = file.range


def clips_there(dataset: RfmDataset) -> Iterator[str]:
    """Every clip that a row names is there, in a place of the dataset's own."""
    for source, paths in zip(dataset.column("source"), _clip_paths(dataset), strict=True):
        for path in paths:
            if clip_number(path) is None or not path.startswith(f"{dataset.name}/"):
                yield f"{source}: {path} is no place for a clip"
            elif not _is_packed(dataset) and not (dataset.root / path).is_file():
                yield f"{source}: {path} is not there"


def no_stray_clips(dataset: RfmDataset) -> Iterator[str]:
    """No clip lies there that no row names."""
    named = {path for paths in _clip_paths(dataset) for path in paths}
    for file in sorted(file for folder in clip_folders(dataset.folder) for file in folder.rglob("*")):
        if file.is_file() and file.relative_to(dataset.root).as_posix() not in named:
            yield file.relative_to(dataset.root).as_posix()


def clips_as_in_ledger(dataset: RfmDataset) -> Iterator[str]:
    """Every clip has the number and the bytes that the ledger tells."""
    for source, paths in zip(dataset.column("source"), _clip_paths(dataset), strict=True):
        entry = dataset.ledger.get(source)
        if entry is None:
            continue  # ledger_agrees says so
        place = f"{dataset.name}/{clip_path(entry.clip, use_video=dataset.uses_video)}"
        if not all(path == place or path.startswith(f"{place}/") for path in paths):
            yield f"{source}: its clip is {paths[0]}, by the ledger it is {place}"
            continue
        num_bytes = sum(file.stat().st_size for path in paths if (file := dataset.root / path).is_file())
        if num_bytes != entry.clip_bytes:
            yield f"{source}: {place} has {num_bytes:,} bytes, by the ledger {entry.clip_bytes:,}"


def ledger_agrees(dataset: RfmDataset) -> Iterator[str]:
    """The ledger calls those episodes done that have a row, and has conversion.json's counts and bytes."""
    rows, entries = set(dataset.column("source")), list(dataset.ledger.values())
    done = [entry for entry in entries if entry.status == DONE]
    yield from (f"{key}: has a row, but the ledger does not call it done" for key in sorted(rows - _keys(done)))
    yield from (f"{key}: done, says the ledger, but it has no row" for key in sorted(_keys(done) - rows))
    counts, sizes = dataset.description["counts"], dataset.description["bytes"]
    yield from _differences(
        {
            "done": (counts[DONE], len(done)),
            "skipped": (counts[SKIPPED], _reasons(entries, SKIPPED)),
            "failed": (counts[FAILED], _reasons(entries, FAILED)),
            "source bytes": (sizes["source"], sum(entry.source_bytes for entry in done)),
            "clip bytes": (sizes["clips"], sum(entry.clip_bytes or 0 for entry in done)),
        }
    )


def reasons_known(dataset: RfmDataset) -> Iterator[str]:
    """Every episode without a row has a reason, one that this version knows."""
    for source, entry in dataset.ledger.items():
        is_known = entry.status in (DONE, MEASURED) or entry.is_filtered or entry.reason in [*Reason]
        if not is_known:
            yield f"{source}: {entry.status} for the reason {entry.reason!r}"


def counts_agree(dataset: RfmDataset) -> Iterator[str]:
    """conversion.json counts the rows and the tasks that there are."""
    counts = dataset.description["counts"]
    tasks = set(dataset.column("task_name"))
    yield from _differences({"rows": (counts[DONE], len(dataset)), "tasks": (counts["tasks"], len(tasks))})


def fingerprint_agrees(dataset: RfmDataset) -> Iterator[str]:
    """The fingerprint in conversion.json is that of the rows and the SHA-256 of their clips.

    Where there is a ledger, it tells these, and other checks compare it with the clips. In a copy, every clip is read.
    """
    if dataset.is_copy:
        found = rows_digest(
            (each.clip_number, _sha256(each.clip_contents()), each.source) for each in dataset.trajectories()
        )
    else:
        found = dataset.ledger_digest()
    if found != dataset.description["rows"]:
        yield f"{dataset.description['rows'][:12]}… in conversion.json, {found[:12]}… found"


def card_agrees(dataset: RfmDataset) -> Iterator[str]:
    """The card makes both tables loadable by name, and counts as many trajectories as there are rows."""
    card = read_card(dataset.root)
    stored = {config.get("config_name"): config.get("data_files") for config in card_configs(card)}
    for table in dataset.tables:
        config = config_name(dataset.name, table)
        expected = [{"split": "train", "path": f"{dataset.name}/{table_pattern(table)}"}]
        if stored.get(config) != expected:
            yield f"README.md: config {config} has the data files {stored.get(config)}, not {expected}"
    row = re.search(rf"^\| `{re.escape(dataset.name)}` \| ([\d,]+) \|", card, re.MULTILINE)
    if row is None or int(row[1].replace(",", "")) != len(dataset):
        yield f"README.md: counts {row[1] if row else 'no'} trajectories, there are {len(dataset):,} rows"


DATASET_CHECKS: tuple[DatasetCheck, ...] = (
    shards_complete,
    column_types,
    unique_ids,
    unique_sources,
    tasks_told,
    data_sources,
    lang_vectors,
    same_sidecar,
    rows_in_order,
    clips_there,
    no_stray_clips,
    clips_as_in_ledger,
    ledger_agrees,
    reasons_known,
    counts_agree,
    fingerprint_agrees,
    card_agrees,
)
NEED_LEDGER = frozenset({clips_as_in_ledger, ledger_agrees, reasons_known})


def _clip_paths(dataset: RfmDataset) -> Iterator[list[str]]:
    """The paths of each row's MP4 or JPEGs."""
    return (frames if isinstance(frames, list) else [frames] for frames in dataset.column("frames"))


def _clip_numbers(shard: Path) -> list[int]:
    """The clip number of each row of a main table's file; -1 where it has none."""
    paths = pq.read_table(shard, columns=["frames"])["frames"].to_pylist()
    numbers = (clip_number(frames if isinstance(frames, str) else frames[0]) for frames in paths)
    return [-1 if number is None else number for number in numbers]


def _is_packed(dataset: RfmDataset) -> bool:
    """Whether the clips are in the table instead of in files."""
    return dataset.is_copy and not clip_folders(dataset.folder)


def _keys(entries: list[Entry]) -> set[str]:
    return {entry.key for entry in entries}


def _differences(told_and_found: dict[str, tuple[Any, Any]]) -> Iterator[str]:
    for what, (told, found) in told_and_found.items():
        if told != found:
            yield f"{what}: {told} in conversion.json, {found} found"


def _sha256(contents: list[bytes]) -> str:
    return hashlib.sha256(b"".join(contents)).hexdigest()


def _reasons(entries: list[Entry], status: str) -> dict[str, int]:
    return dict(Counter(entry.reason or status for entry in entries if entry.status == status))
