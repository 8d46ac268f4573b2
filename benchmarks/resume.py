"""What a large dataset costs a run that has little or nothing to do: seconds from start to end, peak memory.

    uv run python benchmarks/resume.py

A dataset of 100,000 episodes is made up which the command takes for finished: sources of some bytes in 100 tasks, clips
of zeros, and ledger, tables and conversion.json as the command itself leaves them, each row with the poses of one drawn
episode, shaken. Then, each in a new process: listing the episodes; the command with nothing to do; with conversion.json
lost, for which it writes all tables anew; with one episode more to convert, after which it does so, too. Takes some ten
minutes and 10 GB of disk, which are given back.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from convert import machine

from dataset_upload.config import parse_config
from dataset_upload.dataset_loaders import make_loader
from dataset_upload.formats import find_format
from dataset_upload.formats.rfm.layout import clip_path
from dataset_upload.formats.rfm.tables import Rows
from dataset_upload.formats.rfm.writer import RfmWriter
from dataset_upload.jobs import Job
from dataset_upload.mini_egodex.part import write_episode
from dataset_upload.pipeline import make_jobs, open_ledger
from dataset_upload.selection import select_round_robin

NUM_TASKS = 100
LISTING, NOTHING, TABLES, ONE_MORE = "listing them", "nothing to do", "all tables to write anew", "one episode more"
BARS = {LISTING: "3 s", NOTHING: "5 s, 300 MB", TABLES: "500 MB", ONE_MORE: ""}

LIST = """
from dataset_upload.dataset_loaders.egodex.archive import list_episodes
list_episodes(sys.argv[1].partition("=")[2])
"""
CONVERT = """
from dataset_upload.generate_hf_dataset import main
assert main(sys.argv[1:]) == 0
"""
PRINT_PEAK_MEMORY = """
import re
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def command(source: Path, output_dir: Path) -> list[str]:
    """The command's options."""
    return [
        f"--dataset.dataset_path={source}",
        f"--output.output_dir={output_dir}",
        "--output.max_trajectories=-1",
    ]


class MadeUpRecords:
    """A record waiting for every episode: always the same, but with other poses, and the episode's own names."""

    def __init__(self, rows: Rows, own: Mapping[int, Mapping[str, str]]) -> None:
        self._rows = rows
        self._own = own  # id, source and clip, by number
        self._noise = np.random.default_rng(0)

    def __call__(self, number: int) -> Rows:
        return {table: self._made_up(row, self._own[number]) for table, row in self._rows.items()}

    def _made_up(self, row: pa.RecordBatch, own: Mapping[str, str]) -> pa.RecordBatch:
        columns = [
            pa.array([own[name]]) if name in own else shaken(column, self._noise)
            for name, column in zip(row.schema.names, row.columns, strict=True)
        ]
        return pa.record_batch(columns, row.schema)


def shaken(array: pa.Array, noise: np.random.Generator) -> pa.Array:
    """An array with other 32-bit floats, so that it can be compressed no better than one of another episode."""
    if pa.types.is_list(array.type) and array.null_count == 0:
        return pa.ListArray.from_arrays(array.offsets, shaken(array.values, noise))
    if array.type == pa.float32() and array.null_count == 0:
        return pa.array(array.to_numpy() + noise.normal(0, 0.01, len(array)).astype(np.float32))
    return array


def make_up(folder: Path, count: int) -> None:
    """Write a source of `count` episodes and a dataset that holds them all."""
    write_episode(folder / "drawn", "basic_pick_and_place", 0, frames=90, size=(320, 180))
    convert = [sys.executable, "-m", "dataset_upload.generate_hf_dataset", *command(folder / "drawn", folder / "one")]
    subprocess.run(convert, check=True, capture_output=True)
    for number in range(count):
        task = folder / "test" / f"task_{number % NUM_TASKS:02d}"
        task.mkdir(parents=True, exist_ok=True)
        for suffix in (".hdf5", ".mp4"):
            (task / f"{number // NUM_TASKS}{suffix}").write_bytes(b"made up")

    config = parse_config(command(folder / "test", folder / "out"))
    loader, output_format = make_loader(config), find_format(config.output.format)
    dataset, one = (folder / out / config.dataset.dataset_name for out in ("out", "one"))

    def open_writer(folder: Path) -> RfmWriter:
        writer = output_format.open_writer(folder, config, loader.about, loader.action_names)
        assert isinstance(writer, RfmWriter)
        return writer

    with open_ledger(one, config, output_format, None, None) as ledger_of_one:
        (entry,) = ledger_of_one.entries.values()
    (rows,) = open_writer(one).tables._stored_rows()
    (dataset / ".work").mkdir(parents=True)
    with open_ledger(dataset, config, output_format, None, None) as ledger:
        selected = select_round_robin(loader.list_episodes(), -1)
        jobs = make_jobs(selected, ledger.clip_numbers([episode.key for episode in selected]), loader, ledger)
        for job in jobs:
            write_clip(dataset / clip_path(job.number, use_video=True), entry.clip_bytes or 0)
            size, versions = job.source_state
            ledger.append(entry._replace(key=job.key, clip=job.number, source_bytes=size, source_versions=versions))
        writer = open_writer(dataset)
        writer.tables._read_records = MadeUpRecords(rows, {job.number: own_columns(job) for job in jobs})  # type: ignore[method-assign]
        writer.finish(ledger)


def own_columns(job: Job) -> dict[str, str]:
    frames = f"egodex_test/{clip_path(job.number, use_video=True)}"
    return {"id": str(uuid.uuid5(uuid.NAMESPACE_DNS, job.key)), "source": job.key, "frames": frames}


def write_clip(path: Path, num_bytes: int) -> None:
    """A clip of which there is nothing but its size."""
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.truncate(path, num_bytes)


def measure(step: str, folder: Path) -> tuple[float, float, list[str]]:
    """Do one step in a new process: (seconds, megabytes, what it said)."""
    start = time.monotonic()
    program = f"import sys\n{LIST if step == LISTING else CONVERT}\n{PRINT_PEAK_MEMORY}"
    arguments = [sys.executable, "-c", program, *command(folder / "test", folder / "out")]
    output = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return time.monotonic() - start, int(output[-1]) * 1024 / 1e6, output[:-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=100_000, help="of the dataset (default: 100000)")
    options = parser.parse_args()
    print(machine(), "\n")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_up(folder, options.episodes)
        print(f"| {options.episodes:,} episodes | s | peak MB | bar |")
        print("| --- | ---: | ---: | --- |")
        for step in BARS:
            if step == TABLES:
                (info,) = folder.glob("out/*/conversion.json")
                info.unlink()
            if step == ONE_MORE:
                shutil.copytree(folder / "drawn" / "basic_pick_and_place", folder / "test" / "task_new")
            seconds, megabytes, said = measure(step, folder)
            if step != LISTING:
                num_episodes = options.episodes + (step == ONE_MORE)
                assert f"Done:    {num_episodes}" in said, said
            print(f"| {step} | {seconds:.1f} | {megabytes:.0f} | {BARS[step]} |", flush=True)


if __name__ == "__main__":
    main()
