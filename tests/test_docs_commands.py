"""The commands that the README and docs/looking.md print work as printed, also where there are several datasets."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
from conversions import fork_convert
from drawn_egodex import tiny_egodex
from project import PROJECT

LOOKS = re.compile(
    r"^uv run (?:--extra \w+ )?python -m (dataset_upload\.(?:validate|visualize)_dataset) (.*)$", re.MULTILINE
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a user has converted two parts into the usual output folder."""
    folder = tmp_path_factory.mktemp("user")
    for name in ("egodex_test", "egodex_part1"):
        tiny_egodex(folder / name, episodes=2)
        assert fork_convert(folder / name, folder / "egodex_dataset", name=name).exit_code == 0
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/looking.md"])
def test_the_printed_commands_work(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    pytest.importorskip("rerun", reason="needs the extra rerun")
    printed = LOOKS.findall((PROJECT / page).read_text())
    assert len(printed) >= 2
    monkeypatch.chdir(folder)
    for module, arguments in printed:
        here = arguments.replace("/path/to/egodex/test", "egodex_test")  # the one thing that users have to fill in
        assert importlib.import_module(module).main(shlex.split(here)) == 0, arguments
