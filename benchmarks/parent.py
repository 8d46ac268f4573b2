"""What an episode costs the parent process, which places what its workers hand over.

    uv run python benchmarks/parent.py

One episode of a miniature EgoDex is converted; of it are made as many ready pieces as asked for, each with its own
record, text, vector and clip. Then workers do nothing but hand these over, and the run's own loop takes them: files
into their places, ledger lines, durable every so often. That is measured with idle cores and with every core kept busy
by another process. Building the tables afterwards is measured, too; it happens once a run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from convert import machine

from dataset_upload import pipeline
from dataset_upload.config import GenerateConfig, parse_config
from dataset_upload.console.progress import progress
from dataset_upload.conversion import Conversion
from dataset_upload.dataset_folder import LEDGER, dataset_lock
from dataset_upload.dataset_loaders import make_loader
from dataset_upload.formats import find_format
from dataset_upload.formats.rfm.layout import clip_path
from dataset_upload.jobs import Job, Piece
from dataset_upload.ledger import Ledger
from dataset_upload.mini_egodex.part import make_mini_egodex
from dataset_upload.summary import Work


class Ready(NamedTuple):
    """A piece that waits in a folder, in place of an episode."""

    task_name: str
    folder: Path
    piece: Piece


@dataclass(frozen=True)
class HandOver(Conversion):
    """Hands over pieces that were made before: `ready` moves into the place where workers leave theirs."""

    def __call__(self, job: Job, files: Any = None) -> Piece:
        _, ready, piece = job.episode
        incoming = self.encoder.incoming  # type: ignore[attr-defined]  # of rfm's
        names = {path: path.name for path in (*piece.records.values(), *piece.media.values())}
        for name in names.values():
            os.rename(ready / name, incoming / name)
        return piece._replace(  # type: ignore[no-any-return]
            records={table: incoming / names[path] for table, path in piece.records.items()},
            media={place: incoming / names[path] for place, path in piece.media.items()},
        )

    def fetch(self, job: Job) -> None:
        return None


def parse(source: Path, output_dir: Path) -> GenerateConfig:
    return parse_config([f"--dataset.dataset_path={source}", f"--output.output_dir={output_dir}"])


def convert_one(scratch: Path) -> Piece:
    """A real piece, of one drawn episode."""
    make_mini_egodex(scratch / "mini", episodes=1, frames=(90, 91))
    config = parse(scratch / "mini", scratch / "none")
    loader = make_loader(config)
    (episode,) = loader.list_episodes()
    encoder = find_format("rfm").make_encoder(config, loader.about, scratch)
    return Conversion(loader, encoder)(Job(episode, episode.key, 0, loader.source_state(episode)))


def make_ready(piece: Piece, ready: Path, count: int) -> Iterator[Job]:
    """Pieces like one, but each with its own id, text, vector and files."""
    ready.mkdir()
    rows = {table: pa.ipc.open_file(path).get_batch(0) for table, path in piece.records.items()}
    (clip,) = piece.media.values()
    assert isinstance(clip, Path)
    content, random = clip.read_bytes(), np.random.default_rng(0)
    for number in range(count):
        key, place = f"task_{number % 100}/{number}", clip_path(number, use_video=True)
        vector = random.normal(size=384)
        own = {
            "id": f"{number:032x}",
            "source": key,
            "task": f"Put the block into box number {number}",
            "lang_vector": (vector / np.linalg.norm(vector)).astype(np.float32),
            "frames": f"egodex_test/{place}",
        }
        records = {table: ready / f"{number}.{table}" for table in rows}
        for table, row in rows.items():
            for name, value in own.items():
                if name in row.schema.names:
                    field = row.schema.field(name)
                    row = row.set_column(row.schema.get_field_index(name), field, pa.array([value], field.type))
            with pa.OSFile(str(records[table]), "wb") as file, pa.ipc.new_file(file, row.schema) as ipc:
                ipc.write_batch(row)
        (ready / f"{number}.mp4").write_bytes(content)
        its = piece._replace(records=records, media={place: ready / f"{number}.mp4"})
        yield Job(Ready(f"task_{number % 100}", ready, its), key, number, (len(content), (0, 0)))
    os.sync()  # workers flush what they write


def place_all(jobs: list[Job], config: GenerateConfig, num_workers: int) -> tuple[float, float, float]:
    """Take all pieces as a run does; returns seconds, seconds of CPU, and seconds that the tables take."""
    config = replace(config, output=replace(config.output, num_workers=num_workers))
    folder = Path(config.output.output_dir) / config.dataset.dataset_name
    loader, output_format = make_loader(config), find_format("rfm")
    settings, defaults = pipeline.row_settings(config, output_format)
    vars(pipeline)["Conversion"] = HandOver
    with dataset_lock(folder), Ledger(folder / LEDGER, settings, defaults, None) as ledger:
        writer = output_format.open_writer(folder, config, loader.about, loader.action_names)
        arguments = (loader, output_format, ledger, writer, config)
        pipeline.convert_all(jobs[:100], *arguments, Work(archive_bytes=0))  # starts the fork server
        wall, cpu = time.perf_counter(), time.process_time()
        pipeline.convert_all(jobs[100:], *arguments, Work(archive_bytes=0))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        start = time.perf_counter()
        writer.finish(ledger)
        return wall, cpu, time.perf_counter() - start


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Within the block, so many other processes compute without a pause."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num-episodes", type=int, default=3000, help="how many pieces (default: 3000)")
    parser.add_argument("--num-workers", type=int, default=2, help="processes that hand them over (default: 2)")
    options = parser.parse_args()
    print(machine(), "\n")
    print("| cores | episodes/s | CPU of the parent, ms an episode | tables, episodes/s |")
    print("| --- | ---: | ---: | ---: |")
    for name, num_busy in (("idle", 0), ("busy", os.cpu_count() or 1)):
        with tempfile.TemporaryDirectory() as scratch_name:
            scratch, count = Path(scratch_name), options.num_episodes
            made = make_ready(convert_one(scratch), scratch / "ready", count + 100)
            jobs = list(progress(made, "Making pieces", total=count + 100))
            with busy_cores(num_busy):
                wall, cpu, tables = place_all(jobs, parse(scratch / "mini", scratch / "out"), options.num_workers)
            print(f"| {name} | {count / wall:.0f} | {1000 * cpu / count:.2f} | {(count + 100) / tables:.0f} |")


if __name__ == "__main__":
    main()
