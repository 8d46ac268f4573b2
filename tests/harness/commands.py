"""Commands, run to their end, started to be interrupted, or acted out in a fork of the tests' own process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from project import PROJECT

WITH_HARNESS = os.pathsep.join(map(str, (PROJECT, PROJECT / "tests" / "harness")))  # a PYTHONPATH


class Run(NamedTuple):
    """How a command ended."""

    exit_code: int  # negative: the signal that ended it
    stdout: str
    stderr: str
    peak_kilobytes: int = 0  # of memory; told of forks only

    @property
    def lines(self) -> list[str]:
        return (self.stdout + self.stderr).splitlines()

    @property
    def last_line(self) -> str:
        return self.lines[-1]


def environment(**changed: str) -> dict[str, str]:
    """The environment of commands: this process's with the project on Python's path, and these changes.

    Bytecode is kept for all runs, as compiling takes half of their time.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    bytecode = str(PROJECT / ".pytest_cache" / "bytecode")
    return {**inherited, "PYTHONPATH": str(PROJECT), "PYTHONPYCACHEPREFIX": bytecode, **changed}


def start(
    *arguments: object,
    program: str = sys.executable,
    cwd: Path = PROJECT,
    env: Mapping[str, str] | None = None,
    **more: Any,
) -> subprocess.Popen[str]:
    """Begin a command: `start("-m", "train", …)`. `env` is all of its environment; `more` is for Popen."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=env or environment(), text=True, **{**pipes, **more})


def end(process: subprocess.Popen[str], *, timeout: float = 300) -> Run:
    """Wait for a command; one that takes longer than these seconds is killed."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Run(process.returncode, stdout or "", stderr or "")


def run(
    *arguments: object,
    program: str = sys.executable,
    cwd: Path = PROJECT,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> Run:
    """Run a command to its end: `run("-m", "dataset_upload.hub", "--verify", folder, repo)`."""
    return end(start(*arguments, program=program, cwd=cwd, env=env), timeout=timeout)


def in_fork(act: Callable[[], int]) -> Run:
    """Run something in a fork of this process, which starts in milliseconds and ends with the exit code returned."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _be_the_fork(act, out.fileno(), err.fileno())
        _, status, usage = os.wait4(pid, 0)
        stdout, stderr = (os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace") for file in (out, err))
    return Run(os.waitstatus_to_exitcode(status), stdout, stderr, usage.ru_maxrss)


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
