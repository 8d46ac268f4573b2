"""The main table as the Hub gets it: without `frames_video`; with one more column where clips shall be seen there.

That column stands after the first eight. `video` is either the clip itself or a pointer to the clip in the repo. Clips
of JPEG files become `images` instead.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_upload.formats.rfm.layout import shards
from dataset_upload.formats.rfm.schema import NUM_PIPELINE_COLUMNS as _POSITION
from dataset_upload.formats.rfm.shards import (
    ShardWriter,
    groups_of,
    parquet_writer,
    stored_rows,
    stored_schema,
)
from dataset_upload.formats.rfm.table_files import without_root


def write_viewer_tables(folder: Path, target: Path, *, repo_id: str) -> None:
    """Write a dataset's main table with a pointer to each clip's place in the repo, which the Hub's viewer plays.

    Args:
        folder: of the dataset, whose clips are MP4s.
        target: folder for the shards; must not exist.
        repo_id: the dataset repo.
    """
    schema = schema_with_clips(folder, use_video=True)
    with ShardWriter(target, schema) as writer:
        for row in stored_rows(folder):
            pointer = f"hf://datasets/{repo_id}@main/{row['frames'][0].as_py()}"
            writer.write(_with_clip(row, {"bytes": None, "path": pointer}, schema), len(row["frame_indices"][0]))


def write_tables_without_frames_video(folder: Path, target: Path) -> None:
    """Write a dataset's main table without `frames_video`, whose paths mean nothing elsewhere: the bytes that the files
    would have without that option.

    Args:
        folder: of the dataset.
        target: folder for the shards; must not exist.
    """
    schema = stored_schema(folder)
    target.mkdir(parents=True)
    for shard in shards(folder):
        with (target / shard.name).open("wb") as copy, parquet_writer(copy, schema) as writer:
            for group in groups_of(shard):
                writer.write_table(pa.table(group.select(schema.names).columns, schema))
            writer.add_key_value_metadata(without_root(pq.read_metadata(shard).metadata or {}))


def schema_with_clips(folder: Path, *, use_video: bool) -> pa.Schema:
    """The main table's schema with the column of clips, and what tells `datasets` that these are media."""
    file = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    if use_video:
        column = pa.field("video", file)
        feature: dict[str, Any] = {"_type": "Video", "decode": False}
    else:
        column = pa.field("images", pa.list_(file))
        feature = {"_type": "List", "feature": {"_type": "Image", "decode": False}}
    metadata = {"huggingface": json.dumps({"info": {"features": {column.name: feature}}})}
    return stored_schema(folder).insert(_POSITION, column).with_metadata(metadata)


def _with_clip(row: pa.RecordBatch, clip: Any, schema: pa.Schema) -> pa.RecordBatch:
    column = pa.array([clip], schema.field(_POSITION).type)
    columns = row.columns
    return pa.record_batch([*columns[:_POSITION], column, *columns[_POSITION:]], schema)
