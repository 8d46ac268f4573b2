"""Killed, interrupted or robbed of its workers, a run loses nothing, repeats nothing, and ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import commands
import pytest
from conversions import MODULE, NAME, arguments, convert
from drawn_egodex import tiny_egodex
from output_folder import ledger_lines, outcomes, published
from processes import children, is_alive, wait_until, workers

pytestmark = pytest.mark.slow

NUM_EPISODES = 320
OPTIONS = ("--output.max_trajectories=-1", "--output.max_frames=8")

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("killed") / "test"
    tiny_egodex(path, episodes=NUM_EPISODES)
    return path


@pytest.fixture(scope="module")
def uninterrupted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one worker makes when nobody disturbs it."""
    output_dir = tmp_path_factory.mktemp("once")
    convert(source, output_dir, *OPTIONS, workers=1)
    return published(output_dir)


@pytest.fixture
def start(source: Path, sentence_model: None, tmp_path: Path) -> Start:
    """Starts the command as a shell does, in a process group of its own, and returns at once."""

    def run(*, workers: int = 2) -> subprocess.Popen[str]:
        given = arguments(source, tmp_path, *OPTIONS, workers=workers)
        return commands.start("-m", MODULE, *given, process_group=0)

    return run


def num_lines(output_dir: Path) -> int:
    """Lines about episodes in the ledger: what an earlier run left and what the running one has added."""
    ledger = output_dir / NAME / "ledger.jsonl"
    return ledger.read_bytes().count(b'"key":') if ledger.exists() else 0


def family(run: subprocess.Popen[str]) -> list[int]:
    """The process and all that it has started."""
    helpers = children(run.pid)
    return [run.pid, *helpers, *(worker for helper in helpers for worker in children(helper))]


def assert_all_gone(processes: list[int]) -> None:
    assert wait_until(lambda: not any(map(is_alive, processes)), seconds=10)


# SIGKILL ---------------------------------------------------------------------------------------------------


def test_the_converter_killed_at_25_random_moments(
    source: Path, tmp_path: Path, start: Start, uninterrupted: dict[str, bytes]
) -> None:
    rng = random.Random(3)
    kills_in_between = kills = 0
    while kills < 26 or kills_in_between < 20:
        run = start(workers=rng.choice([1, 2]))
        before = num_lines(tmp_path)
        if kills < 4:  # while it starts
            time.sleep(rng.uniform(0.0, 2.0))
        else:  # while it converts
            target = before + rng.randint(0, 3)
            assert wait_until(lambda run=run, target=target: num_lines(tmp_path) > target or run.poll() is not None)  # type: ignore[misc]
            time.sleep(rng.uniform(0.0, 0.05))
        processes = family(run)
        run.kill()
        assert run.wait() == -signal.SIGKILL, "it had ended before it was killed: more episodes are needed"
        run.communicate()
        assert_all_gone(processes)
        kills += 1
        kills_in_between += 0 < num_lines(tmp_path) < NUM_EPISODES
    assert kills >= 25
    assert kills_in_between >= 20

    convert(source, tmp_path, *OPTIONS, workers=2)
    assert published(tmp_path) == uninterrupted
    lines_per_episode = Counter(line["key"] for line in ledger_lines(tmp_path))
    assert len(lines_per_episode) == NUM_EPISODES
    assert set(lines_per_episode.values()) == {1}, "an episode that was done has been done again"


