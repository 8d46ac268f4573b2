"""What every format does alike, the one that a newcomer would write included."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import commands
import numpy as np
import pytest
from conversions import NAME, arguments, fork_convert, run_with_toys, small
from drawn_egodex import tiny_egodex
from hub_client import REPO, Client
from hub_server import HubServer
from output_folder import identities, outcomes, published
from processes import die_at_change

from dataset_upload import validate_dataset, visualize_dataset
from dataset_upload.errors import UsageError
from dataset_upload.formats import FORMATS, find_format, format_of
from dataset_upload.formats.finished_dataset import open_dataset

TOY = "toy_format:ToyFormat"
WITH_TOY = (
    f"from dataset_upload.formats import FORMATS; FORMATS['toy'] = '{TOY}'; "
    "import sys; from dataset_upload.hub.__main__ import main; sys.exit(main())"
)


@pytest.fixture(params=["rfm", "lerobot", "toy"])
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(FORMATS, "toy", TOY)
    return str(request.param)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes, one of them without a frame."""
    path = tmp_path_factory.mktemp("source") / "test"
    tiny_egodex(path, episodes=6)
    next(path.rglob("*.mp4")).write_bytes(b"")
    return path


def convert(source: Path, output_dir: Path, name: str, *options: str) -> None:
    """Convert; one episode fails."""
    ended = fork_convert(source, output_dir, f"--output.format={name}", *options)
    assert ended.exit_code == 1, ended.stderr


@pytest.fixture
def output_dir(source: Path, tmp_path: Path, name: str) -> Path:
    convert(source, tmp_path / "out", name)
    return tmp_path / "out"


def test_each_episode_is_done_or_has_a_named_failure(output_dir: Path) -> None:
    reasons = sorted(str(reason) for _, reason in outcomes(output_dir).values())
    assert reasons == ["None"] * 5 + ["unreadable video"]


def test_a_finished_dataset_is_known_by_its_folder(output_dir: Path, name: str) -> None:
    known = format_of(output_dir / NAME)
    assert known is not None and known.name == name
    assert format_of(output_dir) is None


def test_a_finished_dataset_is_read_one_trajectory_at_a_time(output_dir: Path) -> None:
    dataset = open_dataset(str(output_dir))
    assert len(dataset) == 5
    trajectories = list(dataset.trajectories())
    assert [trajectory.source for trajectory in trajectories] == dataset.column("source")
    for trajectory in trajectories:
        frames = list(trajectory.frames())
        assert len(frames) == len(trajectory.times) and frames[0].dtype == np.uint8
        assert trajectory.actions.shape == (len(frames), len(dataset.description["action_names"]))
        assert trajectory.task
        assert all(path.exists() for path in trajectory.clip)
    assert [trajectory.number for trajectory in dataset.trajectories([1, 3])] == [1, 3]


