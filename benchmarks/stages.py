"""Where the time of an episode goes, and what all of EgoDex takes therefore.

    uv run python benchmarks/stages.py --episodes /path/to/egodex/test

Times each stage of converting an episode in the worker, then what the main process does with the result; CPU seconds,
medians over rounds. The episode is as long as EgoDex's are on average, made by repeating one packet by packet. From the
sums follow the hours for a part and for all of EgoDex on a number of cores, and the rate at which they read. Without
--episodes a miniature EgoDex is drawn.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the converter's processes

from convert import find_episodes, machine, repeat_episode

from dataset_upload.config import GenerateConfig
from dataset_upload.conversion import Conversion
from dataset_upload.dataset_loaders.egodex.archive import Episode
from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader
from dataset_upload.formats.rfm.encoder import RfmEncoder
from dataset_upload.formats.rfm.schema import Example, make_rows, schemas
from dataset_upload.formats.rfm.writer import RfmWriter
from dataset_upload.jobs import Job
from dataset_upload.language import text_encoder
from dataset_upload.ledger import Entry, Ledger
from dataset_upload.mini_egodex.part import make_mini_egodex
from dataset_upload.storage.whole_file import read_media, size_and_sha256, write_flushed
from dataset_upload.video.encoding import write_mp4
from dataset_upload.video.geometry import plan_resize
from dataset_upload.video.sampling import sample_indices

MEAN_FRAMES = 265  # of an EgoDex episode
EPISODES = {"test": 3_243, "a part": 62_960, "all of EgoDex": 338_000}
CORES = (2, 16, 64)


class Stopwatch:
    """CPU milliseconds by stage."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + 1e3 * (time.process_time() - start)


def time_worker(job: Job, loader: EgoDexLoader, folder: Path, text: str) -> Stopwatch:
    """What a worker does, as `Conversion` does it, but each stage to its end before the next."""
    watch = Stopwatch()
    with watch.stage("read poses and text, find the packets"):
        trajectory = loader.load(job.episode)
        indices = sample_indices(len(trajectory["frames"]), 32)
    with trajectory["frames"].open() as video:
        resize = plan_resize((video.width, video.height), "stretch", 256)
        decoded = video.decode(indices)
        frames = []
        for _ in indices:
            with watch.stage("decode"):
                picture = next(decoded)
            with watch.stage("scale"):
                frames.append(resize.apply(picture))
    with watch.stage("encode and flush to disk"):
        write_mp4(frames, folder / "clip.mp4", fps=30, crf=18)
        size_and_sha256(read_media(folder / "clip.mp4", flush=True))
    with watch.stage("vector of a text not seen before"):
        vector = text_encoder().encode(text)
    with watch.stage("make the records"):
        columns, joints = loader.about.columns, loader.about.hand_joints
        example = Example(trajectory, indices, "clip.mp4", resize, vector, trajectory["actions"][indices])
        rows = make_rows(example, columns, schemas(columns, joints, use_video=True))
        for table, row in rows.items():
            write_flushed(folder / table, row.serialize())
    return watch


def time_parent(job: Job, convert: Conversion, writer: RfmWriter, ledger: Ledger) -> Stopwatch:
    """What the main process does with a worker's result."""
    watch = Stopwatch()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    theirs.send(convert(job))
    with watch.stage("receive a piece, put it into its place"):
        piece = ours.recv()
        writer.place(job, piece)
    with watch.stage("enter it in the ledger"):
        ledger.append(Entry.of_piece(job, piece))
        if ledger.is_flush_due:
            writer.flush()
            ledger.flush()
    return watch


def median_stages(watches: list[Stopwatch]) -> dict[str, float]:
    return {name: statistics.median(watch.milliseconds[name] for watch in watches) for name in watches[0].milliseconds}


