"""The step for LeRobot's processors gives what `to_chunk` gives, with the real library in an environment of its own."""

from __future__ import annotations

import pytest
from project import PROJECT

readers = pytest.importorskip("lerobot_readers", reason="needs the environments of lerobot_readers")


@pytest.mark.slow
def test_a_batch_s_chunks_are_those_of_to_chunk() -> None:
    ended = readers.lerobot().run(PROJECT / "tests" / "harness" / "lerobot_chunks.py", PYTHONPATH=str(PROJECT))
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout.strip().endswith("the same")
