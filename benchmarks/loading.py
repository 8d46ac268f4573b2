"""What a random sample of a LeRobot dataset costs a trainer, by the coding of its video.

    uv run python benchmarks/loading.py --episodes /path/to/egodex/test \
        --python "$(uv run python tests/harness/lerobot_readers.py | head -1)"

The same episodes are coded in each way, repeated until there are as many as --repeat says, and put into a dataset that
has little beside its video. `--python` has lerobot; there LeRobotDataset reads random items of all datasets in turns,
with its default decoder, torchcodec, in one process. An item is a frame, or 8 in a row. Figures are samples a second of
CPU time, user and system, of all threads; medians over turns. PSNR is of luma, against the frames before coding.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

FPS = 30
CAMERA = "observation.images.ego"
WINDOW = [step / FPS for step in range(8)]


class Way(NamedTuple):
    """How the video is coded. A size of 0: the source's own stream, copied."""

    codec: str = "h264"
    size: int = 256
    gop: int = 10
    crf: int = 23
    packed: bool = True


BASE = Way()
WAYS = list(
    dict.fromkeys(
        [
            *(BASE._replace(gop=gop) for gop in (1, 2, 5, 10, 15, 30, 60)),
            *(BASE._replace(crf=crf) for crf in (18, 20, 28)),
            *(BASE._replace(codec="av1", gop=gop, crf=30) for gop in (2, 10, 30)),
            *(BASE._replace(gop=gop, packed=False) for gop in (2, 10, 30)),
            *(BASE._replace(size=size) for size in (224, 384, 512)),
            Way("mpeg4, copied", 0, 12, 0),
            Way("mpeg4, copied", 0, 12, 0, packed=False),
        ]
    )
)


class Coded(NamedTuple):
    """A dataset made in one way."""

    root: Path
    psnr: float  # dB
    frame_bytes: float  # a frame


# Making the datasets ----------------------------------------------------------------------------------------------


def resized(episodes: list[Path], size: int) -> list[list[Any]]:
    """The frames of each episode, (size, size), yuv420p."""
    from dataset_upload.video.decoding import Video
    from dataset_upload.video.geometry import plan_resize

    clips = []
    for episode in episodes:
        with open(episode.with_suffix(".mp4"), "rb") as file:
            video = Video(file, episode.name)
            resize = plan_resize((video.width, video.height), "stretch", size, None)
            clips.append([resize.apply(picture) for picture in video.decode(range(video.num_frames))])
    return clips


def encode_av1(frames: list[Any], path: Path, way: Way) -> None:
    """As lerobot's own writer does."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libsvtav1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = way.size, way.size, "yuv420p"
        stream.codec_context.options = {"preset": "10", "crf": str(way.crf), "g": str(way.gop)}
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, FPS), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def squared_errors(frames: Iterable[Any], path: Path) -> Iterator[float]:
    """The mean squared error of the luma of each frame of a video."""
    import av
    import numpy as np

    with av.open(str(path)) as container:
        for before, after in zip(frames, container.decode(video=0), strict=True):
            luma = [frame.to_ndarray()[: frame.height].astype(np.float32) for frame in (before, after)]
            yield float(np.square(luma[0] - luma[1]).mean())


def join(clips: list[Path], path: Path) -> list[list[int]]:
    """Copy the coded frames of clips into one file. The bytes of each frame, by clip."""
    import av

    clock, ticks, sizes = Fraction(1, FPS * 512), 512, []
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as joined:
        stream: Any = None
        start = 0
        for clip in clips:
            with av.open(str(clip)) as container:
                if stream is None:
                    stream = joined.add_stream_from_template(container.streams.video[0], opaque=True)
                    stream.time_base = clock
                packets = [packet for packet in container.demux(video=0) if packet.size]
                for number, packet in enumerate(packets, start=start):
                    packet.stream, packet.time_base, packet.duration = stream, clock, ticks
                    packet.pts = packet.dts = number * ticks
                    joined.mux(packet)
            start += len(packets)
            sizes.append([packet.size for packet in packets])
    return sizes


def make_dataset(episodes: list[Path], clips: list[list[Any]], way: Way, repeat: int, root: Path) -> Coded:
    """Code the clips, and write a dataset of them, over and over."""
    from dataset_upload.video.encoding import write_mp4

    root.mkdir()
    paths: list[Path] = []
    errors: list[float] = []
    for number, episode in enumerate(episodes):
        if not way.size:
            paths.append(episode.with_suffix(".mp4"))
            continue
        paths.append(root / f"{number}.mp4")
        if way.codec == "h264":
            write_mp4(iter(clips[number]), paths[-1], fps=FPS, crf=way.crf, gop=way.gop)
        else:
            encode_av1(clips[number], paths[-1], way)
        errors += squared_errors(clips[number], paths[-1])
    videos = root / "videos" / CAMERA / "chunk-000"
    videos.mkdir(parents=True)
    sizes = []
    for number, group in enumerate([paths * repeat] if way.packed else [[path] for path in paths * repeat]):
        sizes += join(group, videos / f"file-{number:03d}.mp4")
    write_tables([len(clip) for clip in sizes], way, root)
    frame_bytes = sum(map(sum, sizes)) / sum(map(len, sizes))
    return Coded(root, 10 * math.log10(255**2 / statistics.fmean(errors)) if errors else math.nan, frame_bytes)


def write_tables(lengths: list[int], way: Way, root: Path) -> None:
    """All that LeRobotDataset reads beside the video: five columns of indices, and an action of 48 numbers."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from dataset_upload.formats.lerobot.layout import LAYOUTS
    from dataset_upload.formats.lerobot.metadata import write_tasks

    for folder in ("data/chunk-000", "meta/episodes/chunk-000"):
        (root / folder).mkdir(parents=True)
    total = sum(lengths)
    ends = np.cumsum(lengths)
    frame_index = np.concatenate([np.arange(length) for length in lengths])
    numbers = np.zeros(total * 48, np.float32)
    frames = {
        "action": pa.FixedSizeListArray.from_arrays(pa.array(numbers), 48),
        "timestamp": (frame_index / FPS).astype(np.float32),
        "frame_index": frame_index,
        "episode_index": np.repeat(np.arange(len(lengths)), lengths),
        "index": np.arange(total),
        "task_index": np.zeros(total, np.int64),
    }
    pq.write_table(pa.table(frames), root / "data/chunk-000/file-000.parquet")
    starts = ends - lengths if way.packed else np.zeros_like(ends)
    files = np.zeros_like(ends) if way.packed else np.arange(len(lengths))
    episodes = {
        "episode_index": np.arange(len(lengths)),
        "tasks": [["work"]] * len(lengths),
        "length": lengths,
        "data/chunk_index": [0] * len(lengths),
        "data/file_index": [0] * len(lengths),
        "dataset_from_index": ends - lengths,
        "dataset_to_index": ends,
        f"videos/{CAMERA}/chunk_index": [0] * len(lengths),
        f"videos/{CAMERA}/file_index": files,
        f"videos/{CAMERA}/from_timestamp": starts / FPS,
        f"videos/{CAMERA}/to_timestamp": (starts + lengths) / FPS,
    }
    pq.write_table(pa.table(episodes), root / "meta/episodes/chunk-000/file-000.parquet")
    write_tasks(root, {"work": 0}, LAYOUTS["v3.0"])
    single = {"shape": [1], "names": None}
    features = {
        CAMERA: {"dtype": "video", "shape": [way.size or 1080, way.size or 1920, 3], "names": ["h", "w", "c"]},
        "action": {"dtype": "float32", "shape": [48], "names": None},
        "timestamp": {"dtype": "float32", **single},
        **{name: {"dtype": "int64", **single} for name in frames if name.endswith("index")},
    }
    info = {
        "codebase_version": "v3.0",
        "total_episodes": len(lengths),
        "total_frames": total,
        "total_tasks": 1,
        "fps": FPS,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": features,
    }
    (root / "meta/info.json").write_text(json.dumps(info))