def frames_decoded(episode: Path) -> tuple[int, int]:
    """How many of an episode's frames are decoded for 32, and the bytes of their packets."""
    import av

    with av.open(str(episode.with_suffix(".mp4"))) as container:
        entries = [(entry.is_keyframe, entry.size) for entry in container.streams.video[0].index_entries]
    keyframes = [number for number, (is_keyframe, _) in enumerate(entries) if is_keyframe]
    last_wanted = {
        max(keyframe for keyframe in keyframes if keyframe <= index): index
        for index in sample_indices(len(entries), 32).tolist()
    }
    sizes = [entries[number][1] for first, last in last_wanted.items() for number in range(first, last + 1)]
    return len(sizes), sum(sizes)


def cost_model(worker_ms: float, parent_ms: float, episode_bytes: int) -> Iterator[str]:
    """The hours for parts of EgoDex: the workers share their work, the main process does its own alone."""
    yield "| cores | episodes/s | reads, MB/s | " + " | ".join(f"{name}, hours" for name in EPISODES) + " |"
    yield "| ---: | ---: | ---: | " + " | ".join("---:" for _ in EPISODES) + " |"
    for cores in CORES:
        rate = min(cores * 1e3 / (worker_ms + parent_ms), 1e3 / parent_ms)
        hours = " | ".join(f"{count / rate / 3600:.2g}" for count in EPISODES.values())
        yield f"| {cores} | {rate:.1f} | {rate * episode_bytes / 1e6:.0f} | {hours} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=Path, help="folder of an EgoDex part (default: a miniature one is drawn)")
    parser.add_argument("--rounds", type=int, default=15, help="how often everything is measured (default: 15)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        if options.episodes is None:
            options.episodes = scratch / "mini"
            make_mini_egodex(options.episodes, episodes=1, frames=(90, 170))
        episode = repeat_episode(find_episodes(options.episodes)[0], MEAN_FRAMES, scratch / "mean")
        listed = Episode("mean/265", "part", "mean", f"{episode}.hdf5", f"{episode}.mp4")
        config = GenerateConfig()
        loader = EgoDexLoader("", "benchmark")
        (scratch / "out" / ".work").mkdir(parents=True)
        writer = RfmWriter(scratch / "out", config.output, loader.about, {})
        (scratch / "incoming").mkdir()
        convert = Conversion(loader, RfmEncoder("out", config.output, loader.about, scratch / "incoming"))
        text_encoder().encode("")
        worker, parent = [], []
        with Ledger(scratch / "out" / "ledger.jsonl", {}) as ledger:
            for number in range(options.rounds + 1):
                job = Job(listed, listed.key, number, (0, (0,)))
                text = f"Pick up the stapler number {number} from the metal table and place it in the box lid."
                worker.append(time_worker(job, loader, scratch, text))
                parent.append(time_parent(job, convert, writer, ledger))
        num_decoded, decoded_bytes = frames_decoded(episode)
        hdf5_bytes, mp4_bytes = (episode.with_suffix(suffix).stat().st_size for suffix in (".hdf5", ".mp4"))

    print(machine(), "\n")
    print(f"{MEAN_FRAMES} frames, {mp4_bytes / 1e6:.2f} MB of video, {hdf5_bytes / 1e6:.2f} MB of poses;", end=" ")
    print(f"{num_decoded} frames of {decoded_bytes / 1e6:.2f} MB are decoded for 32.\n")
    of_worker, of_parent = median_stages(worker[1:]), median_stages(parent[1:])
    print("| stage | CPU ms |\n| --- | ---: |")
    for name, milliseconds in of_worker.items():
        print(f"| {name} | {milliseconds:.1f} |")
    print(f"| **worker** | **{sum(of_worker.values()):.0f}** |")
    for name, milliseconds in of_parent.items():
        print(f"| main process: {name} | {milliseconds:.1f} |")
    print()
    print("\n".join(cost_model(sum(of_worker.values()), sum(of_parent.values()), mp4_bytes + hdf5_bytes)))


if __name__ == "__main__":
    main()
