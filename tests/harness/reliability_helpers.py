"""What the tests of reliability share."""

from __future__ import annotations

import gc
import itertools
import json
import os
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from dataset_upload import pipeline
from dataset_upload.config import parse_config
from dataset_upload.generate_hf_dataset import main
from dataset_upload.language import LanguageModelError, TextEncoder
from dataset_upload.mini_egodex.part import EpisodeRecord, make_mini_egodex, write_episode

NAME = "egodex_test"


def tiny_egodex(path: Path, *, episodes: int, seed: int = 0) -> list[EpisodeRecord]:
    """Episodes of 64x64 pixels that convert in some milliseconds."""
    records = make_mini_egodex(path, episodes=episodes, size=(64, 64), frames=(6, 12), seed=seed)
    for record in records:
        text_encoder().encode(record.description)  # remembered, also by the forks below
    return records


def replace_episode(source: Path, key: str) -> EpisodeRecord:
    """Write another episode over one of `tiny_egodex`, or add it."""
    task, number = key.split("/")
    record = write_episode(source, task, int(number), frames=7, size=(64, 64), seed=99)
    text_encoder().encode(record.description)
    return record


# What a dataset holds ---------------------------------------------------------------------------------------


def published(output_dir: Path) -> dict[str, bytes]:
    """What is to be the same however a dataset was made: every file but ledgers and what lies in hidden folders."""
    files = (path for path in sorted(output_dir.rglob("*")) if path.is_file())
    names = {path.relative_to(output_dir).as_posix(): path for path in files}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if path.name != "ledger.jsonl" and not any(part.startswith(".") for part in Path(name).parts)
    }


def identities(output_dir: Path) -> dict[str, tuple[int, int]]:
    """(inode, modification time) of what `published` reads: a file that was written anew has others."""
    return {
        name: (os.stat(output_dir / name).st_ino, os.stat(output_dir / name).st_mtime_ns)
        for name in published(output_dir)
    }


def ledger_lines(output_dir: Path, name: str = NAME) -> list[dict[str, Any]]:
    """The ledger's whole lines, without the first, which holds the settings."""
    path = output_dir / name / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines[1:] if line.endswith(b"\n")]


def with_checksum(line: str) -> bytes:
    """A line of a ledger, a JSON object, as the converter writes it."""
    text = line.removesuffix("}").encode()
    return b'%b,"crc32":"%08x"}\n' % (text, zlib.crc32(text))


def outcomes(output_dir: Path, name: str = NAME) -> dict[str, tuple[str, str | None]]:
    """(status, reason) of every episode, as the ledger's last line about it says."""
    return {line["key"]: (line["status"], line.get("reason")) for line in ledger_lines(output_dir, name)}


# Runs in forked processes, which start in milliseconds ------------------------------------------------------------


class ForkedRun(NamedTuple):
    exit_code: int  # negative: the signal that ended it
    stdout: str
    stderr: str
    peak_kilobytes: int  # of memory


@cache
def text_encoder() -> TextEncoder:
    """The sentence model, loaded once; skips the test where its weights are not available."""
    encoder = TextEncoder()
    try:
        encoder.encode("")
        pa.array([""])  # makes pyarrow load pandas, which takes as long; parsing loads draccus
        parse_config(["--dataset.dataset_path=somewhere"])
    except LanguageModelError as error:
        pytest.skip(str(error))
    return encoder


def options(source: Path | str, output_dir: Path, *more: str, name: str = NAME) -> list[str]:
    """The command's options for a small and quick conversion in one process."""
    return [
        f"--dataset.dataset_path={source}",
        f"--dataset.dataset_name={name}",
        f"--output.output_dir={output_dir}",
        "--output.max_trajectories=-1",
        "--output.frame_size=64",
        "--output.num_workers=0",
        *more,
    ]


def fork_convert(
    source: Path | str, output_dir: Path, *more: str, name: str = NAME, first: Callable[[], object] = lambda: None
) -> ForkedRun:
    """Run the command in a fork of this process; `first` runs in the fork before it."""
    encoder = text_encoder()

    def convert() -> int:
        pipeline.load_text_encoder = lambda: encoder
        first()
        return main(options(source, output_dir, *more, name=name))

    return in_fork(convert)


def in_fork(act: Callable[[], int]) -> ForkedRun:
    """Run something in a fork of this process, which ends with what it returns."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _be_the_fork(act, out.fileno(), err.fileno())
        _, status, usage = os.wait4(pid, 0)
        said, complained = (os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace") for file in (out, err))
    return ForkedRun(os.waitstatus_to_exitcode(status), said, complained, usage.ru_maxrss)


def _be_the_fork(act: Callable[[], int], out: int, err: int) -> None:
    exit_code = 99
    gc.freeze()  # a collection would copy all that the processes share
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        exit_code = act()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)


def die_at_change(number: int) -> Callable[[], None]:
    """For `first`: have the process killed just before it changes the file system for the n-th time."""

    def arm() -> None:
        changes = itertools.count()

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            is_change = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
            is_opened_to_write = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (is_change or is_opened_to_write) and next(changes) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)

    return arm


# Processes ------------------------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    """The living child processes of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state not in "ZX":
            found.append(int(folder.name))
    return found


def workers(pid: int) -> list[int]:
    """The worker processes of a run: children of its fork server."""
    return [worker for server in children(pid) for worker in children(server)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition: Callable[[], Any], *, seconds: float = 60.0) -> bool:
    """Wait for a condition; returns whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
