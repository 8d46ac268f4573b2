"""What the end of a large run costs, and a run that has little or nothing to do: seconds, CPU, peak memory.

    uv run python benchmarks/finish.py

A dataset of 338,000 episodes is made up, as one whose episodes are all converted and whose tables are still to be
built: sources of nothing in 100 tasks, clips of zeros, the ledger, and a record of every row on the disk, with the
poses of one drawn episode, shaken, so that no two rows are alike and none compresses better than a real one. Then, each
in a new process: listing the episodes; the command, which builds all tables; the command with nothing to do; and again
after 100 more episodes were converted. Takes half an hour and 35 GB of disk, which are given back; `--episodes=100000`
a third of it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
from convert import machine

from dataset_upload.config import parse_config
from dataset_upload.console.progress import progress
from dataset_upload.conversion import Conversion
from dataset_upload.dataset_folder import WORK
from dataset_upload.dataset_loaders import make_loader
from dataset_upload.formats import find_format
from dataset_upload.formats.rfm.layout import RECORDS, clip_path, record_path
from dataset_upload.jobs import Job
from dataset_upload.ledger import Entry
from dataset_upload.mini_egodex.part import write_episode
from dataset_upload.pipeline import make_jobs, open_ledger
from dataset_upload.selection import select_round_robin

NUM_TASKS = 100
LISTING, FINISH, NOTHING, MORE = "listing them", "all tables to build", "nothing to do", "100 episodes more"
BARS = {LISTING: "", FINISH: "300 s, 1 GB", NOTHING: "8 s", MORE: "20 s"}

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


def shaken(array: pa.Array, noise: np.random.Generator) -> pa.Array:
    """An array with other 32-bit floats, so that it can be compressed no better than one of another episode."""
    if pa.types.is_list(array.type) and array.null_count == 0:
        return pa.ListArray.from_arrays(array.offsets, shaken(array.values, noise))
    if array.type == pa.float32() and array.null_count == 0:
        return pa.array(array.to_numpy() + noise.normal(0, 0.01, len(array)).astype(np.float32))
    return array


class MadeUp:
    """A source and a dataset of it in a folder, which can grow.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._num_episodes = 0
        self._noise = np.random.default_rng(0)
        write_episode(folder / "drawn", "basic_pick_and_place", 0, frames=90, size=(320, 180))
        config = parse_config(command(folder / "drawn", folder / "one"))
        loader, output_format = make_loader(config), find_format(config.output.format)
        (episode,) = loader.list_episodes()
        encoder = output_format.make_encoder(config, loader.about, folder)
        self._job = Job(episode, episode.key, 0, loader.source_state(episode))
        self._piece = Conversion(loader, encoder)(self._job)
        self._rows = {table: pa.ipc.open_file(path).get_batch(0) for table, path in self._piece.records.items()}

    def grow(self, count: int) -> None:
        """Add so many episodes to the source, and what a run leaves that has converted them, but not built tables."""
        for number in range(self._num_episodes, self._num_episodes + count):
            task = self.folder / "test" / f"task_{number % NUM_TASKS:02d}"
            for suffix in (".hdf5", ".mp4"):
                write_zeros(task / f"{number // NUM_TASKS}{suffix}", 1000)
        self._num_episodes += count
        config = parse_config(command(self.folder / "test", self.folder / "out"))
        loader, output_format = make_loader(config), find_format(config.output.format)
        dataset = self.folder / "out" / config.dataset.dataset_name
        (dataset / WORK).mkdir(parents=True, exist_ok=True)
        with open_ledger(dataset, config, output_format, None, None) as ledger:
            selected = select_round_robin(loader.list_episodes(), -1)
            numbers = ledger.clip_numbers([episode.key for episode in selected])
            jobs = make_jobs(selected, numbers, loader, ledger)
            for job in progress(jobs, "Making records", total=len(jobs)):
                write_zeros(dataset / clip_path(job.number, use_video=True), self._piece.media_bytes)
                for table, row in self._rows.items():
                    write_record(dataset / WORK / RECORDS / record_path(table, job.number), self._made_up(row, job))
                ledger.append(Entry.of_piece(job, self._piece))
        os.sync()

    def _made_up(self, row: pa.RecordBatch, job: Job) -> pa.RecordBatch:
        own = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, job.key)),
            "source": job.key,
            "frames": f"egodex_test/{clip_path(job.number, use_video=True)}",
        }
        columns = [
            pa.array([own[name]]) if name in own else shaken(column, self._noise)
            for name, column in zip(row.schema.names, row.columns, strict=True)
        ]
        return pa.record_batch(columns, row.schema)


def write_zeros(path: Path, num_bytes: int) -> None:
    """A file of which there is nothing but its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.truncate(path, num_bytes)


def write_record(path: Path, row: pa.RecordBatch) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, row.schema) as ipc:
        ipc.write_batch(row)


def measure(step: str, folder: Path) -> tuple[float, float, float, list[str]]:
    """Do one step in a new process: (seconds, seconds of CPU, megabytes, what it said)."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    program = f"import sys\n{LIST if step == LISTING else CONVERT}\n{PRINT_PEAK_MEMORY}"
    arguments = [sys.executable, "-c", program, *command(folder / "test", folder / "out")]
    output = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - start, cpu, int(output[-1]) * 1024 / 1e6, output[:-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=338_000, help="of the dataset (default: 338000)")
    parser.add_argument("--folder", type=Path, help="for what is made up (default: the system's for temporary files)")
    options = parser.parse_args()
    print(machine(), "\n")
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        made_up = MadeUp(Path(scratch))
        made_up.grow(options.episodes)
        print(f"| {options.episodes:,} episodes | s | CPU s | peak MB | bar |")
        print("| --- | ---: | ---: | ---: | --- |")
        for step in BARS:
            if step == MORE:
                made_up.grow(100)
            seconds, cpu, megabytes, said = measure(step, made_up.folder)
            assert step == LISTING or f"Done:    {options.episodes + 100 * (step == MORE)}" in said, said
            print(f"| {step} | {seconds:.1f} | {cpu:.1f} | {megabytes:.0f} | {BARS[step]} |", flush=True)


if __name__ == "__main__":
    main()
