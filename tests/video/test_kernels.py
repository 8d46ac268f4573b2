"""Compiled code is kept for the next process, in a folder that nobody else can write to, or not at all."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numba", reason="without Numba there is nothing to compile")

from dataset_upload.video import kernels, preparation

SOURCE = "def double(number):\n    return 2 * number\n"


@pytest.fixture
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setattr(kernels, "CHECKED", False)
    return home


@pytest.fixture
def double(tmp_path: Path, cache_home: Path) -> Callable[[], Any]:
    """Makes an entry point of a file, as if by a new process each time."""
    file = tmp_path / "doubling.py"
    file.write_text(SOURCE)

    def make() -> Any:
        spec = importlib.util.spec_from_file_location("doubling", file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["doubling"] = module
        spec.loader.exec_module(module)
        return kernels.entry_point(module.double)

    return make


def code_files(cache_home: Path) -> list[Path]:
    return sorted(path for path in cache_home.rglob("*.nbc"))


def test_code_is_kept_and_read_again(double: Callable[[], Any], cache_home: Path) -> None:
    first, second = double(), double()
    assert kernels.first_call(first, 1)
    assert len(code_files(cache_home)) == 1
    assert not kernels.first_call(second, 1)
    assert second(21) == 42


def test_the_folder_is_closed_to_others(cache_home: Path) -> None:
    folder = kernels.cache_folder()
    assert folder is not None
    assert folder.parent == cache_home / "dataset_upload"
    assert folder.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["open to others", "link", "file", "not writable"])
def test_another_folder_is_not_trusted(
    cache_home: Path, tmp_path: Path, kind: str, double: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = cache_home / "dataset_upload"
    cache_home.mkdir()
    if kind == "open to others":
        base.mkdir()
        base.chmod(0o777)
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        base.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        base.touch()
    else:
        monkeypatch.setattr(os, "access", lambda *_: False)  # whoever runs the tests may be root
    assert kernels.cache_folder() is None
    entry = double()
    assert kernels.first_call(entry, 1)
    assert entry(21) == 42
    assert code_files(cache_home) == []


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, double: Callable[[], Any]) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert kernels.cache_folder() is None
    assert double()(21) == 42


@pytest.mark.parametrize("damage", [b"", b"no pickle", b"\x80\x04N."])
def test_damaged_code_is_made_anew(double: Callable[[], Any], cache_home: Path, damage: bytes) -> None:
    double()(1)
    (file,) = code_files(cache_home)
    file.write_bytes(damage)
    entry = double()
    assert kernels.first_call(entry, 1)
    assert entry(21) == 42
    healed = double()
    healed(1)
    third = double()
    assert not kernels.first_call(third, 1)


def test_a_full_disk_costs_only_the_cache(double: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    entry = double()
    monkeypatch.setattr(type(entry._cache._impl), "reduce", full)
    assert kernels.first_call(entry, 1)
    assert entry(21) == 42


def test_other_sources_have_another_folder(cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = kernels.cache_folder()
    monkeypatch.setattr(kernels, "__file__", __file__)
    assert kernels.cache_folder() not in (None, folder)


# Preparation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_new", [True, False])
def test_compiling_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, cache_home: Path, is_new: bool) -> None:
    monkeypatch.setattr(preparation, "_compiled", lambda: (object, is_new))
    line = preparation.prepare()
    if is_new:
        assert line is not None
        assert line.startswith("Compiled the video decoder for this machine in ")
        assert line.endswith(" s, kept for later runs")
    else:
        assert line is None


def test_what_is_lost_without_numba_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dataset_upload.video.mpeg4.group_decoder", None)
    monkeypatch.setattr(preparation, "_compiled", preparation._compiled.__wrapped__)
    assert preparation.prepare() == ("Numba cannot be used here, so that a conversion takes about four times as long")
