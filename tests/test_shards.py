"""Shards make what one run makes: in one folder or in many, in any order, killed, or with another number half-way."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import commands
import pytest
from commands import Run
from conversions import MODULE, NAME, arguments, fork_convert, small
from drawn_egodex import replace_episode, tiny_egodex
from output_folder import identities, ledger_lines, outcomes, published, with_checksum
from processes import wait_until

from dataset_upload.formats.rfm import encoder
from dataset_upload.shard import Shard, as_ranges

NUM_EPISODES = 8


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shards") / "test"
    tiny_egodex(path, episodes=NUM_EPISODES)
    return path


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one run makes."""
    output_dir = tmp_path_factory.mktemp("whole")
    assert fork_convert(source, output_dir).exit_code == 0
    return published(output_dir)


def run_shard(source: Path, output_dir: Path, shard: str, *more: str, exit_code: int = 0, **arguments: object) -> Run:
    run = fork_convert(source, output_dir, f"--output.shard={shard}", *more, **arguments)  # type: ignore[arg-type]
    assert run.exit_code == exit_code, run.stderr
    assert "Traceback" not in run.stderr
    return run


def finish(source: Path, output_dir: Path, *more: str, exit_code: int = 0) -> Run:
    run = fork_convert(source, output_dir, *more)
    assert run.exit_code == exit_code, run.stderr
    assert "Traceback" not in run.stderr
    return run


def num_converted(run: Run) -> int:
    """How many trajectories a run says that it made."""
    done = int(re.search(r"^Done: +(\d+)", run.stdout, re.M)[1])  # type: ignore[index]
    earlier = re.search(r"(\d+) done in an earlier run", run.stdout)
    return done - (int(earlier[1]) if earlier else 0)


def copy_over(folder: Path, target: Path) -> None:
    shutil.copytree(folder, target, dirs_exist_ok=True)


