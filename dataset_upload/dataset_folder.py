"""A dataset's folder, as every format has it: a ledger, and a place for what is not finished, with a lock."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dataset_upload.errors import UsageError
from dataset_upload.ledger import has_entries
from dataset_upload.shard import Shard
from dataset_upload.storage.locks import LockedError, exclusive_lock, shared_lock

LEDGER = "ledger.jsonl"
WORK = ".work"  # never pushed
LOCK = "lock"  # in WORK
LEDGERS = "ledgers"  # in WORK: of shards, with their locks


def has_been_written(folder: Path) -> bool:
    """Whether a run has written here: what comes from the Hub has neither ledger nor work folder."""
    return (folder / LEDGER).exists() or (folder / WORK).exists()


@contextmanager
def dataset_lock(folder: Path, shard: Shard | None = None) -> Iterator[None]:
    """Keep other runs away from a dataset; a folder that stays without an entry is removed again.

    Args:
        folder: of the dataset.
        shard: only runs of the same shard are kept away, and those of the whole.

    Raises UsageError where another run is at it, or nothing can be written.
    """
    work = folder / WORK
    missing = [path for path in (work, folder, *folder.parents) if not path.exists()]
    with ExitStack() as stack:
        try:
            (work if shard is None else work / LEDGERS).mkdir(parents=True, exist_ok=True)
            if shard is None:
                stack.enter_context(exclusive_lock(work / LOCK, wait=False))
            else:
                stack.enter_context(shared_lock(work / LOCK))
                stack.enter_context(exclusive_lock(work / LEDGERS / f"{shard.file_name}.lock", wait=False))
        except LockedError as error:
            raise UsageError(
                f"--dataset.dataset_name: another run is writing {folder}; wait for it, or choose another name"
            ) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # no fault of the command
                raise
            raise UsageError(f"--output.output_dir: cannot write {folder} ({error.strerror})") from error
        try:
            _discard_incoming(folder, shard)  # what a run that was killed has left
            yield
        finally:
            if shard is None and folder in missing and not has_entries(folder / LEDGER):
                _remove_unused(folder, missing)


@contextmanager
def incoming_folder(folder: Path, shard: Shard | None = None) -> Iterator[Path]:
    """An empty folder on a dataset's disk for files that are being written; it is gone after the `with`.

    It has a new name each time: a worker that has outlived its run cannot put anything into this one's.
    """
    try:
        yield Path(tempfile.mkdtemp(prefix=_incoming_prefix(shard), dir=folder / WORK))
    finally:
        _discard_incoming(folder, shard)


def _discard_incoming(folder: Path, shard: Shard | None) -> None:
    for left in (folder / WORK).glob(f"{_incoming_prefix(shard)}*"):
        shutil.rmtree(left, ignore_errors=True)


def _incoming_prefix(shard: Shard | None) -> str:
    return "incoming-" if shard is None else f"incoming-{shard.file_name}-"


def empty(folder: Path) -> None:
    """Delete everything in a dataset's folder but for its ledger and its lock."""
    for entry in (*folder.iterdir(), *(folder / WORK).iterdir()):
        if entry.name not in (WORK, LOCK, LEDGER):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _remove_unused(folder: Path, made: Sequence[Path]) -> None:
    """Remove what a run has made before its first entry, inner folders first; a folder that holds more stays."""
    with suppress(OSError):
        (folder / LEDGER).unlink(missing_ok=True)
        (folder / WORK / LOCK).unlink(missing_ok=True)
        for path in made:
            path.rmdir()
