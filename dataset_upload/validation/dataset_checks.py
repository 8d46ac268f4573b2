"""Checks of a dataset as a whole: its tables, its folder, its ledger, its card."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_upload.errors import Reason
from dataset_upload.finished_dataset import FinishedDataset
from dataset_upload.ledger import DONE, FAILED, SKIPPED
from dataset_upload.writers.rfm import HANDS_SCHEMA, SCHEMA_VERSION, clip_path, main_schema

DatasetCheck = Callable[[FinishedDataset], Iterator[str]]

_VECTOR_SIZE = 384
_NORM_TOLERANCE = 1e-4


def shards_complete(dataset: FinishedDataset) -> Iterator[str]:
    """Main table and sidecar have all their shards, and each can be read."""
    for table in ("", "hands"):
        shards = dataset.shards(table)
        names = [shard.name for shard in shards]
        count = len(shards)
        expected = [f"train-{number:05d}-of-{count:05d}.parquet" for number in range(count)]
        if not shards:
            yield f"no {table}/train-*.parquet".replace(" /", " ")
        elif names != expected:
            yield f"{table or 'main table'}: {count} shards called {', '.join(names)}"
        for shard in shards:
            try:
                file = pq.ParquetFile(shard, page_checksum_verification=True)
                for group in range(file.num_row_groups):
                    file.read_row_group(group)
            except (pa.ArrowException, OSError) as error:
                yield f"{shard.name} of {table or 'main table'} is damaged: {error}"


def column_types(dataset: FinishedDataset) -> Iterator[str]:
    """Every column is there, in its place, with its type; no other is."""
    for table, schema in (("", main_schema(use_video=dataset.uses_video)), ("hands", HANDS_SCHEMA)):
        for shard in dataset.shards(table):
            stored = pq.read_schema(shard)
            where = shard.relative_to(dataset.folder)
            if stored.names != schema.names:
                differing = sorted({*stored.names} ^ {*schema.names}) or ["their order"]
                yield f"{where}: columns differ: {', '.join(differing)}"
            for field in schema:
                if field.name in stored.names and stored.field(field.name).type != field.type:
                    yield f"{where}: {field.name} is {stored.field(field.name).type}, not {field.type}"


def unique_ids(dataset: FinishedDataset) -> Iterator[str]:
    """Every row has an id, without a slash, that no other row has."""
    for value, count in Counter(dataset.column("id")).items():
        if not value or "/" in value:
            yield f"{value!r} is no id"
        elif count > 1:
            yield f"{value} is the id of {count} rows"


def unique_sources(dataset: FinishedDataset) -> Iterator[str]:
    """Every row names an episode that no other row names."""
    for source, count in Counter(dataset.column("source")).items():
        if not source or count > 1:
            yield f"{source!r} is the source of {count} rows"


def tasks_told(dataset: FinishedDataset) -> Iterator[str]:
    """Every task is a text: not empty, and no placeholder."""
    for source, task in zip(dataset.column("source"), dataset.column("task"), strict=True):
        if not task or task.strip().lower() in ("", "none") or "description unavailable" in task.lower():
            yield f"{source}: task is {task!r}"


def data_sources(dataset: FinishedDataset) -> Iterator[str]:
    """Every row bears the dataset's name and the number of the schema that this version knows."""
    columns = [dataset.column(name) for name in ("source", "data_source", "schema_version")]
    for source, name, version in zip(*columns, strict=True):
        if name != dataset.name:
            yield f"{source}: data_source is {name!r}, not {dataset.name!r}"
        if version != SCHEMA_VERSION:
            yield f"{source}: schema_version is {version}, not {SCHEMA_VERSION}"


def lang_vectors(dataset: FinishedDataset) -> Iterator[str]:
    """Every lang_vector has 384 finite numbers and unit norm."""
    for shard in dataset.shards():
        for batch in pq.ParquetFile(shard).iter_batches(columns=["source", "lang_vector"], batch_size=1000):
            for source, values in zip(batch["source"].to_pylist(), batch["lang_vector"], strict=True):
                vector = np.array(values.as_py() or [], np.float64)
                if vector.shape != (_VECTOR_SIZE,):
                    yield f"{source}: {len(vector)} numbers"
                elif not abs(np.linalg.norm(vector) - 1) < _NORM_TOLERANCE:  # nor is NaN
                    yield f"{source}: norm {np.linalg.norm(vector):.4f}"


