"""Ledgers of shards: each is written by its shard alone, read by all, and taken up by the run that finishes.

A shard takes the main ledger's numbers, which rests as long as there are shards; so all shards number the same
selection alike without a word between them, on one disk or on several.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from dataset_upload.console.logs import logger
from dataset_upload.dataset_folder import LEDGER, LEDGERS, WORK
from dataset_upload.errors import UsageError
from dataset_upload.ledger import (
    DONE,
    FAILED,
    MEASURED,
    REOPENED,
    SKIPPED,
    Contents,
    Entry,
    Ledger,
    read_entries,
    read_ledger,
)
from dataset_upload.ledger_header import Origin
from dataset_upload.shard import Shard
from dataset_upload.storage.locks import exclusive_lock
from dataset_upload.storage.whole_file import write_whole

_RANKS = {DONE: 0, SKIPPED: 1, FAILED: 2, MEASURED: 3, REOPENED: 4}  # whose word counts where shards differ


def ledger_paths(folder: Path) -> list[Path]:
    """The ledgers of a dataset's shards."""
    return sorted((folder / WORK / LEDGERS).glob("*-of-*.jsonl"))


class ShardLedger(Ledger):
    """A shard's own ledger, which knows what all others say."""

    def __init__(self, folder: Path, shard: Shard, origin: Origin, *, any_cpu: bool = False) -> None:
        """Open or create it. Raises UsageError: as `Ledger`, for any of the dataset's."""
        own = folder / WORK / LEDGERS / f"{shard.file_name}.jsonl"
        main = read_ledger(folder / LEDGER, origin)
        others = [read_ledger(path, origin) for path in ledger_paths(folder) if path != own]
        super().__init__(own, *origin, any_cpu=any_cpu)
        self.shard = shard
        self.entries = merge(main, [*others, Contents(self.entries, [])])
        self.numbered = main.entries
        self._other_cpus = [cpu for each in (main, *others) for cpu in each.cpus]

    def known_cpus(self, cpu: str) -> list[str]:
        """As those of a ledger; and, of shards that begin at the same time, that of the first."""
        path = self._path.with_name("processor")
        with exclusive_lock(path.with_suffix(".lock"), wait=True):
            if not path.exists():
                write_whole(path, cpu)
            first = path.read_text(encoding="utf-8")
        return [*self.cpus, *self._other_cpus, first]


def merge(main: Contents, shards: Iterable[Contents]) -> dict[str, Entry]:
    """The last word on each episode.

    Among shards, what is done counts, then what is skipped. A shard counts more than the main ledger, for it came
    later; but what is done there and failed in a shard is still done.
    """
    latest: dict[str, Entry] = {}
    for shard in shards:
        for key, entry in shard.entries.items():
            if key not in latest or _RANKS[entry.status] < _RANKS[latest[key].status]:
                latest[key] = entry
    merged = dict(main.entries)
    for key, entry in latest.items():
        if key not in merged or merged[key].status != DONE or entry.status in (DONE, REOPENED):
            merged[key] = entry
    return merged


def absorb(ledger: Ledger, folder: Path, origin: Origin) -> None:
    """Take up what shards have done into the main ledger, then delete theirs.

    An interrupted call loses nothing: the next one takes up the same ledgers again.

    Raises:
        UsageError: a ledger has other settings or is of another part, two episodes have one number, or clips were made
            on processors whose bytes may differ; nothing is taken up.
    """
    paths = ledger_paths(folder)
    if not paths:
        return
    shards = [read_ledger(path, origin) for path in paths]
    merged = merge(Contents(ledger.entries, ledger.cpus), shards)
    _check_numbers(merged, folder)
    for cpu in [cpu for each in shards for cpu in each.cpus]:
        ledger.admit(cpu)
    for key, entry in merged.items():
        if ledger.entries.get(key) != entry:
            ledger.append(entry)
    ledger.flush()
    shutil.rmtree(folder / WORK / LEDGERS, ignore_errors=True)  # with the locks, which no shard can hold now
    logger.info(f"Took up what {len(paths)} shards have done")


def _check_numbers(entries: Mapping[str, Entry], folder: Path) -> None:
    keys: dict[int, str] = {}
    for key, entry in entries.items():
        if keys.setdefault(entry.clip, key) != key:
            raise UsageError(
                f"{folder}: its shards were made of different selections, for {keys[entry.clip]} and {key} have the "
                f"same number, {entry.clip}; delete one of the ledgers in {folder / WORK / LEDGERS} that name them, "
                "then its episodes are converted again"
            )


def check_same_numbers(ledger: Ledger, numbers: Mapping[str, int], folder: Path) -> None:
    """Raises UsageError where shards before have numbered episodes otherwise than this one would."""
    keys = {number: key for key, number in numbers.items()}
    for key, entry in ledger.entries.items():
        if numbers.get(key, entry.clip) != entry.clip or keys.get(entry.clip, key) != key:
            raise UsageError(
                f"--output.shard: {folder} has shards of a source that had other episodes, or of another choice of "
                "tasks; give the command without --output.shard first, which takes up what they have done"
            )


def not_ended(folder: Path, shard: Shard, numbers: Mapping[str, int]) -> list[int]:
    """Which shards have episodes that none has come to, as far as the ledgers in this folder tell."""
    main = Contents(read_entries(folder / LEDGER) if (folder / LEDGER).exists() else {}, [])
    entries = merge(main, (Contents(read_entries(path), []) for path in ledger_paths(folder)))
    waiting = (
        number for key, number in numbers.items() if key not in entries or entries[key].status in (MEASURED, REOPENED)
    )
    return sorted({number % shard.count for number in waiting})
