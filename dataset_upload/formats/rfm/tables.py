"""The RFM dataset: Parquet tables of one row a trajectory, in shards that are swapped in whole.

A finished record waits as a small file of its own under `<name>/.work/records/` until a build has put it into the
tables. A build streams: it merges the rows of the tables that are there with the waiting records, in episode order,
into new shards under `.work/`, and then swaps these in. A record is deleted only after that, and a swap that was
interrupted is finished by the next run, so at every instant each finished row is in one of the two places.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataset_upload.console.logs import logger
from dataset_upload.errors import StoppedError
from dataset_upload.formats.statistics import ActionStatistics
from dataset_upload.storage.whole_file import flush_folder, write_whole

if TYPE_CHECKING:
    from dataset_upload.conversion import Conversion, Job

SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)

_vector = pa.list_(pa.float32())
_matrix = pa.list_(_vector)

# The first eight are the RFM pipeline's own. docs/egodex.md describes each column.
MAIN_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("task", pa.string()),
        ("lang_vector", _vector),
        ("data_source", pa.string()),
        ("frames", pa.string()),
        ("is_robot", pa.bool_()),
        ("quality_label", pa.string()),
        ("partial_success", pa.float32()),
        ("actions", _matrix),
        ("confidences", _matrix),
        ("camera_to_world", pa.list_(_matrix)),
        ("intrinsics", _matrix),
        ("frame_indices", pa.list_(pa.int32())),
        ("timestamps", pa.list_(pa.float64())),
        ("source_seconds_left", pa.list_(pa.float64())),
        ("source_num_frames", pa.int32()),
        ("source_fps", pa.float64()),
        ("source", pa.string()),
        ("part", pa.string()),
        ("task_name", pa.string()),
        ("session_name", pa.string()),
        ("collector", pa.string()),
        ("environment", pa.string()),
        ("object", pa.string()),
        ("llm_type", pa.string()),
        ("llm_verbs", pa.list_(pa.string())),
        ("llm_objects", pa.list_(pa.string())),
        ("llm_description", pa.string()),
        ("llm_description2", pa.string()),
        ("which_llm_description", pa.int32()),
        ("task_certain", pa.bool_()),
        ("description", pa.string()),
        ("annotated_task", pa.string()),
        ("annotated_type", pa.string()),
        ("annotator_version", pa.float64()),
        ("schema_version", pa.int32()),
    ]
)

NEW_IN_VERSION_2 = (
    "source_seconds_left",
    "collector",
    "which_llm_description",
    "description",
    "annotated_task",
    "annotated_type",
    "annotator_version",
)

# For readers that open a clip from wherever they run. It is made with the tables, and never pushed.
FRAMES_VIDEO = pa.field("frames_video", pa.string())

# The sidecar: 25 joints of each hand, so that readers who only train do not pay for them.
HANDS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("left_hand", pa.list_(_matrix)),
        ("right_hand", pa.list_(_matrix)),
        ("left_wrist_rotation", pa.list_(_matrix)),
        ("right_wrist_rotation", pa.list_(_matrix)),
    ]
)

pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps 50 MB for itself that Python could have

_ROWS_PER_GROUP, _FRAMES_PER_GROUP, _BYTES_PER_GROUP = 250, 8_000, 100_000_000
_SHARD_BYTES = 500_000_000


def main_schema(*, use_video: bool, version: int = SCHEMA_VERSION) -> pa.Schema:
    """The main table's columns; without video, `frames` is a list of JPEG paths."""
    schema = MAIN_SCHEMA
    if version == 1:
        schema = pa.schema([field for field in schema if field.name not in NEW_IN_VERSION_2])
    if use_video:
        return schema
    position = schema.get_field_index("frames")
    return schema.set(position, pa.field("frames", pa.list_(pa.string())))


def clip_path(dataset_name: str, clip_number: int, *, use_video: bool) -> str:
    """Where a clip lies in the output folder: a file, or a folder of JPEGs; 1000 clips a folder."""
    suffix = ".mp4" if use_video else ""
    return f"{dataset_name}/batch_{clip_number // 1000:04d}/trajectory_{clip_number:04d}{suffix}"


