"""Nodes, worker processes, the run itself and the head lost under Ray, and what that costs."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import commands
import pytest
from conversions import MODULE, NAME, arguments, fork_convert, small
from drawn_egodex import tiny_egodex
from engine_runs import all_done_but, jobs, make_engine, run
from misbehaving import Complain, Do, Doing, Misplaced
from output_folder import ledger_lines, published
from processes import wait_until
from ray_cluster import add_node, ray_cluster

from dataset_upload.errors import EpisodeError, Reason, StoppedError

pytest.importorskip("ray")

NUM_EPISODES = 100
TOKEN = "hf_" + "s3cret" * 5

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without CPUs, and a node of two."""
    with ray_cluster() as cluster:
        add_node(cluster, num_cpus=2)
        yield cluster


@pytest.fixture
def do(tmp_path: Path) -> Do:
    return Do(tmp_path / "attempts")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ray") / "test"
    tiny_egodex(path, episodes=NUM_EPISODES)
    return path


@pytest.fixture
def start(source: Path, sentence_model: None, tmp_path: Path, cluster: Any) -> Start:
    """Starts a conversion on the cluster, and returns once the ledger has some lines."""

    def begin() -> subprocess.Popen[str]:
        options = small("--output.engine=ray", f"--output.ray_address={cluster.address}", f"--hub.hub_token={TOKEN}")
        given = arguments(source, tmp_path / "out", *options, workers=-1)
        started = commands.start("-m", MODULE, *given)
        assert wait_until(lambda: num_lines(tmp_path) >= 20 or started.poll() is not None)
        return started

    return begin


def num_lines(tmp_path: Path) -> int:
    """Lines about episodes in the ledger."""
    ledger = tmp_path / "out" / NAME / "ledger.jsonl"
    return ledger.read_bytes().count(b'"status"') if ledger.exists() else 0


def gcs_client(cluster: Any) -> Any:
    """Asks the head what it stores."""
    from ray import _raylet

    return vars(_raylet)["GcsClient"](cluster.address)


# No cluster -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "Connection refused"),
        ("ray://127.0.0.1:10001", "an address is HOST:PORT"),
        ("127.0.0.1", "an address is HOST:PORT"),
        ("127.0.0.1:99999999", ""),
    ],
)
def test_without_a_cluster_nothing_begins(tmp_path: Path, address: str, reason: str) -> None:
    tiny_egodex(tmp_path / "test", episodes=1)
    options = ("--output.engine=ray", "--output.num_workers=-1", f"--output.ray_address={address}")
    ended = fork_convert(tmp_path / "test", tmp_path / "out", *options)
    assert ended.exit_code == 2
    assert ended.last_line.startswith(f"Error: --output.ray_address: {address}: no Ray cluster")
    assert reason in ended.last_line
    assert not (tmp_path / "out").exists()


def test_without_ray_one_line_says_how_to_install_it(tmp_path: Path) -> None:
    tiny_egodex(tmp_path / "test", episodes=1)

    def uninstall() -> None:
        sys.modules.pop("dataset_upload.engines.ray_tasks", None)
        sys.modules["ray"] = None  # type: ignore[assignment]

    options = ("--output.engine=ray", "--output.num_workers=-1")
    ended = fork_convert(tmp_path / "test", tmp_path / "out", *options, first=uninstall)
    assert ended.exit_code == 2
    assert ended.last_line.startswith("Error: ray is not installed; start with uv run --extra ray")


# Worker processes -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_jobs_that_kill_their_process_or_hang_cost_only_themselves(cluster: Any, do: Do) -> None:
    greedy = Doing("greedy", "be killed", later="work", seconds=0.3)
    bad = Doing("dies", "be killed", seconds=0.3), Doing("hangs", "hang"), greedy, Doing("exits", "exit", seconds=0.3)
    listed = jobs(12, *bad)
    outcomes = run(make_engine("ray", -1, ray_address=cluster.address, timeout_s=2), do, listed)
    for name, reason, message in [
        ("dies", Reason.WORKER_DIED, "its process died on the node 127.0.0.1"),
        ("exits", Reason.WORKER_DIED, "its process died on the node 127.0.0.1"),
        ("hangs", Reason.TIMED_OUT, "no result after 2 s"),
    ]:
        error = outcomes.pop(name)
        assert isinstance(error, EpisodeError)
        assert error.reason is reason
        assert message in str(error)
        assert len(do.attempts(name)) == 2
    assert outcomes == all_done_but(listed, "dies", "exits", "hangs")


@pytest.mark.slow
def test_a_node_that_has_not_what_jobs_need_ends_the_run(cluster: Any) -> None:
    with pytest.raises(StoppedError, match=r"^The node 127\.0\.0\.1 cannot convert: /data/egodex is not there$"):
        run(make_engine("ray", -1, ray_address=cluster.address), Misplaced(), jobs(20))  # type: ignore[arg-type]


