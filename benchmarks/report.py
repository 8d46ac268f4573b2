"""How long the report of a large dataset takes to open in Chromium, and how quickly it answers.

    uv run --all-extras python -m dataset_upload.visualize_dataset egodex_demo_dataset --report --out demo
    uv run --all-extras python benchmarks/report.py demo/report --trajectories 10000

The rows of a small report are repeated, so that its page is as long as that of a large one; thumbnails and clips are
those of the small one. Each round starts a fresh Chromium. Needs Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium import webdriver

from dataset_upload.visualization.report import render_page

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Milliseconds from the start of the navigation until the first card is on the screen.
_OPENED = """
const done = arguments[0];
requestAnimationFrame(() => setTimeout(() => done(document.querySelector("#cards .card") ? performance.now() : null)));
"""
# Milliseconds from a key until the cards that fit are on the screen.
_SEARCHED = """
const done = arguments[0], start = performance.now();
search.value = "the";
search.dispatchEvent(new Event("input", {bubbles: true}));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
"""


def repeated(data: dict[str, Any], count: int) -> dict[str, Any]:
    """A report's data with its trajectories, in turn, until there are `count`; each has a source of its own."""
    few = data["trajectories"]
    columns = {key: [values[row % len(values)] for row in range(count)] for key, values in few.items()}
    columns["source"] = [f"{source.split('/')[0]}/{row}" for row, source in enumerate(columns["source"])]
    return {**data, "trajectories": columns}


def measure(page: Path) -> dict[str, float]:
    """Open a page in a fresh Chromium; milliseconds, and megabytes of its JavaScript."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            chromium.set_window_size(1440, 900)
            start = time.perf_counter()
            chromium.get(page.as_uri())
            wall = 1000 * (time.perf_counter() - start)
            opened = chromium.execute_async_script(_OPENED)
            searched = chromium.execute_async_script(_SEARCHED)
            heap = chromium.execute_script("return performance.memory.usedJSHeapSize / 1e6")
        finally:
            chromium.quit()
    return {"load, ms": wall, "first cards, ms": opened, "search, ms": searched, "JavaScript, MB": heap}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("report", metavar="REPORT", type=Path, help="folder of a report")
    parser.add_argument("--trajectories", type=int, default=10_000, help="rows that the page gets (default: 10000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often it is opened (default: 5)")
    options = parser.parse_args()
    text = (options.report / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None, "no report of this version"
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "index.html"
        page.write_text(render_page(repeated(json.loads(found[1]), options.trajectories)), encoding="utf-8")
        (page.parent / "media").symlink_to((options.report / "media").resolve())
        print(f"{options.trajectories:,} trajectories, {page.stat().st_size / 1e6:.1f} MB of HTML")
        rounds = [measure(page) for _ in range(options.rounds)]
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        print(f"{name:16} median {statistics.median(values):8.1f}  worst {max(values):8.1f}")


if __name__ == "__main__":
    main()