class RfmWriter:
    """The tables of one dataset.

    Attributes:
        folder: `<output_dir>/<name>`.
        work: `<folder>/.work`, for what is not finished.
        schema: of a row as it is recorded: the main table's columns without `frames_video`.

    Args:
        folder: as above.
        use_video: one MP4 a clip, not JPEGs.
        frames_video: whether the main table has the column `frames_video`, the clips' absolute paths.
    """

    def __init__(self, folder: Path, *, use_video: bool, frames_video: bool = False) -> None:
        self.folder = folder
        self.work = folder / ".work"
        self.schema = main_schema(use_video=use_video)
        self._root = os.path.abspath(folder.parent)
        self._use_video = use_video
        self._frames_video = frames_video
        self._record_schema = pa.schema([*self.schema, *(field for field in HANDS_SCHEMA if field.name != "id")])
        self._records = self.work / "records"
        self._finish_swap()

    @contextmanager
    def incoming_folder(self) -> Iterator[Path]:
        """An empty folder for clips that are being written; it is gone after the `with`.

        It has a new name each time: a worker that has outlived its run cannot put anything into this one's.
        """
        self._discard_incoming()
        try:
            yield Path(tempfile.mkdtemp(prefix="incoming-", dir=self.work))
        finally:
            self._discard_incoming()

    def _discard_incoming(self) -> None:
        for folder in self.work.glob("incoming-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, job: Job, conversion: Conversion, *, lang_vector: NDArray[np.float32]) -> None:
        """Move a finished clip into its place and keep its row, durably, until the next build.

        Args:
            job: says where the clip belongs.
            conversion: the clip, and its row without `lang_vector` and `schema_version`.
            lang_vector: (384,) of the row's task.
        """
        place = self.folder.parent / job.clip
        place.parent.mkdir(exist_ok=True)
        if place.is_dir():  # a folder cannot be renamed over another
            shutil.rmtree(place)
        conversion.clip_file.rename(place)
        flush_folder(place.parent)

        values = {**conversion.row, "lang_vector": lang_vector, "schema_version": SCHEMA_VERSION}
        arrays = [pa.array([_plain(values[field.name])], field.type) for field in self._record_schema]
        record = self._record_path(job.clip_number)
        record.parent.mkdir(parents=True, exist_ok=True)
        temporary = record.with_suffix(".tmp")
        with temporary.open("wb") as file:
            with pa.ipc.new_file(file, self._record_schema) as ipc:
                ipc.write_batch(pa.record_batch(arrays, self._record_schema))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(record)
        flush_folder(record.parent)

    def stored_keys(self) -> set[str]:
        """The episodes that have a row in the tables; none if the sidecar does not match the main table."""
        try:
            if not self._column("", "id").equals(self._column("hands", "id")):
                return set()
            return set(self._column("", "source").to_pylist())
        except (pa.ArrowException, OSError) as error:
            logger.warning(f"Warning: A table of {self.folder} is damaged: {error}")
            return set()

    def record_numbers(self) -> set[int]:
        """The clip numbers that have a record waiting for the next build."""
        return {int(path.stem) for path in self._records.glob("*/*.arrow")}

    def build(self, episodes: Iterable[tuple[str, int]]) -> ActionStatistics:
        """Write the tables anew from the rows that they hold and the records that wait.

        Args:
            episodes: (key, clip number) of every row, in the order in which rows stand. Each is in the tables,
                where rows stand in the same order, or waits as a record, which then counts.

        Returns:
            The statistics of the action columns.
        """
        tables = self.work / "tables"
        shutil.rmtree(tables, ignore_errors=True)
        statistics = ActionStatistics()
        stored = self._stored_rows()
        schema = self.schema.append(FRAMES_VIDEO) if self._frames_video else self.schema
        with ShardWriter(tables, schema) as main, ShardWriter(tables / "hands", HANDS_SCHEMA) as hands:
            for key, clip_number in episodes:
                record = self._read_record(clip_number)
                if record is None:
                    record = next(row for row in stored if _key(row) == key)
                actions = _actions(record)
                row = record.select(self.schema.names)
                if self._frames_video:
                    row = row.append_column(FRAMES_VIDEO, pa.array([self._absolute_path(row)]))
                main.write(row, len(actions))
                hands.write(record.select(HANDS_SCHEMA.names), len(actions))
                statistics.add(actions)
        tables.rename(self.work / "swap")  # from here on the new tables count
        flush_folder(self.work)
        self._finish_swap()
        return statistics

    def has_frames_video_as_wanted(self) -> bool:
        """Whether the main table has `frames_video`, or not, as configured, with paths to where the clips are now."""
        row = next(_rows(self._shards("")), None)
        if row is None:
            return True
        stored = row["frames_video"][0].as_py() if "frames_video" in row.schema.names else None
        return bool(stored == (self._absolute_path(row) if self._frames_video else None))

    def _absolute_path(self, row: pa.RecordBatch) -> str:
        return f"{self._root}/{row['frames'][0].as_py()}"

    def clean_up(self, clips: set[str]) -> None:
        """After a build: delete the records, which are in the tables now, and clips that no row names.

        Args:
            clips: those that rows name. Others can be left behind by an interrupted run, or by a source gone bad.
        """
        shutil.rmtree(self._records, ignore_errors=True)
        self._discard_incoming()  # of runs that were killed
        for batch in self.folder.glob("batch_*"):
            prefix = f"{self.folder.name}/{batch.name}"
            for name in os.listdir(batch):
                if name.startswith("trajectory_") and f"{prefix}/{name}" not in clips:
                    clip = batch / name
                    shutil.rmtree(clip) if clip.is_dir() else clip.unlink()

    def has_clip(self, clip_number: int, num_bytes: int | None) -> bool:
        """Whether a clip lies in its place, whole as far as its size tells."""
        clip = clip_path(self.folder.name, clip_number, use_video=self._use_video)
        path = f"{self._root}/{clip}"  # a Path for each clip would take longer than all else in a resumed run
        try:
            if self._use_video:
                return os.path.getsize(path) == num_bytes
            with os.scandir(path) as pictures:
                return sum(picture.stat().st_size for picture in pictures) == num_bytes
        except OSError:
            return False

    def _record_path(self, clip_number: int) -> Path:
        return self._records / f"{clip_number // 1000:04d}" / f"{clip_number:04d}.arrow"

    def _read_record(self, clip_number: int) -> pa.RecordBatch | None:
        path = self._record_path(clip_number)
        if not path.exists():
            return None
        with _stop_when_damaged(path), pa.OSFile(str(path)) as file:
            return pa.ipc.open_file(file).get_batch(0)

    def _shards(self, table: str) -> list[Path]:
        """The shards of the main table ("") or the sidecar ("hands"), in order."""
        return sorted((self.folder / table).glob("train-*.parquet"))

    def _column(self, table: str, name: str) -> pa.ChunkedArray:
        columns = [_open_shard(shard).read(columns=[name], use_threads=False)[0] for shard in self._shards(table)]
        return pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())

    def _stored_rows(self) -> Iterator[pa.RecordBatch]:
        """The rows of the tables as records, in order."""
        for main, hands in zip(_rows(self._shards("")), _rows(self._shards("hands")), strict=True):
            columns = main.select(self.schema.names).columns
            yield pa.record_batch([*columns, *hands.columns[1:]], self._record_schema)

    def _finish_swap(self) -> None:
        """Put finished new shards in the place of the old ones, so that nobody ever reads old and new together.

        `.work/swap` holds the shards that are not yet in their place, and `shards.json` names them all. Whatever
        moment this was interrupted at, the next call goes on.
        """
        swap, swapped = self.work / "swap", self.work / "swapped"
        shutil.rmtree(swapped, ignore_errors=True)
        if not swap.exists():
            return
        for table in ("", "hands"):
            names = json.loads((swap / table / "shards.json").read_text())
            not_moved = [name for name in names if (swap / table / name).exists()]
            (self.folder / table).mkdir(exist_ok=True)
            old = [shard for shard in self._shards(table) if shard.name in not_moved or shard.name not in names]
            if [shard.name for shard in old] != names or len(names) > 1:
                for shard in old:
                    shard.unlink()
            for name in not_moved:
                (swap / table / name).replace(self.folder / table / name)
            flush_folder(self.folder / table)
        swap.rename(swapped)
        shutil.rmtree(swapped)


