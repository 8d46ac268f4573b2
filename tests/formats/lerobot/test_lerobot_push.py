"""A LeRobot dataset on the Hub: the root of a repo of its own, under the tag that readers look for."""

from __future__ import annotations

from pathlib import Path

import pytest
from conversions import NAME, fork_convert
from drawn_egodex import tiny_egodex
from hub_client import REPO, Client
from hub_server import HubServer

LEROBOT = "--output.format=lerobot"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    tiny_egodex(tmp_path / "test", episodes=4)
    return tmp_path / "test"


def convert(source: Path, output_dir: Path, *options: str, name: str = NAME) -> Path:
    ended = fork_convert(source, output_dir, *options, name=name)
    assert ended.exit_code == 0, ended.stderr
    return output_dir


def test_the_tag_follows_each_push(hub: HubServer, client: Client, source: Path, tmp_path: Path) -> None:
    output_dir = convert(source, tmp_path / "out", LEROBOT, "--output.max_trajectories=2")
    assert client.push(output_dir).exit_code == 0
    repo = hub.repos[REPO]
    first = repo.head
    assert repo.private and repo.tags == {"v3.0": first}
    assert {"README.md", "meta/info.json", "meta/provenance.json"} <= repo.files.keys()
    assert not [path for path in repo.files if "ledger" in path or ".work" in path]
    assert "CC-BY-NC-ND" in repo.files["README.md"].content.decode()
    convert(source, output_dir, LEROBOT)
    assert client.push(output_dir).exit_code == 0
    assert repo.tags == {"v3.0": repo.head} and repo.head != first
    assert client.verify(output_dir).exit_code == 0


def test_v21_has_its_own_tag(hub: HubServer, client: Client, source: Path, tmp_path: Path) -> None:
    output_dir = convert(source, tmp_path / "out", LEROBOT, "--lerobot.version=v2.1")
    assert client.push(output_dir).exit_code == 0
    assert hub.repos[REPO].tags == {"v2.1": hub.repos[REPO].head}


@pytest.mark.parametrize("there", ["lerobot", "rfm", "another lerobot"])
def test_beside_others_is_refused(hub: HubServer, client: Client, source: Path, tmp_path: Path, there: str) -> None:
    names = ("other", NAME) if there == "another lerobot" else (NAME, NAME)
    formats = {"lerobot": ("lerobot", "rfm"), "rfm": ("rfm", "lerobot")}.get(there, ("lerobot", "lerobot"))
    folders = [
        convert(source, tmp_path / f"out{number}", f"--output.format={name}", name=dataset_name)
        for number, (name, dataset_name) in enumerate(zip(formats, names, strict=True))
    ]
    assert client.push(folders[0]).exit_code == 0
    before = hub.repos[REPO].head
    ended = client.push(folders[1])
    assert ended.exit_code == 2 and hub.repos[REPO].head == before
    assert f"Error: --hub.hub_repo_id: {NAME} cannot go to {REPO}: it holds " in ended.last_line
    assert ended.last_line.endswith("takes a repo of its own; give another")


def test_two_of_a_folder_are_refused_with_the_cure(
    hub: HubServer, client: Client, source: Path, tmp_path: Path
) -> None:
    output_dir = convert(source, tmp_path / "out", LEROBOT)
    convert(source, output_dir, LEROBOT, name="second")
    ended = client.push(output_dir)
    assert ended.exit_code == 2 and REPO not in hub.repos
    assert "push them one by one" in ended.last_line
    assert client.push(output_dir / "second").exit_code == 0