# Reading them, where lerobot is -----------------------------------------------------------------------------------


def read(roots: list[str], rounds: int, samples: int) -> None:
    """Print as JSON, for each dataset, the samples a second of CPU time: of one frame, and of 8."""
    import random

    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    torch.set_num_threads(1)
    kinds: list[dict[str, Any]] = [{}, {"delta_timestamps": {CAMERA: WINDOW}}]
    datasets = [[LeRobotDataset("benchmark/loading", root=root, **kind) for kind in kinds] for root in roots]
    seconds: list[list[list[float]]] = [[[] for _ in kinds] for _ in roots]
    for turn in range(rounds + 1):
        for pair, times in zip(datasets, seconds, strict=True):
            for dataset, measured in zip(pair, times, strict=True):
                chosen = random.Random(turn).sample(range(len(dataset)), samples)
                start = time.process_time()
                for index in chosen:
                    dataset[index]
                if turn:  # in the first, files are opened
                    measured.append((time.process_time() - start) / samples)
    print(json.dumps([[1 / statistics.median(measured) for measured in times] for times in seconds]))


# The whole benchmark ----------------------------------------------------------------------------------------------


def table(made: list[tuple[Way, Coded]], rates: list[list[float]]) -> str:
    lines = [
        "| codec | size | GOP | CRF | files | one frame, samples/s | 8 frames, samples/s | KiB a frame | PSNR, dB |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for (way, coded), (one, eight) in zip(made, rates, strict=True):
        size = f"{way.size}x{way.size}" if way.size else "1920x1080"
        files = "packed" if way.packed else "one an episode"
        psnr = f"{coded.psnr:.1f}" if way.size else ""
        lines.append(
            f"| {way.codec} | {size} | {way.gop} | {way.crf or ''} | {files} | {one:.0f} | {eight:.0f} "
            f"| {coded.frame_bytes / 1024:.1f} | {psnr} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=Path, help="folder of an EgoDex part")
    parser.add_argument("--python", help="a Python that has lerobot 0.6")
    parser.add_argument("--repeat", type=int, default=100, help="how many episodes a dataset has (default: 100)")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: 5)")
    parser.add_argument("--samples", type=int, default=100, help="how many items a turn (default: 100)")
    parser.add_argument("--read", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read, options.rounds, options.samples)
        return
    if options.episodes is None or options.python is None:
        parser.error("give --episodes and --python")

    from convert import find_episodes, machine

    episodes = find_episodes(options.episodes)
    repeat = math.ceil(options.repeat / len(episodes))
    clips = {size: resized(episodes, size) for size in {way.size for way in WAYS} - {0}}
    with tempfile.TemporaryDirectory() as scratch:
        made = []
        for number, way in enumerate(WAYS):
            coded = make_dataset(episodes, clips.get(way.size, []), way, repeat, Path(scratch) / str(number))
            made.append((way, coded))
            print(way, f"{coded.frame_bytes:.0f} bytes a frame, {coded.psnr:.1f} dB", file=sys.stderr)
        command = [options.python, __file__, "--rounds", str(options.rounds), "--samples", str(options.samples)]
        roots = [str(coded.root) for _, coded in made]
        done = subprocess.run([*command, "--read", *roots], check=True, stdout=subprocess.PIPE, text=True)
        print(f"{machine()}, lerobot 0.6.1\n\n{table(made, json.loads(done.stdout.splitlines()[-1]))}")


if __name__ == "__main__":
    main()
