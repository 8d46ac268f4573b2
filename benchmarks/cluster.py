"""What conversion on many machines costs beside the conversions themselves, which are faked.

    uv run --extra ray python benchmarks/cluster.py ray --num-workers 64

`ray`: as many worker processes as asked for, on a Ray cluster of this machine, sleep for as long as an episode takes to
convert and return a piece of its size, incompressible. The run's own loop takes the pieces: files written, flushed and
in their places, ledger lines. Told are the share of the time that workers slept, from when all had started to the last
job that was handed out, and the CPU time of all that is not sleep: of this process, and of Ray with its workers.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from convert import machine
from parent import parse

from dataset_upload import pipeline
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

CLIP_BYTES = 37_000  # of EgoDex's clips on average
RECORD_BYTES = {"main": 16_600, "hands": 32_000}  # of their rows


class Faked(NamedTuple):
    """An episode that there is not."""

    task_name: str
    seconds: float  # that it takes to convert


@dataclass(frozen=True)
class Sleep(Conversion):
    """Takes the time of a conversion, and gives a piece of its size; `summary` tells by whom and when."""

    def __call__(self, job: Job, files: Any = None) -> Piece:
        start = time.time()
        time.sleep(job.episode.seconds)
        records = {table: random.randbytes(size) for table, size in RECORD_BYTES.items()}
        clip = random.randbytes(CLIP_BYTES)
        summary = f"{os.getpid()} {start} {time.time()}"
        return Piece(records, {clip_path(job.number, use_video=True): clip}, len(clip), "0" * 64, summary=summary)

    def fetch(self, job: Job) -> None:
        return None


class Moment(NamedTuple):
    """What had been used when an episode was done."""

    time: float
    here: float  # CPU seconds of this process
    elsewhere: float  # of all that it has started


def cpu_seconds(pid: int) -> float:
    """CPU seconds of all descendants of a process that are there now."""
    parents, seconds = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        seconds[int(folder.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    family = {pid}
    while more := {each for each, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(seconds[each] for each in family - {pid})


def now() -> Moment:
    return Moment(time.time(), time.process_time(), cpu_seconds(os.getpid()))


def run_on_ray(num_workers: int, num_episodes: int, seconds: float) -> None:
    """Do faked episodes; prints what they cost."""
    from ray.cluster_utils import Cluster

    import dataset_upload.engines.ray_tasks  # noqa: F401  which sets how Ray behaves

    node = {"num_cpus": num_workers, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    intervals: list[tuple[int, float, float]] = []
    moments: dict[str, Moment] = {}

    def clocked(items: Iterable[Any], description: str, *, total: int, unit: str = "it") -> Iterator[Any]:
        for job, piece in progress(items, description, total=total, unit=unit):
            pid, start, end = piece.summary.split()
            intervals.append((int(pid), float(start), float(end)))
            if "first" not in moments and len({pid for pid, _, _ in intervals[-8 * num_workers :]}) == num_workers:
                moments["first"] = now()
            if len(intervals) == num_episodes - 2 * num_workers:
                moments["last"] = now()
            yield job, piece

    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        make_mini_egodex(scratch / "mini", episodes=1, frames=(90, 91))
        config = parse(scratch / "mini", scratch / "out")
        config = replace(config, output=replace(config.output, engine="ray", ray_address=cluster.address))
        folder = scratch / "out" / config.dataset.dataset_name
        loader, output_format = make_loader(config), find_format("rfm")
        settings, defaults = pipeline.row_settings(config, output_format)
        vars(pipeline)["Conversion"], vars(pipeline)["progress"] = Sleep, clocked
        jobs = [Job(Faked("task", seconds), f"task/{number}", number, (0, (0, 0))) for number in range(num_episodes)]
        with dataset_lock(folder), Ledger(folder / LEDGER, settings, defaults, None) as ledger:
            writer = output_format.open_writer(folder, config, loader.about, loader.action_names)
            pipeline.convert_all(jobs, loader, output_format, ledger, writer, config, Work(archive_bytes=0))
    cluster.shutdown()

    first, last = moments["first"], moments["last"]
    asleep = sum(max(0.0, min(end, last.time) - max(start, first.time)) for _, start, end in intervals)
    wall = last.time - first.time
    count = sum(first.time < end <= last.time for _, _, end in intervals)
    print("| workers | s an episode | episodes/s | workers busy | CPU, ms an episode: this process | Ray, workers |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    cells = (
        str(num_workers),
        f"{seconds:g}",
        f"{count / wall:.0f}",
        f"{asleep / wall / num_workers:.1%}",
        f"{1000 * (last.here - first.here) / count:.2f}",
        f"{1000 * (last.elsewhere - first.elsewhere) / count:.2f}",
    )
    print(f"| {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    on_ray = parts.add_parser("ray", help="faked conversions on a Ray cluster of this machine")
    on_ray.add_argument("--num-workers", type=int, default=64, help="worker processes (default: 64)")
    on_ray.add_argument("--num-episodes", type=int, default=12_000, help="how many (default: 12000)")
    on_ray.add_argument("--seconds", type=float, default=0.384, help="that an episode takes (default: 0.384)")
    options = parser.parse_args()
    print(machine(), "\n")
    run_on_ray(options.num_workers, options.num_episodes, options.seconds)


if __name__ == "__main__":
    main()
