"""What converting an episode costs, beside the ways in which it is usually done.

    uv run --group bench python benchmarks/convert.py --episodes /path/to/egodex/test --write docs

The same episodes go through every way, in rounds that are interleaved, so that a machine whose speed drifts is fair to
all; figures are medians over rounds. Each way runs in a process of its own. Start-up is not counted, but everything
that is done for an episode is: reading the poses, decoding, scaling, encoding, and (ours) the record. The first episode
of a process is converted twice; its first time stands in a column of its own, as the system has yet to find memory
for it. Without --episodes a miniature EgoDex is drawn. Long episodes are made by repeating one, packet by packet.
"""

from __future__ import annotations

import argparse
import functools
import json
import pickle
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
from numpy.typing import NDArray

MAX_FRAMES = 32
SIZE = 256
LONG_EPISODES = (300, 600, 1800, 6000)
OPENCV_LIMIT = 600  # frames: at 1,800 the usual list and array together take 22 GB

Frames = NDArray[np.uint8]  # (T, 256, 256, 3) RGB
Way = Callable[[Path, Path], None]  # converts an episode, given without suffix, to a clip


# The ways ---------------------------------------------------------------------------------------------------------


def read_actions(hdf5: Path) -> NDArray[np.float32]:
    """The usual 15 action columns, as people read them."""
    joints = ("leftHand", "rightHand", "leftIndexFingerTip", "rightIndexFingerTip", "camera")
    with h5py.File(hdf5) as file:
        return np.concatenate([file[f"transforms/{joint}"][:, :3, 3] for joint in joints], axis=1)


def chosen(num_frames: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, num_frames - 1, MAX_FRAMES, dtype=int))