def same_sidecar(dataset: FinishedDataset) -> Iterator[str]:
    """The sidecar has the main table's ids in the main table's order."""
    main, hands = dataset.column("id"), dataset.column("id", "hands")
    if len(main) != len(hands):
        yield f"{len(hands)} rows of hands for {len(main)} trajectories"
    for number, (one, other) in enumerate(zip(main, hands, strict=False)):
        if one != other:
            yield f"row {number}: {one} in the main table, {other} in hands"


def clips_there(dataset: FinishedDataset) -> Iterator[str]:
    """Every clip is in the place that the ledger's clip number gives it, with the ledger's size."""
    for source, frames in zip(dataset.column("source"), dataset.column("frames"), strict=True):
        entry = dataset.ledger.get(source, {})
        place = clip_path(dataset.name, entry.get("clip", -1), use_video=dataset.uses_video)
        paths = frames if isinstance(frames, list) else [frames]
        expected = [f"{place}/frame_{i:04d}.jpg" for i in range(len(paths))] if isinstance(frames, list) else [place]
        files = [dataset.root / path for path in expected]
        missing = [path for path, file in zip(expected, files, strict=True) if not file.is_file()]
        if entry and paths != expected:
            yield f"{source}: frames is {paths[0] if paths else 'empty'}, by the ledger it is {place}"
        elif missing:
            yield f"{source}: {missing[0]} is not there"
        elif sum(file.stat().st_size for file in files) != entry["clip_bytes"]:
            yield f"{source}: {place} has not the {entry['clip_bytes']:,} bytes of the ledger"


def no_stray_clips(dataset: FinishedDataset) -> Iterator[str]:
    """No clip lies there that no row names."""
    lists = (frames if isinstance(frames, list) else [frames] for frames in dataset.column("frames"))
    named = {path for paths in lists for path in paths}
    for file in sorted(dataset.folder.glob("batch_*/**/*")):
        if file.is_file() and file.relative_to(dataset.root).as_posix() not in named:
            yield file.relative_to(dataset.root).as_posix()


def ledger_agrees(dataset: FinishedDataset) -> Iterator[str]:
    """The episodes that the ledger calls done are those that have a row."""
    rows = set(dataset.column("source"))
    done = {key for key, entry in dataset.ledger.items() if entry["status"] == DONE}
    yield from (f"{source}: has a row, but the ledger does not call it done" for source in sorted(rows - done))
    yield from (f"{source}: done, says the ledger, but it has no row" for source in sorted(done - rows))


def reasons_known(dataset: FinishedDataset) -> Iterator[str]:
    """Every episode without a row has a reason, one that this version knows."""
    for source, entry in dataset.ledger.items():
        if entry["status"] != DONE and entry.get("reason") not in [*Reason]:
            yield f"{source}: {entry['status']} for the reason {entry.get('reason')!r}"


def counts_agree(dataset: FinishedDataset) -> Iterator[str]:
    """The counts and bytes of conversion.json are the sums of ledger and rows."""
    entries = list(dataset.ledger.values())
    done = [entry for entry in entries if entry["status"] == DONE]
    counts, sizes = dataset.description["counts"], dataset.description["bytes"]
    told_and_found: dict[str, tuple[Any, Any]] = {
        "rows": (counts[DONE], len(dataset)),
        "done": (counts[DONE], len(done)),
        "tasks": (counts["tasks"], len(set(dataset.column("task_name")))),
        "skipped": (counts[SKIPPED], _reasons(entries, SKIPPED)),
        "failed": (counts[FAILED], _reasons(entries, FAILED)),
        "source bytes": (sizes["source"], sum(entry["source_bytes"] for entry in done)),
        "clip bytes": (sizes["clips"], sum(entry["clip_bytes"] for entry in done)),
    }
    for what, (told, found) in told_and_found.items():
        if told != found:
            yield f"{what}: {told} in conversion.json, {found} found"


def card_agrees(dataset: FinishedDataset) -> Iterator[str]:
    """The card makes both tables loadable by name, and counts as many trajectories as there are rows."""
    import yaml

    card = (dataset.root / "README.md").read_text(encoding="utf-8")
    header = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    configs = (yaml.safe_load(header[1]) or {}).get("configs", []) if header else []
    stored = {config.get("config_name"): config.get("data_files") for config in configs}
    for config, table in ((dataset.name, ""), (f"{dataset.name}_hands", "hands/")):
        expected = [{"split": "train", "path": f"{dataset.name}/{table}train-*.parquet"}]
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
    clips_there,
    no_stray_clips,
    ledger_agrees,
    reasons_known,
    counts_agree,
    card_agrees,
)


def _reasons(entries: list[dict[str, Any]], status: str) -> dict[str, int]:
    return dict(Counter(entry["reason"] for entry in entries if entry["status"] == status))
