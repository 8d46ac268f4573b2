"""What it costs to convert from a zip, on disk or behind http, instead of from a folder.

    uv run python benchmarks/sources.py --episodes /path/to/egodex/test

The same episodes are converted from their folder, from a stored and a deflated zip, and from both over http from a
server on this machine, in rounds that are interleaved, so that a machine whose speed drifts is fair to all. Each run is
a process of its own that has converted one episode before it is measured; figures are medians. What a source adds is
all in the step that gets an episode's files ready, which is therefore shown by itself, too. Then the bytes and requests
that one long episode takes over http. Without --episodes a miniature EgoDex is drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from convert import machine, repeat_episode

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "harness"))
from archives import DEFLATED, STORED, pack
from range_server import serving

from dataset_upload.config import GenerateConfig
from dataset_upload.conversion import Conversion
from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader
from dataset_upload.formats.rfm.encoder import RfmEncoder
from dataset_upload.jobs import Job
from dataset_upload.mini_egodex.part import make_mini_egodex

LONG_EPISODE = 1800  # frames, one minute


def make_conversion(loader: EgoDexLoader, incoming: Path) -> Conversion:
    return Conversion(loader, RfmEncoder("benchmark", GenerateConfig().output, loader.about, incoming))


def work(source: str, num_episodes: int) -> tuple[float, float]:
    """Convert episodes; mean CPU seconds an episode, and those of getting its files ready."""
    loader = EgoDexLoader(source, "benchmark")
    episodes = [episode for episode in loader.list_episodes() if episode.hdf5 and episode.mp4][:num_episodes]
    with tempfile.TemporaryDirectory() as folder:
        conversion = make_conversion(loader, Path(folder))
        jobs = [Job(episode, episode.key, 0, loader.source_state(episode)) for episode in episodes]
        conversion(jobs[0])
        total = fetching = 0.0
        for job in jobs:
            start = time.process_time()
            files = conversion.fetch(job)
            fetched = time.process_time()
            conversion(job, files)
            fetching += fetched - start
            total += time.process_time() - start
        return total / len(jobs), fetching / len(jobs)


def run_work(source: str, num_episodes: int) -> tuple[float, float]:
    """`work` in a new process."""
    command = [sys.executable, __file__, "--work", source, "--num-episodes", str(num_episodes)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    total, fetching = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    return total, fetching


def measure_cpu(folder: Path, scratch: Path, num_episodes: int, rounds: int) -> None:
    """Print CPU seconds by source."""
    pack(folder, scratch / "stored.zip", STORED)
    pack(folder, scratch / "deflated.zip", DEFLATED)
    with serving(scratch) as server:
        sources = {
            "folder": str(folder),
            "stored zip": str(scratch / "stored.zip"),
            "deflated zip": str(scratch / "deflated.zip"),
            "stored zip, http": f"{server.url}/stored.zip",
            "deflated zip, http": f"{server.url}/deflated.zip",
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
        for _ in range(rounds):
            for name, source in sources.items():
                seconds[name].append(run_work(source, num_episodes))
    base = statistics.median(total for total, _ in seconds["folder"])
    print("| source | CPU ms an episode | of them getting the files ready | of the folder's |")
    print("| --- | ---: | ---: | ---: |")
    for name, of_source in seconds.items():
        total, fetching = (statistics.median(figures) for figures in zip(*of_source, strict=True))
        print(f"| {name} | {total * 1e3:.0f} | {fetching * 1e3:.1f} | {fetching / base:.1%} |")


def measure_traffic(folder: Path, scratch: Path) -> None:
    """Print what one long episode takes over http."""
    original = next(
        video.with_suffix("") for video in sorted(folder.glob("*/*.mp4")) if video.with_suffix(".hdf5").exists()
    )
    long = scratch / "test" / "long"
    repeat_episode(original, LONG_EPISODE, long)
    print(f"\n| {LONG_EPISODE:,} frames over http | poses, MB | video, MB | of | requests |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, method in (("stored", STORED), ("deflated", DEFLATED)):
        pack(long.parent, scratch / "long.zip", method)
        with serving(scratch) as server:
            loader = EgoDexLoader(f"{server.url}/long.zip", "benchmark")
            (episode,) = loader.list_episodes()
            first = len(server.requests)
            conversion = make_conversion(loader, scratch)
            conversion(Job(episode, episode.key, 0, loader.source_state(episode)))
            fetched = sum(request.body_bytes for request in server.requests[first:])
        poses, video = (file.compressed_size / 1e6 for file in (episode.hdf5, episode.mp4))  # type: ignore[union-attr]
        num_requests = len(server.requests) - first
        print(f"| {name} | {poses:.1f} | {fetched / 1e6 - poses:.1f} | {video:.1f} | {num_requests} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=Path, help="folder of an EgoDex part (default: a miniature one is drawn)")
    parser.add_argument("--num-episodes", type=int, default=5, help="how many of them (default: 5)")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: 5)")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(options.work, options.num_episodes)))
        return
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        if options.episodes is None:
            options.episodes = scratch / "mini"
            make_mini_egodex(options.episodes, episodes=options.num_episodes, frames=(90, 170))
        print(machine(), "\n")
        measure_cpu(options.episodes, scratch, options.num_episodes, options.rounds)
        measure_traffic(options.episodes, scratch)


if __name__ == "__main__":
    main()
