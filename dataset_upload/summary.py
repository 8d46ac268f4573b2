"""The last lines of a run: what became of the episodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_upload.ledger import DONE, FAILED, SKIPPED, Entry
from dataset_upload.logs import logger


@dataclass
class Traffic:
    """What a run fetched from archives elsewhere, and how large these are; 0 where everything lies on this machine."""

    archive_bytes: int
    fetched_bytes: int = 0


def summarise(
    entries: Sequence[Entry], num_jobs: int, seconds: float, folder: Path, traffic: Traffic, *, is_whole: bool
) -> None:
    """Log counts, sizes, time, place and what to do next.

    Args:
        entries: what became of each selected episode, in this run or an earlier one.
        num_jobs: how many of them this run worked on.
        seconds: that the run took.
        folder: the dataset's.
        traffic: of this run.
        is_whole: whether the run came to its end and there are tables.
    """
    logger.info("")
    for status, label in ((DONE, "Done:"), (SKIPPED, "Skipped:"), (FAILED, "Failed:")):
        of_status = [entry for entry in entries if entry.status == status]
        reasons = Counter(entry.reason for entry in of_status if entry.reason).most_common()
        detail = ", ".join(f"{count} {reason}" for reason, count in reasons)
        logger.info(f"{label:<9}{len(of_status)}" + (f" ({detail})" if detail else ""))

    done = [entry for entry in entries if entry.status == DONE]
    source_bytes = sum(entry.source_bytes for entry in done)
    clip_bytes = sum(entry.clip_bytes or 0 for entry in done)
    if done:
        change = f"{clip_bytes / source_bytes - 1:+.1%}" if source_bytes else ""
        logger.info(f"Size:    {source_bytes / 1e6:.1f} MB -> {clip_bytes / 1e6:.2f} MB of clips ({change})")
    if traffic.archive_bytes:
        fetched, total = traffic.fetched_bytes, traffic.archive_bytes
        logger.info(f"Fetched: {fetched / 1e6:.1f} MB of {total / 1e6:.1f} MB of archives ({fetched / total:.1%})")
    rate, following = "", "the same command goes on"
    if is_whole:
        earlier = f"; {len(entries) - num_jobs} finished in an earlier run" if len(entries) > num_jobs else ""
        rate = f", {num_jobs / seconds:.2f} trajectories/s{earlier}"
        following = f'datasets.load_dataset("{folder.parent}", "{folder.name}", split="train")'
    logger.info(f"Time:    {seconds:.1f} s{rate}")
    logger.info(f"Dataset: {folder}")
    logger.info(f"Next:    {following}")
