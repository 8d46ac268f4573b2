"""The main table with the clips inside, as a repo of the Hub holds more of them than of files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_upload.console.progress import progress
from dataset_upload.engines import num_cores
from dataset_upload.formats.rfm.hub_tables import schema_with_clips
from dataset_upload.formats.rfm.layout import shard_names, shards
from dataset_upload.formats.rfm.schema import NUM_PIPELINE_COLUMNS
from dataset_upload.formats.rfm.shards import ShardWriter, open_shard, stop_when_damaged

_MOST_THREADS = 8  # each takes some 100 MB, and disks are busy with few


def write_packed_tables(folder: Path, target: Path, *, use_video: bool) -> None:
    """Write a dataset's main table with the clips inside, in shards of at most 500 MB.

    Each shard has rows of one of the dataset's own shards only: these are packed by several threads, which costs no
    start, as files, Arrow and its compression do not need Python.

    Args:
        folder: of the dataset.
        target: folder for the shards; must not exist.
        use_video: whether a clip is one MP4, and not a folder of JPEGs.

    Raises:
        OSError: a clip cannot be read.
        StoppedError: a table is damaged.
    """
    schema = schema_with_clips(folder, use_video=use_video)
    own = shards(folder)

    def pack(number: int) -> list[Path]:
        with ShardWriter(target / f"{number:05d}", schema) as writer:
            for rows, num_frames in _packed_groups(own[number], folder.parent, schema):
                writer.write(rows, num_frames)
        return shards(target / f"{number:05d}")

    threads = ThreadPoolExecutor(min(num_cores(), _MOST_THREADS))
    try:
        packed = threads.map(pack, range(len(own)))
        files = [file for made in progress(packed, "Packing clips", total=len(own), unit="shard") for file in made]
    finally:
        threads.shutdown(cancel_futures=True)
    for file, name in zip(files, shard_names(len(files)), strict=True):
        file.rename(target / name)
    for number in range(len(own)):
        shutil.rmtree(target / f"{number:05d}")


def _packed_groups(shard: Path, root: Path, schema: pa.Schema) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The row groups of a shard with the clips inside, and how many frames each has."""
    clips = schema.field(NUM_PIPELINE_COLUMNS)
    names = [name for name in schema.names if name != clips.name]
    with stop_when_damaged(shard):
        file = open_shard(shard)
    for number in range(file.num_row_groups):
        with stop_when_damaged(shard):
            (rows,) = file.read_row_group(number, use_threads=False).select(names).combine_chunks().to_batches()
        column = pa.array([_clip(root, frames) for frames in rows["frames"].to_pylist()], clips.type)
        columns = [*rows.columns[:NUM_PIPELINE_COLUMNS], column, *rows.columns[NUM_PIPELINE_COLUMNS:]]
        yield pa.record_batch(columns, schema), len(rows["frame_indices"].flatten())


def _clip(root: Path, frames: str | list[str]) -> Any:
    if isinstance(frames, list):
        return [_clip(root, path) for path in frames]
    return {"bytes": (root / frames).read_bytes(), "path": frames}
