"""What a LeRobot dataset of EgoDex costs to make, beside lerobot's own writer.

    uv run python benchmarks/lerobot_writer.py --episodes /path/to/egodex/test \
        --python "$(uv run python tests/harness/lerobot_readers.py | head -1)"

Every way makes a v3.0 dataset of the same episodes: all frames, 30 a second, 256x256, the same columns. Ours is the
command's own run with one worker: poses are read, frames decoded, scaled, encoded, statistics computed, the dataset
finished. `--python` has lerobot; there PyAV decodes, FFmpeg averages in the step in which it makes RGB, and then
LeRobotDataset does the rest by `add_frame`, `save_episode`, `finalize`. It gets all columns ready-made, so poses cost
it nothing. Ways take turns, each in new processes; figures are medians over turns. CPU is user and system time of all
threads and processes; what libraries take to load is apart. Peak memory is the resident set of the largest process,
libraries included. PSNR is of luma, against the averaged frames before coding; a dataset that lacks frames has none.
For Linux.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple

FPS, SIZE = 30, 256
CAMERA = "observation.images.ego"


class Way(NamedTuple):
    """How the dataset is made. Its coding: lerobot's default, or, of H.264, ours with x264's preset veryfast."""

    writer: str
    codec: str
    is_streaming: bool = False  # encodes while frames come, instead of writing a PNG file each first

    def __str__(self) -> str:
        how = ", streaming" if self.is_streaming else ", PNG files first" if self.writer == "lerobot" else ""
        return f"{self.writer}, {self.codec}{how}"


OURS = Way("ours", "h264")
WAYS = [
    OURS,
    Way("ours", "av1"),
    *(Way("lerobot", codec, is_streaming) for codec in ("h264", "av1") for is_streaming in (False, True)),
]


# What a process of its own does -----------------------------------------------------------------------------------


def write_ours(way: Way, source: str, root: Path) -> Callable[[], object]:
    import pyarrow as pa

    from dataset_upload.config import parse_config
    from dataset_upload.formats.lerobot import writer  # noqa: F401  as the run does
    from dataset_upload.formats.lerobot.format import LerobotFormat
    from dataset_upload.pipeline import generate

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "dataset_upload.dataset_loaders.egodex.loader",
            *LerobotFormat.preload,
            "dataset_upload.video.preload",
            "dataset_upload.engines.freeze",
        ]
    )
    first = context.Process(target=int)  # ends when the process that workers are forked from has loaded all these
    first.start()
    first.join()
    pa.array([""])  # loads pandas, as the run does
    place = [f"--output.output_dir={root.parent}", f"--dataset.dataset_name={root.name}"]
    how = ["--output.format=lerobot", f"--lerobot.codec={way.codec}", "--output.num_workers=1"]
    config = parse_config([f"--dataset.dataset_path={source}", "--output.max_trajectories=-1", *place, *how])
    return lambda: generate(config)


def write_lerobot(way: Way, source: str, root: Path) -> Callable[[], object]:
    import av
    import numpy as np
    from lerobot.configs.video import RGBEncoderConfig
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    told = json.loads(Path(source).read_text())
    coding = RGBEncoderConfig("h264", g=10, crf=23, preset="veryfast") if way.codec == "h264" else RGBEncoderConfig()

    def write() -> None:
        dataset = LeRobotDataset.create(
            "benchmark/writer", FPS, told["features"], root, rgb_encoder=coding, streaming_encoding=way.is_streaming
        )
        for episode in told["episodes"]:
            rows = dict(np.load(episode["rows"], allow_pickle=False))
            with av.open(episode["video"]) as container:
                for number, picture in enumerate(container.decode(video=0)):
                    small = picture.reformat(SIZE, SIZE, "rgb24", interpolation="AREA").to_ndarray()
                    row = {name: values[number] for name, values in rows.items()}
                    dataset.add_frame({CAMERA: small, **row, "task": episode["task"]})
            dataset.save_episode()
        dataset.finalize()

    return write


def cpu_seconds() -> float:
    """Of this process, its children that have ended, and the one that workers are forked from, with theirs."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = 0
    if (server := forkserver._forkserver._forkserver_pid) is not None:  # type: ignore[attr-defined]
        ticks = sum(map(int, Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + ticks / os.sysconf("SC_CLK_TCK")


def peak_kilobytes() -> int:
    """Of the largest process. The resource module would count the memory of whoever started this one as its own."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return max(int(status["VmHWM"].split()[0]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def work(way: Way, source: str, root: Path) -> None:
    """Make a dataset; print its cost as JSON."""
    write = (write_ours if way.writer == "ours" else write_lerobot)(way, source, root)
    loading, start = cpu_seconds(), time.monotonic()
    write()
    wall = time.monotonic() - start
    time.sleep(0.5)  # until the worker that was ended has been counted
    cpu = cpu_seconds() - loading
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # so that its memory is known, and its workers'
    print(json.dumps({"loading": loading, "cpu": cpu, "wall": wall, "megabytes": peak_kilobytes() * 1.024 / 1000}))


# The whole benchmark ----------------------------------------------------------------------------------------------


def run_way(python: str, way: Way, source: str, root: Path) -> dict[str, float]:
    """`work` in a new process."""
    command = [python, __file__, "--work", json.dumps([way, source, str(root)])]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr}")
    cost: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return cost


def describe(source: Path, root: Path, scratch: Path) -> tuple[Path, list[Path]]:
    """Write down what lerobot is to make, as a dataset of ours has it; also returns the episodes in their order."""
    import numpy as np

    from dataset_upload.formats.finished_dataset import open_dataset

    default = {"timestamp", "frame_index", "episode_index", "index", "task_index"}  # which lerobot adds
    features: dict[str, Any] = json.loads((root / "meta/info.json").read_text())["features"]
    features = {name: feature for name, feature in features.items() if name not in default}
    features[CAMERA].pop("info")
    episodes = []
    for trajectory in open_dataset(str(root)).trajectories():
        rows = scratch / f"{trajectory.number}.npz"
        columns: dict[str, Any] = trajectory.columns  # type: ignore[attr-defined]  # it is a LerobotTrajectory
        np.savez(rows, **{name: values.astype(np.float32) for name, values in columns.items() if name not in default})
        video = source / f"{trajectory.source}.mp4"
        episodes.append({"video": str(video), "rows": str(rows), "task": trajectory.task})
    told = scratch / "told.json"
    told.write_text(json.dumps({"features": features, "episodes": episodes}))
    return told, [Path(str(episode["video"])).with_suffix("") for episode in episodes]


def check(root: Path, clips: list[list[Any]]) -> dict[str, float]:
    """How many frames the dataset lacks, the bytes of video a frame, and PSNR in dB where none is lacking."""
    import av
    from loading import squared_errors

    (video,) = root.glob("videos/**/*.mp4")
    frames = [frame for clip in clips for frame in clip]
    with av.open(str(video)) as container:
        num_lacking = len(frames) - container.streams.video[0].frames
    error = math.nan if num_lacking else statistics.fmean(squared_errors(frames, video))
    return {
        "lacking": num_lacking,
        "bytes": video.stat().st_size / len(frames),
        "psnr": 10 * math.log10(255**2 / error),
    }


def line(way: Way, cost: dict[str, float], ours: dict[str, float], num_episodes: int) -> str:
    cpu, megabytes = (
        f"{cost[name] / ours[name]:.1f}x" if way.writer != "ours" else "" for name in ("cpu", "megabytes")
    )
    return (
        f"| {way} | {cost['cpu'] / num_episodes:.2f} | {cpu} | {cost['wall'] / num_episodes:.2f} "
        f"| {cost['megabytes']:.0f} | {megabytes} | {cost['loading']:.1f} | {cost['bytes'] / 1024:.1f} "
        f"| {'' if cost['lacking'] else format(cost['psnr'], '.1f')} | {cost['lacking']:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=Path, help="folder of an EgoDex part; all of it is converted")
    parser.add_argument("--python", help="a Python that has lerobot 0.6")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: 5)")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        way, source, root = json.loads(options.work)
        work(Way(*way), source, Path(root))
        return
    if options.episodes is None or options.python is None:
        parser.error("give --episodes and --python")

    from convert import machine
    from loading import resized

    costs: dict[Way, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        run_way(sys.executable, OURS, str(options.episodes), scratch / "first/dataset")
        told, episodes = describe(options.episodes, scratch / "first/dataset", scratch)
        clips = resized(episodes, SIZE)
        for turn in range(options.rounds):
            for number, way in enumerate(WAYS):
                root = scratch / f"{turn}-{number}/dataset"
                python, source = (sys.executable, options.episodes) if way.writer == "ours" else (options.python, told)
                cost = run_way(python, way, str(source), root)
                cost |= check(root, clips)
                print(way, cost, file=sys.stderr)
                costs[way].append(cost)
    medians = {
        way: {name: statistics.median(each[name] for each in turns) for name in turns[0]}
        | {"lacking": max(each["lacking"] for each in turns)}
        for way, turns in costs.items()
    }
    ours = {way.codec: medians[way] for way in WAYS if way.writer == "ours"}
    num_frames = sum(map(len, clips))
    print(f"{machine()}, lerobot 0.6.1; {len(clips)} episodes, {num_frames} frames.\n")
    heads = ["way", "CPU s an episode", "of ours", "wall s", "peak MB", "of ours", "loading, CPU s", "KiB a frame"]
    print(f"| {' | '.join([*heads, 'PSNR, dB', 'frames lost'])} |")
    print(f"| --- |{' ---: |' * (len(heads) + 1)}")
    for way in WAYS:
        print(line(way, medians[way], ours[way.codec], len(clips)))


if __name__ == "__main__":
    main()
