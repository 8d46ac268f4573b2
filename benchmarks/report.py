"""How long the report of a large dataset takes to open in Chromium, how quickly it answers, what memory it takes.

    uv run --all-extras python benchmarks/report.py --trajectories 338000

Nothing is drawn: rows are made up, and all files of pictures and of clips are links to one of each, of the usual size.
All else is as in a real report: the ledger, the parts that workers send, the columns, the page. Each round starts a
fresh Chromium. Needs Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import argparse
import base64
import io
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from selenium import webdriver

from dataset_upload.formats.each_trajectory import ROWS_PER_PART, each_trajectory
from dataset_upload.formats.finished_dataset import FinishedDataset
from dataset_upload.ledger import DONE, Entry
from dataset_upload.stored_trajectory import StoredTrajectory
from dataset_upload.video.encoding import write_rgb_mp4
from dataset_upload.visualization.report import write_page
from dataset_upload.visualization.report_columns import Columns
from dataset_upload.visualization.report_part import Fact, write_script

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
)
_TASKS, _FRAMES = 200, 32
_NOUNS = ("box", "cup", "lid", "stool", "plug", "table", "towel", "block", "drawer", "bottle", "stapler", "ring")

# Milliseconds since the navigation began, at the first frame at which a condition holds.
_WHEN = """
const done = arguments[arguments.length - 1];
const look = () => (CONDITION ? done(performance.now()) : requestAnimationFrame(look));
look();
"""
# Milliseconds that the page needs for something, its cards drawn.
_TAKES = """
const done = arguments[arguments.length - 1], start = performance.now();
ACTION;
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
"""
_LISTED = "typeof list === 'object' && list.cards.size > 0"
# All cards in view have their pictures.
_PICTURED = """[...document.querySelectorAll('#cards img')].every((each) => {
    const {top, bottom} = each.getBoundingClientRect();
    return bottom < 0 || top > innerHeight || each.src.startsWith('data:image/jpeg');
})"""
_SORT = "document.getElementById('sort').value = '{}'; list.restart()"
_SEARCH = "document.getElementById('search').value = 'stool 99'; list.restart()"


class MadeUp(FinishedDataset):
    """A dataset that says how large it is; its name is the number of its rows."""

    @property
    def description(self) -> dict[str, Any]:
        return {
            "settings": {
                "fps": 30,
                "max_frames": _FRAMES,
                "frame_size": 256,
                "shortest_edge_size": None,
                "resize": "stretch",
                "use_video": True,
                "crf": 18,
            },
            "action_names": [],
            "counts": {DONE: len(self), "skipped": {}, "failed": {}},
            "bytes": {"source": 5_400_000 * len(self), "clips": 37_000 * len(self)},
        }

    def table_files(self) -> list[Path]:
        return []

    def __len__(self) -> int:
        return int(self.name)

    def column(self, name: str) -> list[str]:
        return [f"task_{row % _TASKS:03d}/{row // _TASKS}" for row in range(len(self))]

    def trajectories(self, numbers: Sequence[int] | None = None) -> Iterator[StoredTrajectory]:
        raise NotImplementedError

    @cached_property
    def ledger(self) -> dict[str, Entry]:
        def entry(row: int, key: str) -> Entry:
            return Entry(
                key, DONE, row, 5_400_000, (row, row), clip_bytes=37_000, clip_sha256=f"{row:064x}", seconds=0.19
            )

        return {key: entry(row, key) for row, key in enumerate(self.column("source"))}


@dataclass(frozen=True)
class MadeUpPart:
    """Instead of `DrawPart`, which draws."""

    folder: Path

    def __call__(self, dataset: FinishedDataset, numbers: Sequence[int]) -> list[Fact]:
        for kind in ("pictures", "clips"):
            (self.folder / f"{kind}_{numbers[0] // ROWS_PER_PART:05d}.js").symlink_to(f"../{kind}_00000.js")
        return [fact(row) for row in numbers]


def fact(row: int) -> Fact:
    """A row; a quarter of all rows have a text that no row before has."""
    draw = np.random.default_rng(row)
    texts = np.random.default_rng(row if row % 4 == 0 else row % 9973)
    values = draw.gamma(4, 0.3, 9).tolist()
    task = f"task_{row % _TASKS:03d}"
    return Fact(
        number=row,
        source=f"{task}/{row // _TASKS}",
        task=" ".join(_NOUNS[i] for i in texts.integers(0, len(_NOUNS), 16)),
        folder=task,
        has_hands=True,
        seconds=10 * values[0],
        clip_bytes=int(30_000 * values[1]),
        convert_seconds=values[2],
        path=values[3],
        top_speed=values[4],
        radius=values[5] / 10,
        least_in_frame=min(values[6], 1),
        mean_in_frame=min(values[7], 1),
        confidence=min(values[8], 1),
        remarks=("left hand jumps",) if values[4] > 3 else (),
    )


def write_usual_files(folder: Path) -> None:
    """A file of pictures and one of clips as large as real ones."""
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (_FRAMES, 16, 16, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    picture = io.BytesIO()
    Image.fromarray(noise[0]).resize((256, 144)).save(picture, "JPEG", quality=80)
    write_rgb_mp4(noise, folder / "clip.mp4", fps=30, crf=18)
    video = (folder / "clip.mp4").read_bytes()
    clip = {
        "certain": True,
        "hasHands": True,
        "frames": _FRAMES,
        "aspect": 1.778,
        "duration": 9.0,
        "paths": [1, 1],
        "topSpeeds": [1, 1],
        "radii": [0.1, 0.1],
        "inFrame": [1, 1],
        "curves": base64.b64encode(draw.integers(0, 99, (_FRAMES, 9), np.int16).tobytes()).decode(),
        "actions": None,
        "size": [256, 256],
        "skeletons": base64.b64encode(draw.integers(0, 4096, (_FRAMES, 2, 25, 2), np.int16).tobytes()).decode(),
        "video": base64.b64encode(video[:37_000] if len(video) > 60_000 else video).decode(),
    }
    write_script(folder, "pictures", 0, [base64.b64encode(picture.getvalue()).decode()] * ROWS_PER_PART)
    write_script(folder, "clips", 0, [clip] * ROWS_PER_PART)


def build(folder: Path, count: int, num_workers: int) -> None:
    """The report of a made-up dataset, and what it took."""
    write_usual_files(folder)
    data = folder / "data"
    data.mkdir()
    start = time.perf_counter()
    dataset, columns = MadeUp(folder / str(count)), Columns(data)
    for made_up in each_trajectory(MadeUpPart(data), dataset, num_workers=num_workers):
        assert isinstance(made_up, Fact)
        columns.add(made_up)
    write_page(dataset, folder, columns)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"the process that collects: {seconds:.1f} s, {peak:.0f} MB at most")


def in_chromium(page: Path) -> dict[str, float]:
    """Use a page in a fresh Chromium; milliseconds, and megabytes."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.page_load_strategy = "none"
        chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            chromium.set_script_timeout(60)
            chromium.set_window_size(1440, 900)
            chromium.get(page.as_uri())

            def when(condition: str) -> float:
                return float(chromium.execute_async_script(_WHEN.replace("CONDITION", condition)))

            def takes(action: str) -> float:
                return float(chromium.execute_async_script(_TAKES.replace("ACTION", action)))

            found = {"list in the page, ms": when(_LISTED), "all rows there, ms": when("rows.isWhole")}
            memory = {f"after loading, {name}": value for name, value in memory_of(chromium, profile).items()}
            found["search, ms"] = takes(_SEARCH)
            found["search emptied, ms"] = takes("document.getElementById('search').value = ''; list.restart()")
            found["sort by top speed, ms"] = takes(_SORT.format("top speed"))
            found["sort by text, ms"] = takes(_SORT.format("task text"))
            chromium.execute_script(_SORT.format("top speed"))
            start = when("true")
            chromium.execute_script("document.getElementById('trajectories').scrollIntoView({behavior: 'instant'})")
            found["pictures of rows from anywhere, ms"] = when(_PICTURED) - start
            start = when("true")
            chromium.execute_script("scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")
            found["the end of the list, pictures, ms"] = when(_PICTURED) - start
            start = when("true")
            chromium.execute_script("[...list.cards.values()].at(-1).click()")
            found["play the last, ms"] = when("player.video.currentTime > 0") - start
            return found | memory | memory_of(chromium, profile)
        finally:
            chromium.quit()