def kill_one(processes: list[int], rng: random.Random) -> bool:
    """Kill one of these processes; False where there is none, or it is gone meanwhile, as the last victim may be."""
    try:
        os.kill(rng.choice(processes), signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def test_workers_killed_at_25_random_moments(
    tmp_path: Path, start: Start, source: Path, uninterrupted: dict[str, bytes]
) -> None:
    rng = random.Random(4)
    run = start(workers=2)
    kills_in_between = 0
    for number in range(26):
        target = 17 * number // 10  # leaves the last, which are tried for the second time, alone
        assert wait_until(lambda target=target: num_lines(tmp_path) >= target)  # type: ignore[misc]
        if num_lines(tmp_path) == target:
            time.sleep(rng.uniform(0.0, 0.03))
        while not kill_one(workers(run.pid), rng):
            assert run.poll() is None, "it has ended: more episodes are needed"
        kills_in_between += 0 < num_lines(tmp_path) < NUM_EPISODES
    assert kills_in_between >= 20
    stdout, stderr = run.communicate()
    assert run.returncode == 0, stderr
    assert f"Done:    {NUM_EPISODES}\n" in stdout
    assert published(tmp_path) == uninterrupted


# Ctrl-C and SIGTERM -----------------------------------------------------------------------------------------


def assert_ends_well(run: subprocess.Popen[str], interrupt: Callable[[], None]) -> None:
    processes = family(run)
    interrupt()
    start = time.monotonic()
    _, stderr = run.communicate(timeout=60)
    assert time.monotonic() - start < 5
    assert run.returncode == 130
    *_, last = stderr.splitlines()
    assert last == "Interrupted: what is finished is kept, the same command goes on"
    assert "Traceback" not in stderr and "Exception" not in stderr
    assert_all_gone(processes)


@pytest.mark.parametrize(
    ("how", "workers"), [("Ctrl-C", 0), ("Ctrl-C", 2), ("SIGTERM to all", 2), ("SIGTERM to the parent", 2)]
)
def test_an_interrupt_ends_the_run_within_seconds_and_the_next_goes_on(
    how: str,
    workers: int,
    tmp_path: Path,
    start: Start,
    source: Path,
    uninterrupted: dict[str, bytes],
) -> None:
    run = start(workers=workers)
    assert wait_until(lambda: num_lines(tmp_path) >= 5)
    number = signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM
    send = os.kill if how == "SIGTERM to the parent" else os.killpg
    assert_ends_well(run, lambda: send(run.pid, number))
    done = outcomes(tmp_path)
    assert 5 <= len(done) < NUM_EPISODES
    assert set(done.values()) == {("done", None)}

    convert(source, tmp_path, *OPTIONS, workers=2)
    assert published(tmp_path) == uninterrupted
    assert [line["key"] for line in ledger_lines(tmp_path)[: len(done)]] == list(done)
    assert len(ledger_lines(tmp_path)) == NUM_EPISODES


def test_ctrl_c_at_any_other_moment(tmp_path: Path, start: Start) -> None:
    """While it starts: the sentence model, the fork server, the first workers. Nothing unseemly is printed."""
    rng = random.Random(5)
    for _ in range(6):
        run = start(workers=2)
        assert run.stdout is not None
        run.stdout.readline()  # "Will process up to …"
        time.sleep(rng.uniform(0.0, 1.5))
        assert_ends_well(run, lambda run=run: os.killpg(run.pid, signal.SIGINT))  # type: ignore[misc]


def test_ctrl_c_ends_also_a_run_whose_worker_hangs(tmp_path: Path, start: Start) -> None:
    run = start(workers=2)
    assert wait_until(lambda: num_lines(tmp_path) >= 1)
    for worker in workers(run.pid):
        os.kill(worker, signal.SIGSTOP)
    assert_ends_well(run, lambda: os.killpg(run.pid, signal.SIGINT))


def test_a_second_run_is_refused_while_the_first_one_works(
    tmp_path: Path, start: Start, source: Path, uninterrupted: dict[str, bytes]
) -> None:
    first = start()
    assert wait_until(lambda: num_lines(tmp_path) >= 1)
    second = convert(source, tmp_path, *OPTIONS, exit_code=2)
    assert second.stderr.count("\n") == 1
    assert "another run is writing" in second.stderr
    first.communicate()
    assert first.returncode == 0
    assert published(tmp_path) == uninterrupted
