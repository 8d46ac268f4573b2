"""How a run's rate grows with its worker processes.

    uv run python benchmarks/workers.py --episodes /path/to/egodex/test

The command itself converts the same episodes with one worker, two, and so on to the number of cores, in rounds that are
interleaved, so that a machine whose speed drifts is fair to all; figures are medians. Episodes are repeated, by links,
until there are enough that starting up weighs little. Without --episodes a miniature EgoDex is drawn.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from convert import find_episodes, machine

from dataset_upload.console.progress import progress
from dataset_upload.mini_egodex.part import make_mini_egodex


def link_repeatedly(episodes: list[Path], count: int, part: Path) -> None:
    """Make a part of `count` episodes, links to a few in turn."""
    for number in range(count):
        episode = episodes[number % len(episodes)]
        link = part / episode.parent.name / str(number)
        link.parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".hdf5", ".mp4"):
            link.with_suffix(suffix).symlink_to(episode.with_suffix(suffix).resolve())


def convert(part: Path, num_workers: int) -> tuple[float, float]:
    """Seconds that the command takes for a part, and those of them without starting and ending Python."""
    with tempfile.TemporaryDirectory() as output_dir:
        command = [sys.executable, "-m", "dataset_upload.generate_hf_dataset", f"--dataset.dataset_path={part}"]
        command += [f"--output.num_workers={num_workers}", f"--output.output_dir={output_dir}"]
        start = time.perf_counter()
        output = subprocess.run(
            [*command, "--output.max_trajectories=-1"], capture_output=True, text=True, check=True
        ).stdout
        whole = time.perf_counter() - start
    found = re.search(r"^Time: +([\d.,]+) s", output, re.MULTILINE)
    assert found is not None, output
    return whole, float(found[1].replace(",", ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=Path, help="folder of an EgoDex part (default: a miniature one is drawn)")
    parser.add_argument("--num-episodes", type=int, default=200, help="how many a run converts (default: 200)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default: 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        if options.episodes is None:
            options.episodes = scratch / "mini"
            make_mini_egodex(options.episodes, episodes=10, frames=(90, 170))
        link_repeatedly(find_episodes(options.episodes), options.num_episodes, scratch / "part")
        numbers = range(1, (os.cpu_count() or 1) + 1)
        plan = [number for _ in range(options.rounds) for number in numbers]
        seconds: dict[int, list[tuple[float, float]]] = {number: [] for number in numbers}
        for number in progress(plan, "Measuring", total=len(plan)):
            seconds[number].append(convert(scratch / "part", number))
    print(machine(), "\n")
    print(f"| workers | s for {options.num_episodes} episodes | episodes/s | of one worker's | s with start and end |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    of_one = statistics.median(run for _, run in seconds[1])
    for number in numbers:
        whole, run = (statistics.median(times) for times in zip(*seconds[number], strict=True))
        rate = options.num_episodes / run
        print(f"| {number} | {run:.1f} | {rate:.2f} | {of_one / run:.2f} | {whole:.1f} |")


if __name__ == "__main__":
    main()
