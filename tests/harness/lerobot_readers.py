"""Environments with the real LeRobot libraries, and with those that judge its datasets, apart from the project's own.

    ended = lerobot("0.6.1").run(script, root)

They are built when first asked for, in the folder that the variable LEROBOT_READERS names, or in pytest's cache. CI
builds them before the tests, so that there a failure to do so is an error: `python tests/harness/lerobot_readers.py`.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import commands
import lerobot_on_python311
import pytest
from commands import Run
from project import PROJECT

# What lerobot 0.6.1 needs to read and train, newer than it allows in places. torchcodec is the newest for this torch.
BASE = (
    "torch==2.13.0",
    "torchvision==0.28.0",
    "torchcodec==0.13.0",
    "accelerate==1.15.0",
    "av==16.1.0",
    "datasets==5.2.0",
    "draccus==0.11.6",
    "einops==0.8.2",
    "gymnasium==1.4.0",
    "huggingface-hub==2.4.0",
    "jsonlines==4.0.0",
    "numpy==2.4.6",
    "opencv-python-headless==5.0.0.93",
    "pandas==3.1.1",
    "pyarrow==26.0.1",
    "requests==2.34.2",
    "safetensors==0.8.0",
    "typer==0.29.2",  # this and the next for lerobot-lint
    "pydantic==2.14.4",
)
# Without what they ask for: other versions of the above, and torch with CUDA.
LEROBOT = ("lerobot==0.6.1", "lerobot-lint==0.1.1")
JUDGES = ("robovet[video]==0.2.2", "lerobot-doctor==0.2.0")
CURRENT = "0.6.1"
# Older versions, in folders of their own that come before the above.
OLDER = {
    "0.4.4": ("lerobot==0.4.4", "draccus==0.10.0"),
    "0.3.3": (
        "lerobot==0.3.3",
        "datasets==3.6.0",
        "dill==0.3.8",
        "fsspec==2025.3.0",
        "multiprocess==0.70.16",
        "termcolor==3.2.0",
    ),
}
UNREACHABLE = re.compile("failed to fetch|error sending request|dns error|timed out|offline", re.IGNORECASE)


class Environment(NamedTuple):
    """A Python with its packages."""

    python: Path
    before: Path | None = None  # a folder of packages that come before its own

    def run(self, *arguments: object, program: str = "python", timeout: float = 300, **variables: str) -> Run:
        """Run this program of the environment, with an empty HF_HOME, offline unless HF_ENDPOINT is set."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
        with tempfile.TemporaryDirectory(prefix="lerobot-") as home:
            hub = {"HF_HOME": home} | ({} if "HF_ENDPOINT" in variables else {"HF_HUB_OFFLINE": "1"})
            env = {**inherited, **hub, "PYTHONPATH": str(self.before or ""), "NO_PROXY": "127.0.0.1", **variables}
            return commands.run(*arguments, program=str(self.python.parent / program), env=env, timeout=timeout)


class NotInstalled(Exception):
    """Packages could not be installed; why."""


def lerobot(version: str = CURRENT) -> Environment:
    """Python with this version of lerobot. Skips the test where its packages cannot be had."""
    return _or_skip(_lerobot, version)


def judges() -> Environment:
    """Python with robovet and lerobot-doctor. Skips the test where these cannot be had."""
    return _or_skip(_judges)


def _or_skip(build: Callable[..., Environment], *arguments: str) -> Environment:
    try:
        return build(*arguments)
    except NotInstalled as error:
        if UNREACHABLE.search(str(error)):
            pytest.skip(f"no packages to install: {str(error).strip().splitlines()[-1]}")
        raise


def _lerobot(version: str) -> Environment:
    def install(folder: Path) -> None:
        _make_venv(folder, BASE)
        python = ["--python-version=3.12"] if sys.version_info < (3, 12) else []
        _uv("pip", "install", "--python", folder / "bin" / "python", "--no-deps", *python, *LEROBOT)
        (site_packages,) = folder.glob("lib/python*/site-packages")
        lerobot_on_python311.patch(site_packages)

    patches = inspect.getsource(lerobot_on_python311)
    python = _built("lerobot", [*BASE, *LEROBOT, patches], install) / "bin" / "python"
    if version == CURRENT:
        return Environment(python)
    packages = OLDER[version]
    older = _built(
        f"lerobot-{version}",
        packages,
        lambda folder: _uv("pip", "install", "--python", python, "--no-deps", "--target", folder, *packages),
    )
    return Environment(python, older)


def _judges() -> Environment:
    return Environment(_built("judges", JUDGES, lambda folder: _make_venv(folder, JUDGES)) / "bin" / "python")


def _built(name: str, recipe: Sequence[str], install: Callable[[Path], None]) -> Path:
    """The folder made by `install` after this recipe, now or some time before."""
    cache = Path(os.environ.get("LEROBOT_READERS") or PROJECT / ".pytest_cache" / "lerobot_readers")
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256("\n".join([sys.version, *recipe]).encode()).hexdigest()
    folder = cache / f"{name}-{digest[:12]}"
    finished = cache / f"{folder.name}.finished"
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            install(folder)
            finished.touch()
    return folder


def _make_venv(folder: Path, packages: Sequence[str]) -> None:
    _uv("venv", "--python", sys.executable, folder)
    _uv("pip", "install", "--python", folder / "bin" / "python", *packages)


def _uv(*arguments: object) -> None:
    program = os.environ.get("UV") or shutil.which("uv")
    if program is None:
        pytest.skip("needs uv")
    wheels = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS") or ""
    done = commands.run(*arguments, program=program, env={**os.environ, "UV_FIND_LINKS": wheels}, timeout=1200)
    if done.exit_code:
        raise NotInstalled(done.stderr)


if __name__ == "__main__":
    for known in (CURRENT, *OLDER):
        print(_lerobot(known).python)
    print(_judges().python)
