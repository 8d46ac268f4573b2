"""Pushing: what goes up, what comes down again, and that nothing is lost or sent twice, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from commands import end
from hub_client import (
    REPO,
    SUBSETS,
    Client,
    conversion,
    copy_of_converted,
    local_files,
    mini_egodex,
    put_pushed_repo,
    remote_files,
)
from hub_server import File, HubServer

from dataset_upload.formats.rfm.card import listed
from dataset_upload.ledger import Ledger

pytestmark = pytest.mark.slow

UPLOADS = r"POST /v1/(xorbs|shards)|PUT /lfs|/commit/"
COMMIT = f"POST /api/datasets/{REPO}/commit/main"

LOAD = """
import json, sys
from datasets import load_dataset

def rows(source, name, streaming):
    dataset = load_dataset(source, name, split="train", streaming=streaming)
    return json.dumps(list(dataset), sort_keys=True)
"""


def test_three_subsets_from_separate_runs_come_down_as_they_are_here(
    hub: HubServer, client: Client, output: Path
) -> None:
    for name in SUBSETS:
        run = client.push(output / name)
        assert run.exit_code == 0, run.stderr
        assert "Verified: " in run.stdout

    assert hub.repos[REPO].private
    files = remote_files(hub)
    assert {path: content for path, content in files.items() if path != "README.md"} == {
        path: content for path, content in local_files(output).items() if path != "README.md"
    }
    same_rows = client.evaluate(
        LOAD
        + f"""