def test_a_finished_dataset_is_sound(output_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate_dataset.main([str(output_dir)]) == 0
    assert "checks passed" in capsys.readouterr().out


def test_damage_is_found(output_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trajectory = next(iter(open_dataset(str(output_dir)).trajectories()))
    trajectory.clip[0].write_bytes(trajectory.clip_contents()[0][:200])
    assert validate_dataset.main([str(output_dir)]) == 1


def test_the_same_command_again_changes_nothing(source: Path, output_dir: Path, name: str) -> None:
    before = identities(output_dir)
    convert(source, output_dir, name)
    assert identities(output_dir) == before


def test_a_clip_that_is_gone_is_made_again_and_no_other(source: Path, output_dir: Path, name: str) -> None:
    before, contents = identities(output_dir), published(output_dir)
    (clip,) = next(iter(open_dataset(str(output_dir)).trajectories())).clip
    clip.unlink()
    convert(source, output_dir, name)
    assert published(output_dir) == contents
    place = clip.relative_to(output_dir)
    clips = {path for path in contents if Path(path).suffix == clip.suffix and Path(path).parent == place.parent}
    changed = {path for path in clips if identities(output_dir)[path] != before[path]}
    assert changed == {place.as_posix()}


def test_any_number_of_workers_gives_the_same_bytes(source: Path, output_dir: Path, tmp_path: Path, name: str) -> None:
    ended = run_with_toys(*arguments(source, tmp_path / "two", *small(f"--output.format={name}"), workers=2))
    assert ended.exit_code == 1, ended.stderr
    assert {path: content for path, content in published(tmp_path / "two").items() if "conversion" not in path} == {
        path: content for path, content in published(output_dir).items() if "conversion" not in path
    }


def test_a_finished_dataset_is_drawn(output_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    assert visualize_dataset.main([str(output_dir), "--max_samples=1", f"--out={tmp_path / 'drawn'}"]) == 0
    endings = sorted(path.name.rpartition("_")[2] for path in (tmp_path / "drawn").iterdir())
    assert endings == ["overlay.mp4", "plot.png", "sheet.png"]


@pytest.mark.parametrize("number", [3, 9, 15, 21])
def test_a_run_that_is_killed_is_taken_up_again(
    source: Path, output_dir: Path, tmp_path: Path, name: str, number: int
) -> None:
    killed = fork_convert(source, tmp_path / "killed", f"--output.format={name}", first=die_at_change(number))
    assert killed.exit_code == -signal.SIGKILL
    convert(source, tmp_path / "killed", name)
    assert published(tmp_path / "killed") == published(output_dir)
    assert outcomes(tmp_path / "killed") == outcomes(output_dir)
    assert [path.name for path in (tmp_path / "killed" / NAME / ".work").iterdir()] == ["lock"]


def test_an_episode_that_has_gone_bad_leaves_neither_row_nor_clip(
    source: Path, output_dir: Path, tmp_path: Path, name: str
) -> None:
    copy = shutil.copytree(source, tmp_path / "test")
    bad, *_ = open_dataset(str(output_dir)).trajectories()
    (copy / f"{bad.source}.mp4").write_bytes(b"")
    convert(copy, output_dir, name)
    assert bad.source not in open_dataset(str(output_dir)).column("source")
    shared = [each.clip[0] for each in open_dataset(str(output_dir)).trajectories()]  # with others' frames
    assert bad.clip[0] in shared or not bad.clip[0].exists()
    assert validate_dataset.main([str(output_dir)]) == 0


def test_other_settings_are_refused_unless_they_are_to_replace_it(
    source: Path, output_dir: Path, tmp_path: Path, name: str
) -> None:
    before, options = identities(output_dir), (f"--output.format={name}", "--output.actions=[hands]")
    ended = fork_convert(source, output_dir, *options)
    assert ended.exit_code == 2
    assert f"{output_dir / NAME} was made with other settings" in ended.last_line
    assert identities(output_dir) == before
    convert(source, output_dir, name, *options, "--output.overwrite=true")
    convert(source, tmp_path / "fresh", name, *options)
    assert published(output_dir) == published(tmp_path / "fresh")


def test_datasets_of_one_folder_are_told_apart_by_name(source: Path, output_dir: Path, name: str) -> None:
    fork_convert(source, output_dir, f"--output.format={name}", name="another")
    with pytest.raises(UsageError, match=f"holds 2 datasets; give --name: another, {NAME}"):
        open_dataset(str(output_dir))
    assert open_dataset(str(output_dir), "another").folder == output_dir / "another"
    assert open_dataset(str(output_dir / NAME)).name == NAME


@pytest.mark.parametrize("options", [[], ["--output.overwrite=true"]], ids=["", "overwrite"])
@pytest.mark.parametrize("dataset_name", [NAME, "another"])
def test_a_folder_has_one_format(
    source: Path, output_dir: Path, name: str, dataset_name: str, options: list[str]
) -> None:
    before, other = identities(output_dir), "toy" if name == "rfm" else "rfm"
    ended = fork_convert(source, output_dir, f"--output.format={other}", *options, name=dataset_name)
    assert ended.exit_code == 2
    assert f"Error: --output.output_dir: {output_dir} has datasets of the format {name}" in ended.last_line
    assert identities(output_dir) == before


def test_it_is_pushed_and_verified(hub: HubServer, client: Client, output_dir: Path, name: str) -> None:
    for what in ("--push", "--verify"):
        ended = client.run("-c", WITH_TOY, what, output_dir, REPO, PYTHONPATH=commands.WITH_HARNESS)
        assert ended.exit_code == 0, ended.stderr
    root = "" if name == "lerobot" else f"{NAME}/"  # which is the root of a repo
    pushed = {path: file.content for path, file in hub.repos[REPO].files.items() if path.startswith(root)}
    local = {path: content for path, content in published(output_dir).items() if path.startswith(f"{NAME}/")}
    kept = {root + path.removeprefix(f"{NAME}/"): content for path, content in local.items()}
    card = f"{root}README.md"
    pushed.pop(".gitattributes", None)
    assert {path: content for path, content in pushed.items() if path != card} == {
        path: content for path, content in kept.items() if path != card
    }


def test_a_format_that_there_is_not_is_refused_with_those_that_there_are(source: Path, tmp_path: Path) -> None:
    ended = fork_convert(source, tmp_path, "--output.format=rlds")
    assert ended.exit_code == 2
    assert ended.last_line == f"Error: --output.format: rlds is none of {', '.join(FORMATS)}"
    assert find_format("rfm").name == "rfm"
