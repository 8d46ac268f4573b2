"""What the last lines of a run say is true."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from dataset_upload.ledger import DONE, FAILED, SKIPPED, Entry
from dataset_upload.summary import Work, summarise

ENTRIES = [
    *(Entry(f"task/{number}", DONE, number, 1_000_000, (1,), clip_bytes=10_000) for number in range(3)),
    Entry("task/3", SKIPPED, 3, 1, (1,), reason="no description"),
    Entry("task/4", FAILED, 4, 1, (1,), reason="truncated video"),
]


@pytest.fixture(autouse=True)
def only_caplog_listens(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever commands of other tests in this process have set up."""
    logger = logging.getLogger("dataset_upload")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    caplog.set_level(logging.INFO, "dataset_upload")


def time_line(work: Work, caplog: pytest.LogCaptureFixture) -> str:
    summarise(ENTRIES, 100.0, Path("out/egodex_test"), work, "read it")
    (line,) = (message for message in caplog.messages if message.startswith("Time:"))
    return line


def test_the_rate_is_of_trajectories_made_and_the_time_that_took(caplog: pytest.LogCaptureFixture) -> None:
    """Neither what was skipped or failed nor the time for listing, drawing or tables counts."""
    assert time_line(Work(0, num_converted=3, seconds=4.0), caplog) == "Time:    100.0 s, 0.75 trajectories/s"


def test_trajectories_of_earlier_runs_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    made_one = Work(0, num_converted=1, seconds=4.0)
    assert time_line(made_one, caplog) == "Time:    100.0 s, 0.25 trajectories/s; 2 done in an earlier run"


def test_where_nothing_was_made_there_is_no_rate(caplog: pytest.LogCaptureFixture) -> None:
    assert time_line(Work(0), caplog) == "Time:    100.0 s; 3 done in an earlier run"