@pytest.mark.slow
def test_no_secret_reaches_the_logs_of_a_node(cluster: Any) -> None:
    lines = [f"https://ann:s3cret@example.org/{number}?signature=s3cret {TOKEN}" for number in range(4)]
    list(make_engine("ray", -1, ray_address=cluster.address).run(Complain(), lines))
    logs = Path(cluster.head_node.get_session_dir_path()) / "logs"
    assert wait_until(lambda: any("example.org/3" in log.read_text() for log in logs.glob("worker-*.err")))
    assert not [log for log in logs.rglob("*") if log.is_file() and b"s3cret" in log.read_bytes()]


# Nodes, and the run -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_lost_node_is_the_fault_of_no_job(cluster: Any, do: Do) -> None:
    node = add_node(cluster, num_cpus=2)

    def lose() -> None:
        assert wait_until(lambda: len({attempt.pid for attempt in do.attempts()}) == 4)
        cluster.remove_node(node, allow_graceful=False)

    listed = jobs(8, seconds=4.0)  # longer than all take to start, and workers to notice that their node is gone
    loser = threading.Thread(target=lose)
    loser.start()
    assert run(make_engine("ray", -1, ray_address=cluster.address), do, listed) == all_done_but(listed)
    loser.join()
    assert len(do.attempts()) == len(listed) + 2  # those that were in work there


@pytest.mark.slow
def test_a_run_that_loses_a_node_and_is_killed_goes_on_without_ray_to_the_same_bytes(
    cluster: Any, start: Start, source: Path, tmp_path: Path
) -> None:
    node = add_node(cluster, num_cpus=1)
    started = start()
    entrypoints = [job.entrypoint for job in gcs_client(cluster).get_all_job_info().values()]
    assert any(MODULE in each for each in entrypoints)
    assert not [each for each in entrypoints if TOKEN in each]
    cluster.remove_node(node, allow_graceful=False)
    assert wait_until(lambda: num_lines(tmp_path) >= 40)
    started.kill()
    assert started.wait() == -signal.SIGKILL, "it had ended before it was killed: more episodes are needed"
    assert 40 <= num_lines(tmp_path) < NUM_EPISODES

    ended = fork_convert(source, tmp_path / "out")
    assert ended.exit_code == 0, ended.stderr
    assert Counter(line["key"] for line in ledger_lines(tmp_path / "out") if "key" in line).most_common(1)[0][1] == 1
    assert fork_convert(source, tmp_path / "here").exit_code == 0
    assert published(tmp_path / "out") == published(tmp_path / "here")


@pytest.mark.slow
def test_sigterm_ends_it_as_it_ends_all_commands(cluster: Any, start: Start) -> None:
    started = start()
    started.terminate()
    ended = commands.end(started)
    assert ended.exit_code == 130
    assert ended.last_line == "Interrupted: what is finished is kept, the same command goes on"
    assert re.search(r"^Ray cluster at 127\.0\.0\.1:\d+: 2 CPUs on \d nodes$", ended.stdout, re.MULTILINE)


@pytest.mark.slow  # the last test: what it takes away, others need
def test_a_lost_head_ends_the_run_in_one_line(cluster: Any, sentence_model: None, tmp_path: Path) -> None:
    tiny_egodex(tmp_path / "test", episodes=30)
    (tmp_path / "test" / "hang").mkdir()  # where an episode does, so that the run does not end before
    for file in next((tmp_path / "test").glob("*/0.mp4")).parent.glob("0.*"):
        shutil.copy(file, tmp_path / "test" / "hang")
    options = small("--output.engine=ray", f"--output.ray_address={cluster.address}")
    script = (
        "from dataset_upload.console.command import exit_with; from dataset_upload.engines import ray_tasks\n"
        "from misbehaving import convert_misbehaving\n"
        "ray_tasks._MAX_SILENCE_S = 6.0\n"
        "exit_with(convert_misbehaving())"
    )
    environment = commands.environment(PYTHONPATH=commands.WITH_HARNESS)
    given = arguments(tmp_path / "test", tmp_path / "out", *options, workers=-1)
    started = commands.start("-c", script, *given, env=environment)
    assert wait_until(lambda: num_lines(tmp_path) >= 15 or started.poll() is not None)
    cluster.head_node.kill_gcs_server()
    ended = commands.end(started, timeout=60)
    assert ended.exit_code == 3, ended.stderr
    said = "Stopped: The head of the Ray cluster does not answer any more"
    assert ended.last_line == f"{said}; what is finished is kept, the same command goes on"