class ShardWriter:
    """Writes rows to `folder/train-<i>-of-<n>.parquet`, each at most 500 MB, and their names to `shards.json`."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._schema = schema
        self._rows: list[pa.RecordBatch] = []
        self._num_frames = 0
        self._files: list[BinaryIO] = []
        self._writer: pq.ParquetWriter | None = None

    def write(self, row: pa.RecordBatch, num_frames: int) -> None:
        self._rows.append(row)
        self._num_frames += num_frames
        if len(self._rows) == _ROWS_PER_GROUP or self._num_frames >= _FRAMES_PER_GROUP:
            self._write_rows()

    def _write_rows(self) -> None:
        rows = pa.Table.from_batches(self._rows, self._schema).combine_chunks()
        num_groups = min(len(rows), 1 + rows.nbytes // _BYTES_PER_GROUP)  # several only where clips lie in the rows
        rows_per_group = -(-len(rows) // num_groups)
        for start in range(0, len(rows), rows_per_group):
            self._write_row_group(rows.slice(start, rows_per_group))
        self._rows.clear()
        self._num_frames = 0

    def _write_row_group(self, group: pa.Table) -> None:
        if self._writer is None or self._files[-1].tell() + group.nbytes > _SHARD_BYTES:
            self._start_shard()
        assert self._writer is not None
        self._writer.write_table(group)

    def _start_shard(self) -> None:
        self._finish_shard()
        self._files.append((self._folder / f"{len(self._files):05d}").open("wb"))
        self._writer = pq.ParquetWriter(self._files[-1], self._schema, compression="zstd", write_page_checksum=True)

    def _finish_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._files[-1].flush()
            os.fsync(self._files[-1].fileno())
            self._files[-1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            return
        if self._rows:
            self._write_rows()
        elif not self._files:  # a table without rows is still a table; readers stumble over an empty row group
            self._start_shard()
        self._finish_shard()
        count = len(self._files)
        names = [f"train-{number:05d}-of-{count:05d}.parquet" for number in range(count)]
        for number, name in enumerate(names):
            (self._folder / f"{number:05d}").rename(self._folder / name)
        write_whole(self._folder / "shards.json", json.dumps(names))


def _open_shard(shard: Path) -> pq.ParquetFile:
    return pq.ParquetFile(shard, page_checksum_verification=True)


def stored_schema(folder: Path) -> pa.Schema:
    """The columns of the main table in a dataset's folder, of whatever version it is, as others may have them."""
    shard = next(folder.glob("train-*.parquet"))
    with _stop_when_damaged(shard):
        stored = _open_shard(shard).schema_arrow
    ours = {field.name: field for field in main_schema(use_video=stored.field("frames").type == pa.string())}
    # Parquet has renamed what is in lists; with our own fields the same rows are written as the same bytes.
    return pa.schema([ours.get(field.name, field) for field in stored if field.name != FRAMES_VIDEO.name])


