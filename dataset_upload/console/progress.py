"""The one progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from dataset_upload.console.interrupts import until_interrupted
from dataset_upload.console.logs import say

T = TypeVar("T")

_SECONDS_BETWEEN_LINES = 10.0


def progress(items: Iterable[T], description: str, *, total: int, unit: str = "it") -> Iterable[T]:
    """Iterate while showing count, rate and time left on standard error, until there is an interrupt.

    On a terminal that is a bar; elsewhere (a log file, a batch job) a plain line every ten seconds and one at the end.
    """
    from tqdm import tqdm

    items = until_interrupted(items)
    if sys.stderr.isatty():
        bar: Iterable[T] = tqdm(items, desc=description, total=total, unit=unit)
        return bar
    return _with_lines(items, description, total, unit)


def _with_lines(items: Iterable[T], description: str, total: int, unit: str) -> Iterator[T]:
    from tqdm import tqdm

    start = last_line = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if done == total or now - last_line >= _SECONDS_BETWEEN_LINES:
            last_line = now
            line = tqdm.format_meter(
                done,
                total,
                now - start,
                prefix=description,
                unit=unit,
                bar_format="{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]",
            )
            say(line, sys.stderr)