def memory_of(chromium: Any, profile: str) -> dict[str, float]:
    """Megabytes: of JavaScript, and of the page's process that it shares with no other."""
    heap = chromium.execute_script("return performance.memory.usedJSHeapSize / 1e6")
    pids = subprocess.run(["pgrep", "-f", f"type=renderer.*{profile}"], capture_output=True, text=True).stdout.split()
    private = 0.0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        private = max(private, sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1e3)
    return {"JavaScript, MB": heap, "process, MB": private}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trajectories", type=int, default=338_000, help="rows (default: 338000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often it is opened (default: 5)")
    parser.add_argument("--workers", type=int, default=1, help="processes that make up rows (default: 1)")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="folder for the report, which stays")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        build(folder, options.trajectories, options.workers)
        sizes = [file.stat().st_size for file in (folder / "data").glob("columns_*")]
        page = folder / "index.html"
        print(f"{options.trajectories:,} trajectories: page {page.stat().st_size / 1e6:.1f} MB", end=", ")
        print(f"columns {sum(sizes) / 1e6:.1f} MB in {len(sizes)} files", end=", ")
        per_row = sum((folder / f"{kind}_00000.js").stat().st_size for kind in ("pictures", "clips")) / ROWS_PER_PART
        print(f"pictures and clips {per_row / 1e3:.0f} KB a trajectory", flush=True)
        rounds = [in_chromium(page) for _ in range(options.rounds)]
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        print(f"{name:34} median {statistics.median(values):8.1f}  worst {max(values):8.1f}")


if __name__ == "__main__":
    main()