def has_frames_video(folder: Path) -> bool:
    """Whether the main table in a dataset's folder has the column that is for this machine only."""
    shard = next(folder.glob("train-*.parquet"))
    with _stop_when_damaged(shard):
        return FRAMES_VIDEO.name in _open_shard(shard).schema_arrow.names


def stored_rows(folder: Path) -> Iterator[pa.RecordBatch]:
    """The rows of the main table in a dataset's folder, in order, each a batch of one of the `stored_schema`."""
    schema = stored_schema(folder)
    rows = _rows(sorted(folder.glob("train-*.parquet")))
    return (pa.record_batch(row.select(schema.names).columns, schema) for row in rows)


def _rows(shards: list[Path]) -> Iterator[pa.RecordBatch]:
    for shard in shards:
        with _stop_when_damaged(shard):
            file = _open_shard(shard)
        for group in range(file.num_row_groups):
            with _stop_when_damaged(shard):
                table = file.read_row_group(group, use_threads=False)  # which take 50 MB and save no time
                (batch,) = table.combine_chunks().to_batches()
            yield from (batch.slice(row, 1) for row in range(batch.num_rows))


@contextmanager
def _stop_when_damaged(path: Path) -> Iterator[None]:
    """Raises StoppedError where Arrow cannot make sense of one of our files."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise StoppedError(f"{path} is damaged: delete it, then its rows are converted again") from error


def _key(record: pa.RecordBatch) -> str:
    key: str = record["source"][0].as_py()
    return key


def _actions(record: pa.RecordBatch) -> NDArray[np.float32]:
    """(T, D) actions of a record."""
    rows = record["actions"].flatten()
    num_frames = len(rows)
    return rows.flatten().to_numpy().reshape(num_frames, -1)  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    """A value as Arrow's converters take it: nested lists, NaN for unknown numbers as null."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == np.float32 and np.isnan(value).any():
        value = np.where(np.isnan(value), np.array(None), value)
    return value.tolist() if value.ndim > 1 else value
