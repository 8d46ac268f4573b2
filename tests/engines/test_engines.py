"""Worker processes that die, hang, or cannot start, and what that costs."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import commands
import engine_runs
import pytest
from engine_runs import all_done_but, jobs, make_engine
from misbehaving import CannotStart, Do, Doing, FrozenObjects, Heavy
from processes import children, is_alive, wait_until

from dataset_upload.errors import EpisodeError, Reason, StoppedError

pytestmark = pytest.mark.slow


def run(do: Do, listed: list[Doing], workers: int, timeout_s: int = 60) -> dict[str, str | EpisodeError]:
    return engine_runs.run(make_engine("processes", workers, timeout_s=timeout_s), do, listed)


@pytest.fixture
def do(tmp_path: Path) -> Do:
    return Do(tmp_path / "attempts")


# Workers that die or hang -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("act", "cause"), [("be killed", "SIGKILL"), ("crash", "SIGSEGV"), ("exit", "exit code 7")])
def test_a_job_whose_worker_dies_costs_only_itself(do: Do, workers: int, act: str, cause: str) -> None:
    listed = jobs(10, Doing("bad", act))
    outcomes = run(do, listed, workers)
    error = outcomes.pop("bad")
    assert isinstance(error, EpisodeError)
    assert error.reason is Reason.WORKER_DIED
    assert cause in str(error)
    assert outcomes == all_done_but(listed, "bad")


@pytest.mark.parametrize("act", ["hang", "be stopped"])
def test_a_job_that_hangs_costs_only_itself(do: Do, act: str) -> None:
    listed = jobs(10, Doing("bad", act))
    start = time.monotonic()
    outcomes = run(do, listed, workers=2, timeout_s=1)
    assert time.monotonic() - start < 10
    error = outcomes.pop("bad")
    assert isinstance(error, EpisodeError)
    assert error.reason is Reason.TIMED_OUT
    assert "no result after 1 s" in str(error)
    assert outcomes == all_done_but(listed, "bad")
    assert not any(is_alive(attempt.pid) for attempt in do.attempts("bad"))


def test_many_that_die_or_hang_cost_only_themselves(do: Do) -> None:
    bad = [Doing(f"bad{number}", act) for number, act in enumerate(["be killed", "hang", "crash", "exit", "hang"] * 2)]
    listed = jobs(40, *bad)
    outcomes = run(do, listed, workers=4, timeout_s=1)
    assert {name for name, outcome in outcomes.items() if isinstance(outcome, EpisodeError)} == {
        job.name for job in bad
    }


def test_it_is_tried_once_more_and_no_more(do: Do) -> None:
    run(do, jobs(10, Doing("dies", "be killed"), Doing("hangs", "hang")), workers=2, timeout_s=1)
    assert len(do.attempts("dies")) == len(do.attempts("hangs")) == 2


def test_it_is_tried_again_when_nothing_else_runs(do: Do) -> None:
    run(do, jobs(10, Doing("one", "be killed"), Doing("two", "be killed"), seconds=0.05), workers=3)
    retries = {do.attempts("one")[1], do.attempts("two")[1]}
    for attempt in do.attempts():
        for retry in retries - {attempt}:
            assert attempt.start > retry.start or (attempt.end or attempt.start) <= retry.start


def test_what_dies_only_in_company_is_done(do: Do) -> None:
    listed = jobs(10, Doing("greedy", "be killed", later="work"), Doing("slow", "hang", later="work"))
    assert run(do, listed, workers=2, timeout_s=1) == all_done_but(listed)


def test_a_job_that_waits_behind_one_that_dies_is_not_blamed(do: Do) -> None:
    listed = [Doing("bad", "be killed", seconds=0.3), *(Doing(f"behind{number}") for number in range(5))]
    outcomes = run(do, listed, workers=1)
    assert [name for name, outcome in outcomes.items() if isinstance(outcome, EpisodeError)] == ["bad"]
    assert all(len(do.attempts(job.name)) == 1 for job in listed[1:])


def test_a_worker_that_somebody_kills_costs_nothing(do: Do) -> None:
    def kill_some() -> None:
        for name in ("job3", "job7", "job11"):
            assert wait_until(lambda name=name: bool(do.attempts(name)))  # type: ignore[misc]
            os.kill(do.attempts(name)[0].pid, signal.SIGKILL)

    listed = jobs(16, seconds=0.1)
    killer = threading.Thread(target=kill_some)
    killer.start()
    assert run(do, listed, workers=2) == all_done_but(listed)
    killer.join()
    assert len(do.attempts()) == len(listed) + 3


def test_a_worker_that_is_killed_while_it_sends_its_result_costs_nothing(tmp_path: Path) -> None:
    """40 MB do not fit into the pipe: the worker hangs in the middle of sending them until this process reads."""
    heavy = Heavy(tmp_path / "first")
    outcomes: Any = make_engine("processes", 1).run(heavy, [1, 2, 3])
    first = next(outcomes)
    assert wait_until(lambda: (tmp_path / "first").exists())
    time.sleep(0.2)
    os.kill(int((tmp_path / "first").read_text()), signal.SIGKILL)
    assert sorted(job for job, result in [first, *outcomes] if len(result) == 40_000_000) == [1, 2, 3]


def test_a_run_stops_when_workers_do_not_even_start() -> None:
    with pytest.raises(StoppedError, match=r"die as they start; try --output\.num_workers=0"):
        list(make_engine("processes", 2).run(CannotStart(), range(100)))


# The end -----------------------------------------------------------------------------------------------------


def test_a_finished_run_leaves_no_worker(do: Do) -> None:
    run(do, jobs(8), workers=3)
    assert not any(is_alive(attempt.pid) for attempt in do.attempts())


def test_closing_kills_the_workers_at_once_whatever_they_do(do: Do) -> None:
    listed = [Doing("quick"), *jobs(4, Doing("bad", "hang"), seconds=30)]
    outcomes = make_engine("processes", 2, timeout_s=600).run(do, listed)
    next(outcomes)
    assert wait_until(lambda: len(do.attempts()) == 3)
    start = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start < 2
    assert not any(is_alive(attempt.pid) for attempt in do.attempts())


def test_workers_end_with_their_parent_however_it_ends(do: Do, tmp_path: Path) -> None:
    script = (
        "from misbehaving import *; from engine_runs import make_engine; import sys\n"
        "listed = [Doing('a', 'hang'), Doing('b', 'hang')]\n"
        "list(make_engine('processes', 2, timeout_s=600).run(Do(Path(sys.argv[1])), listed))"
    )
    environment = commands.environment(PYTHONPATH=commands.WITH_HARNESS)
    parent = commands.start("-c", script, tmp_path / "attempts", env=environment)
    assert wait_until(lambda: len(do.attempts()) == 2)
    family = [*children(parent.pid), *(attempt.pid for attempt in do.attempts())]
    parent.kill()
    commands.end(parent)
    assert wait_until(lambda: not any(map(is_alive, family)), seconds=5)


def test_workers_have_what_was_to_be_loaded_before_they_were_forked_and_nothing_of_no_use() -> None:
    script = (
        "from misbehaving import *; from engine_runs import make_engine\n"
        "work = LoadedModules(); work.preload = ('dataset_upload.formats.rfm.encoder',)\n"
        "((_, modules),) = make_engine('processes', 1).run(work, [0]); print(*modules)"
    )
    ended = commands.run("-c", script, env=commands.environment(PYTHONPATH=commands.WITH_HARNESS))
    assert ended.exit_code == 0, ended.stderr
    modules = set(ended.stdout.split())
    assert "dataset_upload.formats.rfm.encoder" in modules
    assert not {"datasets", "pandas", "torch", "huggingface_hub"} & modules


def test_what_workers_share_is_not_copied_by_their_garbage_collections() -> None:
    ((_, num_frozen),) = make_engine("processes", 1).run(FrozenObjects(), [0])
    assert isinstance(num_frozen, int) and num_frozen > 1000
