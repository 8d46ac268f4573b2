"""What the processor's extensions change in clips: their bytes, their size, the time they take.

    uv run python benchmarks/processors.py --episodes /path/to/egodex/test

Each episode becomes two clips, of 32 frames and of 150. They are encoded with all that x264 finds in this processor,
and with less, in turns that are interleaved; ratios of CPU are medians over turns.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from pathlib import Path

import av
from convert import find_episodes, machine

from dataset_upload.console.progress import progress
from dataset_upload.video import encoding, processor
from dataset_upload.video.encoding import write_mp4
from dataset_upload.video.sampling import sample_indices

AS_USED, AS_FOUND = "as dataset_upload limits it", "all that there is"
LIMITS = {
    AS_FOUND: None,
    AS_USED: f"asm={','.join(processor.x264_extensions())}",
    "up to SSE4.2": "asm=MMX2,SSE2Fast,SSSE3,SSE4.2",
}


def read_clips(episodes: list[Path]) -> list[list[av.VideoFrame]]:
    """Two clips an episode, at 256x256."""
    clips = []
    for episode in progress(episodes, "Reading episodes", total=len(episodes)):
        with av.open(str(episode.with_suffix(".mp4"))) as container:
            frames = [frame.reformat(256, 256, format="yuv420p") for frame in container.decode(video=0)]
        clips += [[frames[index] for index in sample_indices(len(frames), count)] for count in (32, 150)]
    return clips


def encode(clips: list[list[av.VideoFrame]], limit: str | None, folder: Path) -> tuple[float, list[str], int]:
    """CPU seconds, the SHA-256 of each clip, the bytes of all."""
    vars(encoding)["x264_parameter"] = lambda: limit
    paths = [folder / f"{number}.mp4" for number in range(len(clips))]
    start = time.process_time()
    for clip, path in zip(clips, paths, strict=True):
        write_mp4(clip, path, fps=30, crf=18)
    seconds = time.process_time() - start
    contents = [path.read_bytes() for path in paths]
    return seconds, [hashlib.sha256(content).hexdigest() for content in contents], sum(map(len, contents))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=Path, required=True, help="folder of an EgoDex part")
    parser.add_argument("--rounds", type=int, default=9, help="how often everything is measured (default: 9)")
    options = parser.parse_args()
    clips = read_clips(find_episodes(options.episodes))
    seconds: dict[str, list[float]] = {name: [] for name in LIMITS}
    digests, sizes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in progress(range(options.rounds), "Encoding", total=options.rounds):
            for name, limit in LIMITS.items():
                took, digests[name], sizes[name] = encode(clips, limit, Path(folder))
                seconds[name].append(took)
    print(f"{machine()}\n{processor.encoder_cpu()}\n")
    print("| extensions of x264 | CPU | bytes | clips that differ |\n| --- | ---: | ---: | ---: |")
    for name in LIMITS:
        ratios = [one / other for one, other in zip(seconds[name], seconds[AS_FOUND], strict=True)]
        differing = sum(one != other for one, other in zip(digests[name], digests[AS_FOUND], strict=True))
        print(f"| {name} | {statistics.median(ratios):.3f} | {sizes[name]} | {differing} of {len(clips)} |")


if __name__ == "__main__":
    main()
