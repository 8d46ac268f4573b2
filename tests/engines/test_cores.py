"""How many cores there are for workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataset_upload import engines


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", []), ("150000 100000", [2]), ("1600000 100000", [16]), ("", []), ("1 0", [])]
)
def test_a_container_s_limit_counts(
    text: str, cores: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(engines, "_CGROUP", tmp_path / "cpu.max")
    assert engines.num_cores() == min([len(os.sched_getaffinity(0)), *cores])


def test_without_control_groups_there_is_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_CGROUP", tmp_path / "absent")
    assert engines.num_cores() == len(os.sched_getaffinity(0))
