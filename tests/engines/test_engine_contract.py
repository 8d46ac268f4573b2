"""What every engine does alike, the one that a newcomer would write included."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conversions import fork_convert
from drawn_egodex import tiny_egodex
from engine_runs import all_done_but, jobs, make_engine, run
from misbehaving import Do, Doing
from output_folder import outcomes, published
from ray_cluster import add_node, ray_cluster

from dataset_upload.engines import ENGINES, Engine
from dataset_upload.errors import EpisodeError, Reason, StoppedError, UsageError

TOY = "toy_engine:Threads"
WORKERS = [("here", 0), ("processes", 0), ("processes", 1), ("processes", 2), ("processes", -1), ("toy", 1), ("toy", 3)]
ON_RAY = pytest.param(("ray", 2), marks=pytest.mark.slow)


@pytest.fixture
def do(tmp_path: Path) -> Do:
    return Do(tmp_path / "attempts")


@pytest.fixture(params=[*WORKERS, ON_RAY], ids=lambda param: f"{param[0]}-{param[1]}")
def workers(request: pytest.FixtureRequest) -> int:
    number: int = request.param[1]
    return number


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    with ray_cluster() as cluster:
        add_node(cluster, num_cpus=2)
        yield cluster.address


@pytest.fixture
def engine(request: pytest.FixtureRequest, workers: int, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setitem(ENGINES, "toy", TOY)
    name: str = request.node.callspec.params["workers"][0]
    address = request.getfixturevalue("ray_address") if name == "ray" else "auto"
    return make_engine(name, workers, ray_address=address)


def test_every_job_is_done_once(engine: Engine, do: Do, workers: int) -> None:
    listed = jobs(20)
    assert run(engine, do, listed) == all_done_but(listed)
    assert sorted(attempt.name for attempt in do.attempts()) == sorted(job.name for job in listed)


def test_no_jobs_are_no_work(engine: Engine, do: Do, workers: int) -> None:
    assert run(engine, do, []) == {}


@pytest.mark.parametrize(
    ("act", "reason", "message"),
    [
        ("fail", Reason.NAN_POSES, "it holds NaN"),
        ("raise", Reason.UNEXPECTED, "ZeroDivisionError: by zero"),
        ("use all memory", Reason.OUT_OF_MEMORY, "out of memory"),
    ],
)
def test_a_job_that_raises_costs_only_itself(
    engine: Engine, do: Do, workers: int, act: str, reason: Reason, message: str
) -> None:
    listed = jobs(6, Doing("bad", act))
    outcomes = run(engine, do, listed)
    error = outcomes.pop("bad")
    assert isinstance(error, EpisodeError)
    assert error.reason is reason
    assert message in str(error)
    assert "\n" not in str(error)
    assert outcomes == all_done_but(listed, "bad")


def test_what_stops_one_job_for_want_of_disk_space_stops_all(engine: Engine, do: Do, workers: int) -> None:
    with pytest.raises(StoppedError, match="the disk is full"):
        run(engine, do, jobs(2000, Doing("bad", "stop")))
    assert len(do.attempts()) < 1000


def test_jobs_are_taken_only_a_few_ahead_of_the_work(engine: Engine, do: Do, workers: int) -> None:
    taken = finished = 0

    def source() -> Iterator[Doing]:
        nonlocal taken
        for job in jobs(30):
            taken += 1
            assert workers < 0 or taken - finished <= 2 * max(workers, 1) + 1
            yield job

    for _ in engine.run(do, source()):
        finished += 1
    assert taken == finished == 30


def test_closing_ends_the_work(engine: Engine, do: Do, workers: int) -> None:
    outcomes = engine.run(do, jobs(2000))
    next(outcomes)
    outcomes.close()
    begun = len(do.attempts())
    assert begun < 1000
    time.sleep(0.2)
    assert len(do.attempts()) == begun


@pytest.mark.parametrize("use_video", ["true", "false"])
@pytest.mark.parametrize("toy", [TOY, "toy_engine:Elsewhere"])
def test_the_command_gives_the_same_with_an_engine_that_it_knows_only_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: str, use_video: str
) -> None:
    monkeypatch.setitem(ENGINES, "toy", toy)
    tiny_egodex(tmp_path / "test", episodes=6)
    next((tmp_path / "test").rglob("*.mp4")).write_bytes(b"")
    for output_dir, options in (("here", []), ("there", ["--output.engine=toy", "--output.num_workers=3"])):
        options = [f"--output.use_video={use_video}", *options]
        assert fork_convert(tmp_path / "test", tmp_path / output_dir, *options).exit_code == 1
    assert outcomes(tmp_path / "there") == outcomes(tmp_path / "here")
    assert published(tmp_path / "there") == published(tmp_path / "here")


def test_an_engine_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"engine: spark is none of here, processes, ray"):
        make_engine("spark", 1)
