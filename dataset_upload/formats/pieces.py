"""What workers of every format do alike: where they write a piece, how they hand over its records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.ipc

from dataset_upload.jobs import Content
from dataset_upload.storage.whole_file import write_flushed


@contextmanager
def working_folder(incoming: Path | None) -> Iterator[Path]:
    """The folder for files that are not yet in their place; without one on the dataset's disk, one for now."""
    if incoming is not None:
        yield incoming
        return
    with TemporaryDirectory(prefix="dataset_upload-") as folder:
        yield Path(folder)


def record(rows: pa.RecordBatch, incoming: Path | None, name: str) -> Content:
    """Rows as an Arrow file: where it lies under this name, or its bytes. Raises OSError."""
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, rows.schema) as ipc:
        ipc.write_batch(rows)
    content: bytes = buffer.getvalue().to_pybytes()
    if incoming is None:
        return content
    write_flushed(incoming / name, content)
    return incoming / name
