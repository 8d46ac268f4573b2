"""The rows of one episode: only those row groups of a file are read that have some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataset_upload.dataset_loaders.lerobot.metadata import Info, ListedEpisode
from dataset_upload.errors import EpisodeError, Reason
from dataset_upload.video.video_part import TOLERANCE


class Rows(NamedTuple):
    """The T rows of one episode.

    Attributes:
        times: (T,) seconds from the episode's start.
        actions: (T, D).
        states: (T, S); None where there are none.
        tasks: the numbers of its tasks, in the order in which they begin; None where rows have none.
        succeeded: whether any row's `next.success` is true; None where rows have none.
    """

    times: NDArray[np.float64]
    actions: NDArray[np.float32]
    states: NDArray[np.float32] | None
    tasks: tuple[int, ...] | None
    succeeded: bool | None


def read_rows(path: Path, info: Info, episode: ListedEpisode) -> Rows:
    """Read an episode's rows, and see that they are what the list of episodes says.

    Raises:
        EpisodeError: unreadable source, frame count mismatch, zero frames, frame rate, nan poses; permission denied.
    """

    def refused(reason: Reason, what: str) -> EpisodeError:
        return EpisodeError(reason, f"Error loading trajectory {episode.number}: {what}: {path}")

    def numbers(table: pa.Table, name: str) -> NDArray[np.float32]:
        width = len(info.names(name))
        values = _flat(table.column(name))
        if len(values) != len(table) * width:
            raise refused(Reason.UNREADABLE_SOURCE, f"{name} has not {width} numbers in every row")
        found = values.astype(np.float32).reshape(-1, width)
        if bad := np.count_nonzero(~np.isfinite(found).all(axis=1)):
            raise refused(Reason.NAN_POSES, f"{name} is not finite in {bad} of {len(found)} rows")
        return found

    try:
        table = _table(path, [info.action, info.state], episode.number)
        if len(table) != episode.length:
            what = f"{len(table)} rows for the {episode.length} frames that are listed"
            raise refused(Reason.FRAME_COUNT_MISMATCH, what)
        if not len(table):
            raise refused(Reason.ZERO_FRAMES, "no rows")
        steps = np.arange(len(table))
        for name, first in (("frame_index", 0), ("index", episode.first_row)):
            if name in table.column_names and first is not None and (_flat(table.column(name)) != first + steps).any():
                raise refused(Reason.UNREADABLE_SOURCE, f"{name} does not count from {first} on")
        times = steps / info.fps
        if "timestamp" in table.column_names:
            told = _flat(table.column("timestamp")).astype(np.float64)
            if not (np.abs(told - times) <= TOLERANCE + np.spacing(np.float32(times[-1]))).all():
                raise refused(Reason.FRAME_RATE, f"timestamps do not follow each other at {info.fps:g} a second")
        tasks = succeeded = None
        if "task_index" in table.column_names:
            tasks = tuple(dict.fromkeys(_flat(table.column("task_index")).astype(int).tolist()))
        if "next.success" in table.column_names:
            succeeded = bool(_flat(table.column("next.success")).astype(bool).any())
        states = None if info.state is None else numbers(table, info.state)
        return Rows(times, numbers(table, info.action), states, tasks, succeeded)
    except FileNotFoundError as error:
        raise refused(Reason.UNREADABLE_SOURCE, "its file of rows is missing") from error
    except PermissionError as error:
        raise refused(Reason.PERMISSION_DENIED, "its file of rows may not be read") from error
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
        raise refused(Reason.UNREADABLE_SOURCE, f"its rows cannot be read ({error})") from error


def _table(path: Path, columns: Sequence[str | None], number: int) -> pa.Table:
    own = ["frame_index", "index", "timestamp", "task_index", "next.success"]
    with pq.ParquetFile(path) as file:
        there = set(file.schema_arrow.names)
        groups = [
            group
            for group in range(file.num_row_groups)
            if (stats := _bounds(file, group)) is None or stats[0] <= number <= stats[1]
        ]
        wanted = dict.fromkeys([*filter(None, columns), *(name for name in own if name in there), "episode_index"])
        if missing := [name for name in wanted if name not in there]:
            raise LookupError(f"no column {', '.join(missing)}")
        table = file.read_row_groups(groups, columns=list(wanted), use_threads=False)
    return table.filter(pa.array(_flat(table.column("episode_index")) == number))


def _bounds(file: pq.ParquetFile, group: int) -> tuple[int, int] | None:
    """Lowest and highest number of an episode in a row group; None: nobody knows."""
    metadata = file.metadata.row_group(group)
    for number in range(metadata.num_columns):
        chunk = metadata.column(number)
        if chunk.path_in_schema == "episode_index":
            stats = chunk.statistics
            return (stats.min, stats.max) if stats is not None and stats.has_min_max else None
    return None


def _flat(column: pa.ChunkedArray) -> NDArray[np.generic]:
    """All numbers of a column, one after the other, however its lists are nested; NaN for null."""
    array = column.combine_chunks()
    while pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type) or pa.types.is_large_list(array.type):
        array = array.flatten()
    values: NDArray[np.generic] = array.to_numpy(zero_copy_only=False)
    return values
