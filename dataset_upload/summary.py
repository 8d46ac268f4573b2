"""The last lines of a run: what became of the episodes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dataset_upload.console.logs import logger
from dataset_upload.ledger import DONE, FAILED, SKIPPED, Entry
from dataset_upload.quality.filters import Yield


@dataclass
class Work:
    """What a run did.

    Attributes:
        archive_bytes: size of the archives elsewhere that it reads; 0 where everything lies on this machine.
        fetched_bytes: how much it fetched from them.
        num_converted: trajectories that it made.
        seconds: that it spent on making them, and on finding that others cannot be made.
    """

    archive_bytes: int
    fetched_bytes: int = 0
    num_converted: int = 0
    seconds: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time that the `with` takes."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - start


def summarise(
    entries: Sequence[Entry],
    seconds: float,
    folder: Path,
    work: Work,
    following: str,
    removals: Sequence[Yield] = (),
) -> None:
    """Log counts, sizes, time, place and what to do next.

    Args:
        entries: what became of each selected episode, in this run or an earlier one.
        seconds: that the run took.
        folder: the dataset's.
        work: of this run.
        following: what to do next.
        removals: what each rule removed of them.
    """
    logger.info("")
    for status, label in ((DONE, "Done:"), (SKIPPED, "Skipped:"), (FAILED, "Failed:")):
        of_status = [entry for entry in entries if entry.status == status]
        reasons = Counter(entry.reason for entry in of_status if entry.reason).most_common()
        detail = ", ".join(f"{count} {reason}" for reason, count in reasons)
        logger.info(f"{label:<9}{len(of_status)}" + (f" ({detail})" if detail else ""))

    for label, each in zip(["Filters:", *[""] * len(removals)], removals, strict=False):
        counts = f"{each.removed} of {each.tried} removed, {each.kept} kept; alone {each.removed_alone} removed"
        logger.info(f"{label:<9}{each.rule}: {counts}")

    done = [entry for entry in entries if entry.status == DONE]
    source_bytes = sum(entry.source_bytes for entry in done)
    clip_bytes = sum(entry.clip_bytes or 0 for entry in done)
    if done:
        change = f"{clip_bytes / source_bytes - 1:+.1%}" if source_bytes else ""
        logger.info(f"Size:    {source_bytes / 1e6:.1f} MB -> {clip_bytes / 1e6:.2f} MB of clips ({change})")
    if work.archive_bytes:
        fetched, total = work.fetched_bytes, work.archive_bytes
        logger.info(f"Fetched: {fetched / 1e6:.1f} MB of {total / 1e6:.1f} MB of archives ({fetched / total:.1%})")
    rate = f", {work.num_converted / work.seconds:.2f} trajectories/s" if work.num_converted else ""
    num_earlier = len(done) - work.num_converted
    earlier = f"; {num_earlier} done in an earlier run" if num_earlier > 0 else ""
    logger.info(f"Time:    {seconds:.1f} s{rate}{earlier}")
    logger.info(f"Dataset: {folder}")
    logger.info(f"Next:    {following}")
