"""A catalogue, top to bottom: episodes, jobs, rows, one Parquet file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import blake2b
from itertools import islice
from logging import ERROR, WARNING
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_upload.catalogue.columns import DUPLICATES, catalogue_schema
from dataset_upload.catalogue.measuring import Measuring, check_measurable
from dataset_upload.catalogue.rows_file import Place, Row, find_rows, open_rows, read_row
from dataset_upload.console.logs import logger
from dataset_upload.console.progress import progress
from dataset_upload.dataset_loaders import DatasetLoader
from dataset_upload.engines import Engine
from dataset_upload.errors import EpisodeError, UsageError
from dataset_upload.jobs import Job
from dataset_upload.shard import Shard
from dataset_upload.storage.whole_file import flush_folder, replacing

_ROWS_IN_MEMORY = 4096  # at once, when the Parquet file is written: one row group


def catalogue(loader: DatasetLoader, out: Path, engine: Engine, shard: Shard | None = None) -> int:
    """Measure each episode that has no row yet, and write the catalogue; returns how many could not be measured.

    Args:
        loader: lists the episodes, and reads them.
        out: the Parquet file: one row an episode, in the order in which the loader lists them.
        engine: where episodes are measured.
        shard: measure only this share and write no Parquet file, which the run without it does.

    Raises:
        UsageError: the run cannot begin.
        StoppedError: no more episodes can be read; rows that are finished are kept.
    """
    start = time.monotonic()
    check_measurable(loader, "loader")
    check_place(out, loader)
    folder = rows_folder(out)
    columns = [name for name in catalogue_schema(loader.about).names if name != DUPLICATES]
    episodes = loader.list_episodes()
    jobs = [Job(each, each.key, number, loader.source_state(each)) for number, each in enumerate(episodes)]
    states = {job.key: job.source_state for job in jobs}
    share = [job for job in jobs if shard is None or shard.has(job.number)]
    with open_rows(folder / f"{'all' if shard is None else shard.file_name}.jsonl", columns) as rows:
        done = find_rows(folder, columns, states)
        open_jobs = [job for job in share if job.key not in done or done[job.key].status == "failed"]
        logger.info(f"Found {len(jobs)} episodes; {len(open_jobs)} of {len(share)} to be measured")
        with closing(engine.run(Measuring(loader), open_jobs)) as outcomes:
            for job, outcome in progress(outcomes, "Measuring episodes", total=len(open_jobs)):
                if isinstance(outcome, EpisodeError):
                    logger.log(WARNING if outcome.reason.is_skip else ERROR, str(outcome))
                    rows.append(job, failure(job, outcome), "skipped" if outcome.reason.is_skip else "failed")
                else:
                    rows.append(job, outcome, "measured")
        places = find_rows(folder, columns, states)
        if shard is None:
            write(out, jobs, places, loader)
    return summarise([places[job.key] for job in share], out, shard, time.monotonic() - start)


def rows_folder(out: Path) -> Path:
    """Where finished rows are kept: beside the Parquet file."""
    return out.with_name(f"{out.name}.rows")


def check_place(out: Path, loader: DatasetLoader) -> None:
    """Raises UsageError where the Parquet file cannot be, or would lie in the source."""
    if out.suffix != ".parquet":
        raise UsageError(f"OUT: {out} must end in .parquet")
    if out.is_dir():
        raise UsageError(f"OUT: {out} is a folder; name a file")
    for source in loader.local_sources():
        if out.resolve().is_relative_to(source.resolve()):
            raise UsageError(f"OUT: {out} lies in the source {source}, where nothing is written; name a file elsewhere")


def failure(job: Job, error: EpisodeError) -> Row:
    """The row of an episode that cannot be measured."""
    return {
        "key": _as_utf_8(job.key),
        "task_name": _as_utf_8(job.episode.task_name),
        "reason": str(error.reason),
    }


def _as_utf_8(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def write(out: Path, jobs: Sequence[Job], places: Mapping[str, Place], loader: DatasetLoader) -> None:
    """Write the Parquet file, whole or not at all."""
    schema = catalogue_schema(loader.about)
    columns = [name for name in schema.names if name != DUPLICATES]
    same = Counter(digest for job in jobs if (digest := _text_in_session(read_row(places[job.key], columns))))

    def rows() -> Iterator[Row]:
        for job in progress(jobs, "Writing rows", total=len(jobs)):
            row = read_row(places[job.key], columns)
            digest = _text_in_session(row)
            yield row | {DUPLICATES: None if digest is None else same[digest] - 1}

    with replacing(out) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        remaining = rows()
        while group := list(islice(remaining, _ROWS_IN_MEMORY)):
            writer.write_table(pa.Table.from_pylist(group, schema))
    flush_folder(out.parent)


def _text_in_session(row: Mapping[str, Any]) -> bytes | None:
    """Equal for rows of one session whose texts differ by case and spaces only; None where either is unknown."""
    task, session = row.get("task"), row.get("session_name")
    if task is None or session is None:
        return None
    return blake2b(f"{session}\0{' '.join(task.lower().split())}".encode(), digest_size=8).digest()


def summarise(places: Sequence[Place], out: Path, shard: Shard | None, seconds: float) -> int:
    """The last lines of a run; returns how many episodes could not be measured."""
    for status, label, meaning in (
        ("measured", "Measured:", "cannot be converted: "),
        ("skipped", "Skipped:", ""),
        ("failed", "Failed:", ""),
    ):
        of_status = [place for place in places if place.status == status]
        reasons = Counter(place.reason for place in of_status if place.reason).most_common()
        detail = meaning + ", ".join(f"{count} {reason}" for reason, count in reasons)
        logger.info(f"{label:<10}{len(of_status)}" + (f" ({detail})" if reasons else ""))
    logger.info(f"Time:     {seconds:.1f} s")
    if shard is None:
        logger.info(f"Wrote:    {out}")
    else:
        logger.info(f"Next:     when all {shard.count} shards have ended, the same command without --shard={shard}")
    return sum(place.status == "failed" for place in places)