same = [
    rows({str(output)!r}, name + sidecar, False) == rows({REPO!r}, name + sidecar, streaming)
    for name in {SUBSETS!r} for sidecar in ("", "_hands") for streaming in (False, True)
]
print(json.dumps(same))
"""
    )
    assert same_rows == [True] * 12
    snapshot = client.evaluate(
        "import json; from huggingface_hub import snapshot_download\n"
        f"print(json.dumps(snapshot_download({REPO!r}, repo_type='dataset', max_workers=1)))"
    )
    assert {path: (Path(snapshot) / path).read_bytes() for path in files} == files


def test_ledger_locks_and_hidden_files_stay_here(hub: HubServer, client: Client, output: Path) -> None:
    (output / SUBSETS[0] / ".notes").write_text("mine")
    (output / SUBSETS[0] / ".work" / "unfinished").write_text("")
    assert client.push(output).exit_code == 0
    stray = [path for path in remote_files(hub) if path.endswith("ledger.jsonl") or "/." in f"/{path}"]
    assert stray == []
    assert (output / SUBSETS[0] / ".work" / "unfinished").exists()


@pytest.mark.parametrize("disable_xet", ["0", "1"], ids=["xet", "lfs"])
def test_a_repeated_push_uploads_nothing(hub: HubServer, client: Client, output: Path, disable_xet: str) -> None:
    first = client.push(output, HF_HUB_DISABLE_XET=disable_xet)
    assert first.exit_code == 0, first.stderr
    assert remote_files(hub).keys() == local_files(output).keys()
    assert hub.count("PUT /lfs" if disable_xet == "1" else "POST /v1/xorbs") > 0
    uploads, commit = hub.count(UPLOADS), hub.repos[REPO].head
    again = client.push(output, HF_HUB_DISABLE_XET=disable_xet)
    assert again.exit_code == 0
    assert "nothing new" in again.stdout and "Verified: " in again.stdout
    assert (hub.count(UPLOADS), hub.repos[REPO].head) == (uploads, commit)


def test_only_what_has_changed_is_sent(hub: HubServer, client: Client, output: Path) -> None:
    put_pushed_repo(hub)
    changed = output / SUBSETS[1] / "conversion.json"
    description = json.loads(changed.read_text())
    changed.write_text(json.dumps({**description, "counts": {**description["counts"], "done": 7}}))
    run = client.push(output)
    assert "1 new or changed files" in run.stdout
    assert hub.bytes_received == 0  # small files travel in the commit
    assert "| `egodex_part2` | 7 |" in remote_files(hub)["README.md"].decode()


def test_what_an_earlier_state_has_left_is_removed(hub: HubServer, client: Client, output: Path) -> None:
    repo = put_pushed_repo(hub)
    name = SUBSETS[0]
    old = {
        path: File(b"old", None)
        for path in (
            f"{name}/train-00000-of-00002.parquet",
            f"{name}/train-00001-of-00002.parquet",
            f"{name}/hands/train-00000-of-00002.parquet",
            f"{name}/batch_0000/trajectory_0009.mp4",
            f"{name}/batch_0001/trajectory_1000.mp4",
        )
    }
    foreign = {f"{name}/notes.txt": File(b"mine", None), f"{name}_other/train-00000-of-00002.parquet": File(b"", None)}
    repo.commit({**repo.files, **old, **foreign}, "an earlier state")
    assert client.push(output / name).exit_code == 0
    assert not old.keys() & repo.files.keys()
    assert foreign.keys() <= repo.files.keys()


def test_tables_arrive_after_their_clips_and_the_card_last(hub: HubServer, client: Client, output: Path) -> None:
    assert client.push(output / SUBSETS[0]).exit_code == 0
    states = [set(files) for files in hub.repos[REPO].commits.values()]
    table, clip = f"{SUBSETS[0]}/train-00000-of-00001.parquet", f"{SUBSETS[0]}/batch_0000/trajectory_0002.mp4"
    for path, arrived in ((clip, 1), (table, 2), ("README.md", 3)):
        assert [path in state for state in states] == [number >= arrived for number in range(4)]


# Interrupted pushes


@pytest.mark.parametrize(
    "step, before",
    [
        ("/preupload/", 0),
        ("POST /v1/shards", 0),
        ("/commit/", 0),
        ("/commit/", 1),
        ("/commit/", 2),
    ],
)
def test_a_push_killed_at_any_step_is_completed_by_the_next(
    hub: HubServer, client: Client, output: Path, step: str, before: int
) -> None:
    hub.fail(step, hold=True, after=before, times=1)
    process = client.start("-m", "dataset_upload.hub", "--push", output / SUBSETS[0], REPO)
    hub.wait_for(step, before + 1)
    process.kill()
    end(process)
    hub.release()
    assert "README.md" not in remote_files(hub)
    run = client.push(output / SUBSETS[0])
    assert run.exit_code == 0, run.stderr
    pushed = {path for path in local_files(output) if path.startswith(f"{SUBSETS[0]}/")}
    assert remote_files(hub).keys() == pushed | {"README.md"}
    assert not (output / SUBSETS[0] / ".work" / "hub").exists()


def test_while_clips_are_replaced_the_card_does_not_name_them(hub: HubServer, client: Client, output: Path) -> None:
    put_pushed_repo(hub)
    others = [config for name in SUBSETS[1:] for config in (name, f"{name}_hands")]
    again = conversion(mini_egodex() / "part1", output, SUBSETS[0])
    run = client.run(*again, "--output.max_frames=4", "--output.overwrite=true")
    assert run.exit_code == 0, run.stderr
    hub.fail(COMMIT, hold=True, after=2, times=1)  # the tables, after the card and the clips
    process = client.start("-m", "dataset_upload.hub", "--push", output / SUBSETS[0], REPO)
    hub.wait_for(COMMIT, 3)
    process.kill()
    end(process)
    hub.release()
    assert remote_configs(hub) == others
    run = client.push(output / SUBSETS[0])
    assert run.exit_code == 0, run.stderr
    assert remote_configs(hub) == [SUBSETS[0], f"{SUBSETS[0]}_hands", *others]


def remote_configs(hub: HubServer) -> list[str]:
    header = remote_files(hub)["README.md"].decode().split("---\n")[1]
    return [config["config_name"] for config in yaml.safe_load(header)["configs"]]


def test_clips_of_a_killed_push_are_not_sent_again(hub: HubServer, client: Client, tmp_path: Path) -> None:
    name = SUBSETS[0]
    dataset = copy_of_converted(tmp_path / "output") / name
    for number in range(300):  # more than huggingface_hub puts into one commit
        clip = dataset / "batch_0000" / f"trajectory_{number + 100:04d}.mp4"
        clip.write_bytes(os.urandom(2000))
    hub.fail(COMMIT, hold=True, after=1, times=1)
    process = client.start("-m", "dataset_upload.hub", "--push", dataset, REPO)
    hub.wait_for(COMMIT, 2)
    process.kill()
    end(process)
    hub.release()
    committed = len(remote_files(hub))
    assert 200 <= committed < 300
    run = client.push(dataset)
    assert run.exit_code == 0, run.stderr
    assert f"{303 - committed + 3} new or changed files" in run.stdout
    large = [content for path, content in remote_files(hub).items() if path.endswith((".mp4", ".parquet"))]
    assert hub.bytes_received < 1.02 * sum(map(len, large))  # nothing that had arrived was sent again


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_push_says_how_to_go_on(
    hub: HubServer, client: Client, output: Path, number: signal.Signals
) -> None:
    hub.fail(COMMIT, hold=True)
    process = client.start("-m", "dataset_upload.hub", "--push", output, REPO)
    hub.wait_for(COMMIT)
    process.send_signal(number)
    run = end(process)
    assert run.exit_code == 130
    assert run.last_line == "Interrupted: the same command goes on"


# Pushes side by side


def test_a_card_that_another_push_has_overtaken_is_merged_again(hub: HubServer, client: Client, output: Path) -> None:
    hub.fail(COMMIT, hold=True, after=2, times=1)  # the first push's card
    first = client.start("-m", "dataset_upload.hub", "--push", output / SUBSETS[0], REPO)
    hub.wait_for(COMMIT, 3)
    assert client.push(output / SUBSETS[1]).exit_code == 0
    hub.release()
    run = end(first)
    assert run.exit_code == 0, run.stderr
    card = remote_files(hub)["README.md"].decode()
    for name in SUBSETS[:2]:
        assert f"config_name: {name}\n" in card and f"config_name: {name}_hands\n" in card and f"| `{name}` |" in card
    assert {path.split("/")[0] for path in remote_files(hub)} == {"README.md", *SUBSETS[:2]}


def test_pushes_at_the_same_time_all_survive(hub: HubServer, client: Client, output: Path) -> None:
    hub.fail(COMMIT, delay_s=0.2)
    processes = [client.start("-m", "dataset_upload.hub", "--push", output / name, REPO) for name in SUBSETS]
    runs = [end(process) for process in processes]
    assert [run.exit_code for run in runs] == [0, 0, 0], runs
    assert remote_files(hub).keys() == local_files(output).keys()
    assert client.verify(output).exit_code == 0


def test_a_commit_refused_because_another_came_between_is_repeated(
    hub: HubServer, client: Client, output: Path
) -> None:
    hub.fail(COMMIT, status=412, times=2)
    assert client.push(output / SUBSETS[0]).exit_code == 0


def test_a_dataset_that_is_being_converted_is_left_alone(client: Client, output: Path) -> None:
    import fcntl

    with (output / SUBSETS[0] / ".work" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = client.push(output)
    assert run.exit_code == 2
    assert "another run is at work on" in run.last_line


# Verification


@pytest.mark.parametrize(
    "path, content, difference",
    [
        ("egodex_part1/batch_0000/trajectory_0001.mp4", None, "is missing"),
        ("egodex_part1/batch_0000/trajectory_0001.mp4", b"x", "has 1 bytes, "),
        ("egodex_part1/train-00000-of-00001.parquet", b"", "has another hash"),
        ("egodex_part1/conversion.json", b"", "has another hash"),
        ("egodex_part1/batch_0000/trajectory_0007.mp4", b"x", "is left over from an earlier push"),
        ("egodex_part1/train-00001-of-00002.parquet", b"x", "is left over from an earlier push"),
        ("README.md", b"---\nconfigs: []\n---\n", "describes these datasets differently"),
        ("README.md", None, "describes these datasets differently"),
    ],
)
def test_verify_names_what_differs(
    hub: HubServer, client: Client, output: Path, path: str, content: bytes | None, difference: str
) -> None:
    repo = put_pushed_repo(hub)
    files = dict(repo.files)
    if content is None:
        del files[path]
    elif content == b"":  # other bytes, of the same size
        old = files[path]
        files[path] = File(bytes(len(old.content)), old.sha256 and "0" * 64)
    else:
        files[path] = File(content, "0" * 64 if path.endswith(".mp4") else None)
    repo.commit(files, "by somebody else")
    run = client.verify(output / SUBSETS[0])
    assert run.exit_code == 1
    assert f"Different: {path} {difference}" in run.stderr
    assert "Verified: 1 of 7 files" in run.last_line


def test_a_push_that_does_not_arrive_as_meant_is_exit_code_1(hub: HubServer, client: Client, output: Path) -> None:
    hub.spoils = "egodex_part1/batch_0000/trajectory_0001.mp4"
    run = client.push(output / SUBSETS[0])
    assert run.exit_code == 1
    assert "Different: egodex_part1/batch_0000/trajectory_0001.mp4 has another hash" in run.stderr


def test_verify_changes_nothing(hub: HubServer, client: Client, output: Path) -> None:
    run = client.verify(output)
    assert run.exit_code == 2 and "there is no alice/egodex_rfm" in run.last_line
    assert hub.repos == {}


@pytest.mark.parametrize("command", ["--verify", "--push"])
def test_a_copy_stays_as_it_is(hub: HubServer, client: Client, output: Path, command: str) -> None:
    put_pushed_repo(hub)
    for name in SUBSETS:
        (output / name / "ledger.jsonl").unlink()
        shutil.rmtree(output / name / ".work")
    before = sorted(output.rglob("*"))
    assert client.hub(command, output, REPO).exit_code == 0
    assert sorted(output.rglob("*")) == before


# What cannot be pushed


def test_a_row_without_its_clip_is_named(hub: HubServer, client: Client, output: Path) -> None:
    clip = output / SUBSETS[0] / "batch_0000" / "trajectory_0001.mp4"
    clip.unlink()
    run = client.push(output)
    assert run.exit_code == 2
    assert run.last_line == f"Error: {clip} is not there, but a row names it; run the conversion again"
    assert hub.count(UPLOADS) == 0


def test_a_dataset_that_an_interrupted_run_has_changed_is_refused(hub: HubServer, client: Client, output: Path) -> None:
    path = output / SUBSETS[0] / "ledger.jsonl"
    settings = json.loads(path.read_text().splitlines()[0])["settings"]
    with Ledger(path, settings) as ledger:
        ledger.reopen(next(iter(ledger.entries)))
    run = client.push(output)
    assert run.exit_code == 2
    unfinished = output / SUBSETS[0]
    assert run.last_line == (
        f"Error: {unfinished} is not finished, its last run was interrupted; run the conversion again"
    )
    assert hub.count(UPLOADS) == 0


def test_a_dataset_with_a_damaged_description_is_refused(hub: HubServer, client: Client, output: Path) -> None:
    (output / SUBSETS[0] / "conversion.json").write_text("{")
    run = client.push(output)
    assert run.exit_code == 2
    assert f"{output / SUBSETS[0]} is not finished" in run.last_line
    assert hub.count(UPLOADS) == 0


def test_a_damaged_description_in_the_repo_harms_no_other_dataset(hub: HubServer, client: Client, output: Path) -> None:
    files = put_pushed_repo(hub).files
    files[f"{SUBSETS[1]}/conversion.json"] = File(b"\xff[[", None)
    run = client.push(output / SUBSETS[0])
    assert run.exit_code == 0, run.stderr
    assert listed(remote_files(hub)["README.md"].decode()) == [*SUBSETS]


def test_a_dataset_without_tables_yet_is_left_out_and_named(hub: HubServer, client: Client, output: Path) -> None:
    put_pushed_repo(hub)
    (output / SUBSETS[1] / "conversion.json").unlink()
    run = client.push(output)
    assert run.exit_code == 0, run.stderr
    assert f"Warning: {output / SUBSETS[1]} is left out: its conversion is not finished\n" in run.stderr


def test_a_folder_that_cannot_be_written_is_named(client: Client, output: Path) -> None:
    shutil.rmtree(output / SUBSETS[0] / ".work")
    (output / SUBSETS[0] / ".work").write_text("")
    run = client.push(output / SUBSETS[0])
    assert run.exit_code == 2
    assert run.stderr == f"Error: {output / SUBSETS[0]} cannot be written (File exists)\n"


def test_a_folder_without_datasets_is_refused(client: Client, tmp_path: Path) -> None:
    run = client.push(tmp_path)
    assert run.exit_code == 2
    assert f"{tmp_path} holds no finished dataset" in run.last_line


@pytest.mark.parametrize(
    "limit, says",
    [
        ("MAX_FILES_PER_REPO = 5", "alice/egodex_rfm would hold 8 files, and the Hub takes 5"),
        ("MAX_ENTRIES_PER_FOLDER = 3", "egodex_part1 would hold 4 entries, and the Hub takes 3"),
    ],
)
def test_too_many_files_are_noticed_before_the_push(
    hub: HubServer, client: Client, output: Path, limit: str, says: str
) -> None:
    lower_limit = f"from dataset_upload.hub import files; files.{limit}; "
    lower_limit += "import sys; from dataset_upload.hub.__main__ import main; sys.exit(main())"
    run = client.run("-c", lower_limit, "--push", output / SUBSETS[0], REPO)
    assert run.exit_code == 2
    assert says in run.last_line and "give --hub.packed=true" in run.last_line
    assert hub.count(UPLOADS) == 0