def clip_writer() -> Callable[[Frames, Path], None]:
    """Resizes by averaging, then pipes the frames into the ffmpeg command with its own idea of H.264."""
    import cv2
    import imageio_ffmpeg

    def write_clip(frames: Frames, clip: Path) -> None:
        faststart = ["-movflags", "+faststart"]
        writer = imageio_ffmpeg.write_frames(str(clip), (SIZE, SIZE), fps=30, quality=None, output_params=faststart)
        writer.send(None)
        for frame in frames:
            writer.send(cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
        writer.close()

    return write_clip


def opencv_way() -> Way:
    """Decode everything into a list, make it an array, keep 32 frames, resize them, write them."""
    import cv2

    write_clip = clip_writer()

    def convert(episode: Path, clip: Path) -> None:
        actions = read_actions(episode.with_suffix(".hdf5"))
        capture = cv2.VideoCapture(str(episode.with_suffix(".mp4")))
        frames = []
        while True:
            read, frame = capture.read()
            if not read:
                break
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        capture.release()
        video = np.array(frames)
        indices = chosen(len(video))
        actions[indices]
        write_clip(video[indices], clip)

    return convert


def decord_way() -> Way:
    import decord

    write_clip = clip_writer()

    def convert(episode: Path, clip: Path) -> None:
        reader = decord.VideoReader(str(episode.with_suffix(".mp4")), num_threads=1)
        indices = chosen(len(reader))
        read_actions(episode.with_suffix(".hdf5"))[indices]
        write_clip(reader.get_batch(indices).asnumpy(), clip)

    return convert


def torchcodec_way() -> Way:
    from torchcodec.decoders import VideoDecoder

    write_clip = clip_writer()

    def convert(episode: Path, clip: Path) -> None:
        decoder = VideoDecoder(str(episode.with_suffix(".mp4")), dimension_order="NHWC", num_ffmpeg_threads=1)
        indices = chosen(len(decoder))
        read_actions(episode.with_suffix(".hdf5"))[indices]
        write_clip(decoder.get_frames_at(indices.tolist()).data.numpy(), clip)

    return convert


def our_way() -> Way:
    """All that a worker of the converter does for an episode, up to the piece that it sends."""
    from dataset_upload.config import GenerateConfig
    from dataset_upload.conversion import Conversion
    from dataset_upload.dataset_loaders.egodex.archive import Episode
    from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader
    from dataset_upload.formats.rfm.encoder import RfmEncoder
    from dataset_upload.jobs import Job
    from dataset_upload.language import text_encoder
    from dataset_upload.video.preparation import prepare

    text_encoder().encode("")
    prepare()  # as the fork server does before there are workers
    config = GenerateConfig()
    loader = EgoDexLoader("", "benchmark")

    def convert(episode: Path, clip: Path) -> None:
        key = f"{episode.parent.name}/{episode.name}"
        listed = Episode(key, "part", episode.parent.name, f"{episode}.hdf5", f"{episode}.mp4")
        conversion = Conversion(loader, RfmEncoder("benchmark", config.output, loader.about, clip.parent))
        piece = conversion(Job(listed, key, 0, (0, (0,))))
        pickle.dumps(piece)
        (made,) = piece.media.values()
        assert isinstance(made, Path)
        made.rename(clip)

    return convert


def our_way_without_numba() -> Way:
    """The same where Numba is not available: FFmpeg decodes, NumPy scales."""
    sys.modules["numba"] = None  # type: ignore[assignment]
    return our_way()


COMMON_WAY = "OpenCV, the common way"
WAYS: dict[str, Callable[[], Way]] = {
    COMMON_WAY: opencv_way,
    "decord": decord_way,
    "torchcodec": torchcodec_way,
    "ours": our_way,
    "ours, without Numba": our_way_without_numba,
}


# One way, in a process of its own ---------------------------------------------------------------------------------


def work(way: str, episodes: list[Path], out: Path) -> dict[str, Any]:
    """Convert episodes one way; CPU and wall seconds and bytes an episode, the CPU seconds of the first of the process,
    peak memory of the process in MB."""
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    convert = WAYS[way]()
    start = cpu_seconds()
    convert(episodes[0], out / "first.mp4")
    first_cpu = cpu_seconds() - start
    figures = []
    for number, episode in enumerate(episodes):
        clip = out / f"{number}.mp4"
        wall, cpu = time.perf_counter(), cpu_seconds()
        convert(episode, clip)
        figures.append(
            {
                "wall": time.perf_counter() - wall,
                "cpu": cpu_seconds() - cpu,
                "bytes": clip.stat().st_size,
            }
        )
    return {"episodes": figures, "first_cpu": first_cpu, "peak_mb": peak_megabytes()}


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_megabytes() -> float:
    """Of the largest process: a child that is just being started counts its parent's memory as its own."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(usage.ru_maxrss for usage in usages) * (1 if sys.platform == "darwin" else 1024) / 1e6


def run_way(way: str, episodes: list[Path], out: Path) -> dict[str, Any] | None:
    """`work` in a new process; None where the way's library is not installed."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "--work", way, "--out", str(out), *map(str, episodes)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        if "ModuleNotFoundError" in result.stderr or "ImportError" in result.stderr:
            return None
        raise RuntimeError(f"{way}: {result.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return figures


# Quality ----------------------------------------------------------------------------------------------------------


def reference_frames(episode: Path) -> Frames:
    """The clip's frames by the book: everything decoded, each plane averaged in floating point, nothing encoded."""
    with av.open(str(episode.with_suffix(".mp4"))) as container:
        stream = container.streams.video[0]
        wanted = set(chosen(stream.frames).tolist())
        frames = [averaged(frame) for index, frame in enumerate(container.decode(stream)) if index in wanted]
    return np.stack(frames)


def averaged(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """(256, 256, 3) RGB of a yuv420p frame, every sample the mean of the area that it covers, rounded once."""
    small = av.VideoFrame(SIZE, SIZE, "yuv420p")
    for source, target in zip(frame.planes, small.planes, strict=True):
        samples, result = (
            np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]  # type: ignore[call-overload]
            for plane in (source, target)
        )
        rows = shares(samples.shape[0], result.shape[0])
        columns = shares(samples.shape[1], result.shape[1])
        result[:] = np.rint(rows @ samples @ columns.T)
    rgb: NDArray[np.uint8] = small.to_ndarray(format="rgb24")  # type: ignore[assignment]
    return rgb


@functools.cache
def shares(source: int, target: int) -> NDArray[np.float64]:
    """(target, source): how much of each target sample each source sample makes up."""
    borders = np.arange(target + 1) * source / target
    starts = np.arange(source)
    overlap = np.minimum(borders[1:, None], starts + 1) - np.maximum(borders[:-1, None], starts)
    clipped: NDArray[np.float64] = np.clip(overlap, 0, None) * target / source
    return clipped


def clip_frames(clip: Path) -> Frames:
    with av.open(str(clip)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def psnr(frames: Frames, reference: Frames) -> NDArray[np.float64]:
    """(T,) dB."""
    error = ((frames.astype(np.float64) - reference) ** 2).mean(axis=(1, 2, 3))
    decibels: NDArray[np.float64] = 10 * np.log10(255**2 / np.maximum(error, 1e-9))
    return decibels


def ssim(frames: Frames, reference: Frames) -> float:
    """Mean structural similarity of the luma, in windows of 7x7 pixels."""

    def windows(image: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.pad(image, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
        means: NDArray[np.float64] = (sums[:, 7:, 7:] - sums[:, :-7, 7:] - sums[:, 7:, :-7] + sums[:, :-7, :-7]) / 49
        return means

    weights = np.array([0.299, 0.587, 0.114])
    x, y = frames @ weights, reference @ weights
    mean_x, mean_y = windows(x), windows(y)
    variance_x, variance_y = windows(x * x) - mean_x**2, windows(y * y) - mean_y**2
    covariance = windows(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float(similarity.mean())


def quality(episodes: list[Path], out: Path) -> dict[str, float]:
    decibels, similarities = [], []
    for number, episode in enumerate(episodes):
        reference, frames = reference_frames(episode), clip_frames(out / f"{number}.mp4")
        decibels.append(psnr(frames, reference))
        similarities.append(ssim(frames, reference))
    every = np.concatenate(decibels)
    return {"psnr": float(every.mean()), "worst_psnr": float(every.min()), "ssim": statistics.fmean(similarities)}


# Inputs -----------------------------------------------------------------------------------------------------------


def repeat_episode(episode: Path, num_frames: int, folder: Path) -> Path:
    """An episode of `num_frames` frames: the packets and rows of another, over and over."""
    folder.mkdir(parents=True, exist_ok=True)
    long = folder / str(num_frames)
    with av.open(str(episode.with_suffix(".mp4"))) as source:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.dts is not None]
        ticks = round(1 / (stream.average_rate * stream.time_base))  # type: ignore[operator]
        with av.open(str(long.with_suffix(".mp4")), "w") as target:
            output = target.add_stream_from_template(stream)
            for number in range(num_frames):
                source_packet = packets[number % len(packets)]
                packet: Any = av.Packet(source_packet.size)
                packet.update(bytes(source_packet))
                packet.pts = packet.dts = number * ticks
                packet.duration = ticks
                packet.time_base = stream.time_base
                packet.is_keyframe = source_packet.is_keyframe
                packet.stream = output
                target.mux(packet)
    rows = np.arange(num_frames) % len(packets)
    with h5py.File(episode.with_suffix(".hdf5")) as file, h5py.File(long.with_suffix(".hdf5"), "w") as copy:
        copy.attrs.update(file.attrs)
        copy["camera/intrinsic"] = file["camera/intrinsic"][()]
        for group in ("transforms", "confidences"):
            for name in file.get(group, {}):
                copy[f"{group}/{name}"] = file[group][name][()][rows]
    return long


def find_episodes(folder: Path) -> list[Path]:
    """Complete episodes, without suffix."""
    return [video.with_suffix("") for video in sorted(folder.glob("*/*.mp4")) if video.with_suffix(".hdf5").exists()]


# The whole benchmark ----------------------------------------------------------------------------------------------


def measure(
    inputs: dict[str, list[Path]], ways: list[str], rounds: int, scratch: Path
) -> Iterator[tuple[str, str, dict[str, float] | None]]:
    """(input, way, median figures) for each input and way; None where a way does not apply."""
    from dataset_upload.console.progress import progress

    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    plan = [(name, way) for _ in range(rounds) for name in inputs for way in ways]
    for name, way in progress(plan, "Measuring", total=len(plan)):
        if way == COMMON_WAY and name.isdecimal() and int(name) > OPENCV_LIMIT:
            continue
        figures = run_way(way, inputs[name], scratch / name / way.replace(" ", "_"))
        if figures is not None:
            runs.setdefault((name, way), []).append(figures)
    for name, episodes in inputs.items():
        for way in ways:
            of_way = runs.get((name, way))
            if not of_way:
                yield name, way, None
                continue
            means = {
                key: statistics.median(statistics.fmean(episode[key] for episode in run["episodes"]) for run in of_way)
                for key in ("cpu", "wall", "bytes")
            }
            once = {key: statistics.median(run[key] for run in of_way) for key in ("first_cpu", "peak_mb")}
            yield name, way, {**means, **once, **quality(episodes, scratch / name / way.replace(" ", "_"))}


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next(line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line)
    import os

    system = f"{platform.system()}, Python {platform.python_version()}, PyAV {av.__version__}"
    libraries = ", ".join(
        f"{name} {'.'.join(map(str, version))}" for name, version in sorted(av.library_versions.items())
    )
    return f"{model}, {os.cpu_count()} cores, {system} ({libraries})"


def table(results: list[tuple[str, str, dict[str, float] | None]]) -> str:
    lines = [
        "| episodes | way | CPU s | less than OpenCV | first, CPU s | less than OpenCV | wall s | peak MB | clip KiB "
        "| PSNR dB, mean / worst | SSIM |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    common = {name: figures for name, way, figures in results if way == COMMON_WAY and figures}
    for name, way, figures in results:
        label = f"{name} frames" if name.isdecimal() else name
        if figures is None:
            reason = "22 GB and more: not run" if way == COMMON_WAY else "not installed"
            lines.append(f"| {label} | {way} | {reason} | | | | | | | | |")
            continue
        cpu = " | ".join(
            f"{figures[key]:.3f} | {common[name][key] / figures[key]:.1f}x"
            if name in common
            else f"{figures[key]:.3f} | "
            for key in ("cpu", "first_cpu")
        )
        lines.append(
            f"| {label} | {way} | {cpu} | {figures['wall']:.3f} | {figures['peak_mb']:.0f} "
            f"| {figures['bytes'] / 1024:.0f} | {figures['psnr']:.1f} / {figures['worst_psnr']:.1f} "
            f"| {figures['ssim']:.4f} |"
        )
    return "\n".join(lines)


def plot(results: list[tuple[str, str, dict[str, float] | None]], path: Path) -> None:
    """Time and memory against episode length."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "benchmark"  # the same file for the same figures
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    quantities = (
        ("cpu", "CPU seconds an episode", (0.2, 0.5, 1, 2, 5)),
        ("peak_mb", "peak memory, MB", (100, 200, 500, 1000, 2000, 5000)),
    )
    for axis, (key, label, ticks) in zip(axes, quantities, strict=True):
        for way in dict.fromkeys(way for _, way, _ in results):
            points = [
                (int(name), figures[key]) for name, w, figures in results if w == way and figures and name.isdecimal()
            ]
            if points:
                axis.plot(*zip(*points, strict=True), marker="o", label=way)
        axis.set(xscale="log", yscale="log", xlabel="frames in the episode", ylabel=label)
        axis.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
        axis.set_xticks(LONG_EPISODES, [f"{length:,}" for length in LONG_EPISODES])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=8, loc="upper right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=Path, help="folder of an EgoDex part (default: a miniature one is drawn)")
    parser.add_argument("--num-episodes", type=int, default=5, help="how many of them (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default: 3)")
    parser.add_argument("--lengths", default=",".join(map(str, LONG_EPISODES)), help="frames of the long episodes")
    parser.add_argument("--ways", default=None, help="only ways whose name contains this")
    parser.add_argument(
        "--write", type=Path, help="docs folder whose performance.md and performance.svg to bring up to date"
    )
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(options.work, options.paths, options.out)))
        return

    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        if options.episodes is None:
            from dataset_upload.mini_egodex.part import make_mini_egodex

            options.episodes = scratch / "mini"
            make_mini_egodex(options.episodes, episodes=options.num_episodes, frames=(90, 170))
        episodes = find_episodes(options.episodes)[: options.num_episodes]
        inputs = {"sample": episodes}
        for length in filter(None, options.lengths.split(",")):
            inputs[length] = [repeat_episode(episodes[0], int(length), scratch / "long" / "repeated")]
        ways = [way for way in WAYS if not options.ways or options.ways in way]
        results = list(measure(inputs, ways, options.rounds, scratch / "clips"))
        print(machine(), "\n")
        print(table(results))
        if options.write:
            plot(results, options.write / "performance.svg")
            update(options.write / "performance.md", f"{machine()}.\n\n{table(results)}")


def update(document: Path, text: str) -> None:
    """Replace what stands between the markers of a document."""
    begin, end = "<!-- benchmarks/convert.py: begin -->", "<!-- benchmarks/convert.py: end -->"
    before, rest = document.read_text().split(begin)
    document.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")


if __name__ == "__main__":
    main()
