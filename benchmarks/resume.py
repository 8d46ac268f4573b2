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
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from convert import machine

from dataset_upload.config import parse_config
from dataset_upload.conversion import Job
from dataset_upload.dataset_loaders import make_loader
from dataset_upload.formats.rfm.tables import RfmWriter
from dataset_upload.mini_egodex.part import write_episode
from dataset_upload.pipeline import make_jobs, open_ledger, write_dataset
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


class MadeUpWriter(RfmWriter):
    """Finds a record waiting for every episode: always the same, but with other poses, and the episode's own names."""

    def __init__(self, folder: Path, record: pa.RecordBatch, own: Mapping[int, Mapping[str, str]]) -> None:
        super().__init__(folder, use_video=True)
        self._record = record
        self._own = own  # id, source and clip, by clip number
        self._noise = np.random.default_rng(0)

    def _read_record(self, clip_number: int) -> pa.RecordBatch:
        own = self._own[clip_number]
        columns = [
            pa.array([own[name]]) if name in own else shaken(column, self._noise)
            for name, column in zip(self._record.schema.names, self._record.columns, strict=True)
        ]
        return pa.record_batch(columns, self._record.schema)


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
    loader = make_loader(config)
    dataset, one = (folder / out / config.dataset.dataset_name for out in ("out", "one"))
    with open_ledger(one, config, None) as ledger_of_one:
        (entry,) = ledger_of_one.entries.values()
    (record,) = RfmWriter(one, use_video=True)._stored_rows()
    (dataset / ".work").mkdir(parents=True)
    with open_ledger(dataset, config, None) as ledger:
        jobs = make_jobs(select_round_robin(loader.list_episodes(), -1), loader, ledger, config)
        for job in jobs:
            write_clip(dataset.parent / job.clip, entry.clip_bytes or 0)
            size, versions = job.source_state
            ledger.append(
                entry._replace(key=job.key, clip=job.clip_number, source_bytes=size, source_versions=versions)
            )
        own = {job.clip_number: own_columns(job, loader.trajectory_id(job.episode)) for job in jobs}
        write_dataset(dataset, loader, ledger, MadeUpWriter(dataset, record, own), config)


def own_columns(job: Job, trajectory_id: str) -> dict[str, str]:
    return {"id": trajectory_id, "source": job.key, "frames": job.clip}


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