# Equal bytes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_in_one_folder(count: int, source: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    order = random.Random(count).sample(range(count), count)
    made = sum(num_converted(run_shard(source, tmp_path, f"{index}/{count}")) for index in order)
    assert made == NUM_EPISODES
    assert not list(tmp_path.rglob("*.parquet")), "a shard has built tables"
    finished = finish(source, tmp_path)
    assert num_converted(finished) == 0
    assert published(tmp_path) == whole
    assert not (tmp_path / NAME / ".work" / "ledgers").exists()


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shards_in_folders_of_their_own_copied_together_twice(
    count: int, source: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    folders = [tmp_path / f"node {index}" for index in range(count)]
    for index, folder in enumerate(folders):
        run_shard(source, folder, f"{index}/{count}")
    random.Random(count).shuffle(folders)
    for folder in folders:
        copy_over(folder, tmp_path / "out")
    assert num_converted(finish(source, tmp_path / "out")) == 0
    assert published(tmp_path / "out") == whole
    before = ledger_lines(tmp_path / "out")
    for folder in folders:
        copy_over(folder, tmp_path / "out")
    assert num_converted(finish(source, tmp_path / "out")) == 0
    assert published(tmp_path / "out") == whole
    assert ledger_lines(tmp_path / "out") == before


def test_another_number_of_shards_half_way(source: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    made = [num_converted(run_shard(source, tmp_path, shard)) for shard in ("1/2", "0/3", "1/3", "2/3")]
    assert made == [4, 2, 1, 1]
    assert num_converted(finish(source, tmp_path)) == 0
    assert published(tmp_path) == whole


def test_the_run_without_shard_converts_what_is_missing(source: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    run_shard(source, tmp_path, "1/3")
    assert num_converted(finish(source, tmp_path)) == NUM_EPISODES - 3
    assert published(tmp_path) == whole


def test_shards_add_to_a_dataset_that_is_there(source: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    finish(source, tmp_path, "--output.max_trajectories=3")
    before = identities(tmp_path)
    made = [num_converted(run_shard(source, tmp_path, shard)) for shard in ("0/2", "1/2")]
    assert sum(made) == NUM_EPISODES - 3
    tables = {name: identity for name, identity in identities(tmp_path).items() if name in before}
    assert tables == before, "a shard has touched what was finished"
    finish(source, tmp_path)
    assert published(tmp_path) == whole


def test_what_a_copy_has_lost_is_converted_again(source: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    run_shard(source, tmp_path, "0/2")
    run_shard(source, tmp_path, "1/2")
    (tmp_path / NAME / "batch_0000" / "trajectory_0000.mp4").unlink()
    next((tmp_path / NAME / ".work" / "records" / "main").rglob("0003.arrow")).unlink()
    assert num_converted(finish(source, tmp_path)) == 2
    assert published(tmp_path) == whole


def test_a_record_of_another_episode_is_never_taken_for_this_one_s(
    source: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    run_shard(source, tmp_path, "0/1")
    records = tmp_path / NAME / ".work" / "records" / "main" / "0000"
    shutil.copy(records / "0001.arrow", records / "0000.arrow")
    stopped = finish(source, tmp_path, exit_code=3)
    assert re.search(r"Stopped: \S+/0000\.arrow is of \S+, not of \S+: delete it, then run again", stopped.stderr)
    (records / "0000.arrow").unlink()
    assert num_converted(finish(source, tmp_path)) == 1
    assert published(tmp_path) == whole


# What shards know of each other ----------------------------------------------------------------------------


def test_a_shard_says_which_are_missing(source: Path, tmp_path: Path) -> None:
    def following(shard: str) -> str:
        return run_shard(source, tmp_path, shard).stdout.splitlines()[-1].removeprefix("Next:    ")

    finishing = "the same command without --output.shard={}/4 finishes the dataset"
    assert following("2/4") == f"--array=0-1,3 of 4 shards have not ended here; after them {finishing.format(2)}"
    assert following("0/4") == f"--array=1,3 of 4 shards have not ended here; after them {finishing.format(0)}"
    assert following("3/4") == f"--array=1 of 4 shards have not ended here; after them {finishing.format(3)}"
    assert following("1/4") == f"all 4 shards have ended here; {finishing.format(1)}"


def test_what_one_shard_has_failed_another_may_do(source: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    """In the finish, done beats failed, whichever ledger is read first."""
    broken = tmp_path / "broken" / "test"
    shutil.copytree(source, broken)
    video = sorted(broken.rglob("*.mp4"))[0]
    video.write_bytes(b"no video")
    run_shard(broken, tmp_path / "one", "0/1", exit_code=1)
    run_shard(source, tmp_path / "two", "0/2")
    run_shard(source, tmp_path / "two", "1/2")
    for folders in (("one", "two"), ("two", "one")):
        out = tmp_path / "-".join(folders)
        for folder in folders:
            copy_over(tmp_path / folder, out)
        finish(source, out)
        assert published(out) == whole
        assert set(outcomes(out).values()) == {("done", None)}


def test_a_failure_is_counted_and_tried_again_by_the_finish(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(source, broken)
    sorted(broken.rglob("*.mp4"))[0].write_bytes(b"no video")
    codes = [fork_convert(broken, tmp_path / "out", f"--output.shard={index}/2").exit_code for index in range(2)]
    assert sorted(codes) == [0, 1]
    finish(broken, tmp_path / "out", exit_code=1)
    assert sorted(status for status, _ in outcomes(tmp_path / "out").values()) == ["done"] * 7 + ["failed"]


def test_a_shard_pushes_nothing_and_says_so(source: Path, tmp_path: Path) -> None:
    run = run_shard(source, tmp_path, "0/2", "--hub.push_to_hub=true", "--hub.hub_token=hf_wrong")
    assert "A shard pushes nothing" in run.stdout + run.stderr


def test_an_episode_that_changes_between_shards_and_finish(source: Path, tmp_path: Path) -> None:
    changing = tmp_path / "changing"
    shutil.copytree(source, changing)
    finish(changing, tmp_path / "out")
    key = ledger_lines(tmp_path / "out")[0]["key"]
    replace_episode(changing, key)
    made = [num_converted(run_shard(changing, tmp_path / "out", f"{index}/2")) for index in range(2)]
    assert sorted(made) == [0, 1]
    finish(changing, tmp_path / "out")
    finish(changing, tmp_path / "fresh")
    assert published(tmp_path / "out") == published(tmp_path / "fresh")


# Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("8/8", "must be from 0/8 to 7/8"),
        ("-1/8", "must be like 0/8, the first of eight"),
        ("1/0", "must be like 0/8"),
        ("1", "must be like 0/8"),
        ("/", "must be like 0/8"),
        ("0/99999999", "must be like 0/8"),
        ("1/2/3", "must be like 0/8"),
    ],
)
def test_what_is_no_shard(shard: str, message: str, tmp_path: Path) -> None:
    run = run_shard(tmp_path, tmp_path / "out", shard, exit_code=2)
    assert run.stderr.startswith(f"Error: --output.shard: {shard} {message}")
    assert run.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_shard_never_overwrites(source: Path, tmp_path: Path) -> None:
    run = run_shard(source, tmp_path, "0/2", "--output.overwrite=true", exit_code=2)
    assert "--output.overwrite: a shard would delete what others make" in run.stderr


@pytest.mark.parametrize("shard", [["--output.shard=1/2"], []])
def test_other_settings_are_refused_until_overwritten(
    shard: list[str], source: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    run_shard(source, tmp_path, "0/2", "--output.crf=30")
    refused = finish(source, tmp_path, *shard, exit_code=2)
    assert refused.stderr.count("\n") == 1
    assert "0-of-2.jsonl was made with other settings (--output.crf=30 there, 18 now)" in refused.stderr
    finish(source, tmp_path, "--output.overwrite=true")
    assert published(tmp_path) == whole


def test_shards_of_a_source_that_has_grown(source: Path, tmp_path: Path) -> None:
    growing = tmp_path / "growing"
    shutil.copytree(source, growing)
    run_shard(growing, tmp_path / "out", "0/2")
    shutil.copytree(growing / "add_remove_lid", growing / "add_a_lid")  # comes first
    refused = run_shard(growing, tmp_path / "out", "1/2", exit_code=2)
    assert "give the command without --output.shard first, which takes up what they have done" in refused.stderr
    finish(growing, tmp_path / "out")
    assert [num_converted(run_shard(growing, tmp_path / "out", f"{index}/2")) for index in range(2)] == [0, 0]


def test_two_episodes_of_one_number_are_refused(source: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    run_shard(source, tmp_path, "0/1")
    ledgers = tmp_path / NAME / ".work" / "ledgers"
    lines = (ledgers / "0-of-1.jsonl").read_bytes().splitlines(keepends=True)
    entry = json.loads(lines[2])
    del entry["crc32"]
    forged = with_checksum(json.dumps({**entry, "key": "another/7"}, separators=(",", ":")))
    (ledgers / "1-of-2.jsonl").write_bytes(lines[0] + forged)
    refused = finish(source, tmp_path, exit_code=2)
    assert refused.stderr.count("\n") == 1
    assert f"{entry['key']} and another/7 have the same number" in refused.stderr
    (ledgers / "1-of-2.jsonl").unlink()
    finish(source, tmp_path)
    assert published(tmp_path) == whole


def test_ledgers_that_are_none(source: Path, tmp_path: Path) -> None:
    run_shard(source, tmp_path, "0/2")
    ledgers = tmp_path / NAME / ".work" / "ledgers"
    (ledgers / "1-of-2.jsonl").write_bytes(b"[]\n")
    assert "does not begin with the dataset's settings" in finish(source, tmp_path, exit_code=2).stderr
    (ledgers / "1-of-2.jsonl").write_bytes(b"")
    assert num_converted(finish(source, tmp_path)) == NUM_EPISODES - 4


# Processors ------------------------------------------------------------------------------------------------


def on_another_processor() -> None:
    vars(encoder)["encoder_cpu"] = lambda: "another"


def test_a_shard_on_another_processor_is_refused(source: Path, tmp_path: Path) -> None:
    run_shard(source, tmp_path, "0/2")
    refused = run_shard(source, tmp_path, "1/2", exit_code=2, first=on_another_processor)
    assert "clips are made on another kind of processor here, another, than those so far" in refused.stderr
    assert refused.stderr.count("Error") == 1
    run_shard(source, tmp_path, "1/2", "--output.any_cpu=true", first=on_another_processor)
    assert "--output.any_cpu=true" in finish(source, tmp_path, exit_code=2).stderr
    finish(source, tmp_path, "--output.any_cpu=true")
    assert "another" in json.loads((tmp_path / NAME / "conversion.json").read_text())["clip_cpus"]
    finish(source, tmp_path)


def test_of_shards_that_begin_together_the_first_decides(source: Path, tmp_path: Path) -> None:
    """No ledger tells of the first one's processor yet."""
    run_shard(source, tmp_path, "0/2")
    (tmp_path / NAME / ".work" / "ledgers" / "0-of-2.jsonl").unlink()
    run_shard(source, tmp_path, "1/2", exit_code=2, first=on_another_processor)


# Locks -----------------------------------------------------------------------------------------------------


def start(source: Path, output_dir: Path, shard: str, *, workers: int) -> subprocess.Popen[str]:
    given = arguments(source, output_dir, *small(), f"--output.shard={shard}", workers=workers)
    return commands.start("-m", MODULE, *given, process_group=0)


@pytest.mark.slow
def test_two_shards_at_once_and_what_is_kept_away(
    source: Path, tmp_path: Path, whole: dict[str, bytes], sentence_model: None
) -> None:
    first = start(source, tmp_path, "0/2", workers=1)
    assert wait_until(lambda: any(tmp_path.rglob("0-of-2.jsonl")))
    os.kill(first.pid, signal.SIGSTOP)
    try:
        run_shard(source, tmp_path, "1/2")
        for again in (["--output.shard=0/2"], []):
            refused = fork_convert(source, tmp_path, *again)
            assert refused.exit_code == 2
            assert "another run is writing" in refused.stderr
    finally:
        os.kill(first.pid, signal.SIGCONT)
    first.communicate()
    assert first.returncode == 0
    finish(source, tmp_path)
    assert published(tmp_path) == whole


@pytest.mark.slow
def test_shards_killed_at_random(tmp_path: Path, sentence_model: None) -> None:
    """Two at a time, one of them twice, before they may end."""
    source, output_dir, count = tmp_path / "test", tmp_path / "out", 3
    tiny_egodex(source, episodes=16 * count)
    rng = random.Random(3)

    def num_lines(shard: str) -> int:
        ledger = output_dir / NAME / ".work" / "ledgers" / f"{shard.replace('/', '-of-')}.jsonl"
        return ledger.read_bytes().count(b'"key":') if ledger.exists() else 0

    def run_killed(shard: str) -> None:
        run = start(source, output_dir, shard, workers=1)
        goal = num_lines(shard) + rng.randint(1, 4)
        assert wait_until(lambda: num_lines(shard) >= goal or run.poll() is not None)
        run.kill()
        run.communicate()

    shards = [f"{index}/{count}" for index in range(count)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run_killed, [*shards, shards[0]]))
    done_before = sum(map(num_lines, shards))
    assert 0 < done_before < 16 * count
    made = [num_converted(run_shard(source, output_dir, shard)) for shard in rng.sample(shards, count)]
    assert sum(made) <= 16 * count - done_before + count, "what was done has been done again"
    finish(source, output_dir)
    finish(source, tmp_path / "whole")
    assert published(output_dir) == published(tmp_path / "whole")
    assert len(ledger_lines(output_dir)) == 16 * count


# Ranges ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([5, 4], "4-5"), ([0, 2, 3, 4, 9, 8], "0,2-4,8-9"), ([1, 1], "1")]
)
def test_array_expressions(numbers: list[int], text: str) -> None:
    assert as_ranges(numbers) == text


def test_every_number_is_of_one_shard() -> None:
    for count in (1, 2, 7):
        shards = [Shard.parse(f"{index}/{count}") for index in range(count)]
        assert all(sum(shard.has(number) for shard in shards) == 1 for number in range(30))
