"""LeRobot datasets of drawn episodes: each frame with its own row, wherever files begin and end."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from conversions import NAME, convert_toy_arm, fork_convert
from drawn_egodex import MiniEgoDex, draw_mini_egodex, replace_episode, tiny_egodex
from output_folder import identities, outcomes, published
from processes import die_at_change

from dataset_upload import validate_dataset, visualize_dataset
from dataset_upload.formats.finished_dataset import open_dataset
from dataset_upload.formats.lerobot import index
from dataset_upload.formats.lerobot.__main__ import main as rewrite
from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset
from dataset_upload.formats.lerobot.layout import waiting_path
from dataset_upload.mini_egodex.frame_code import read_frame_number
from dataset_upload.video.plain_decoding import decode_clip

LEROBOT = "--output.format=lerobot"


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a few episodes each."""
    monkeypatch.setattr(index, "VIDEO_BYTES", 20_000)
    monkeypatch.setattr(index, "DATA_BYTES", 60_000)


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> MiniEgoDex:
    return draw_mini_egodex(tmp_path_factory.mktemp("mini") / "test")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    tiny_egodex(tmp_path / "test", episodes=9)
    return tmp_path / "test"


def convert(source: Path, output_dir: Path, *options: str, exit_code: int = 0) -> LerobotDataset:
    ended = fork_convert(source, output_dir, LEROBOT, *options)
    assert ended.exit_code == exit_code, ended.stderr
    dataset = open_dataset(str(output_dir))
    assert isinstance(dataset, LerobotDataset)
    return dataset


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
@pytest.mark.parametrize("fps", [30, 15])
def test_each_row_has_its_own_picture_and_poses(mini: MiniEgoDex, tmp_path: Path, version: str, fps: int) -> None:
    options = ["--output.frame_size=128", f"--lerobot.version={version}", f"--lerobot.fps={fps}"]
    dataset = convert(mini.path, tmp_path, *options)
    step = 30 // fps
    for trajectory in dataset.trajectories():
        record = mini.records[trajectory.source]
        numbers = [read_frame_number(frame) for frame in trajectory.frames()]
        assert numbers == list(range(0, record.frames, step))
        with h5py.File(mini.path / f"{trajectory.source}.hdf5") as file:
            for column, pose in ((0, "leftHand"), (3, "rightHand"), (12, "camera")):
                expected = file[f"transforms/{pose}"][::step, :3, 3].astype(np.float32)
                assert (trajectory.states[:, column : column + 3] == expected).all()
    assert validate_dataset.main([str(tmp_path), "--sample_size=all"]) == 0


def test_packed_files_play_from_start_to_end(mini: MiniEgoDex, tmp_path: Path) -> None:
    dataset = convert(mini.path, tmp_path, "--output.frame_size=128")
    videos = sorted((tmp_path / NAME / "videos").rglob("*.mp4"))
    assert len(videos) > 2
    played = [read_frame_number(frame) for video in videos for frame in decode_clip([video.read_bytes()])]
    lengths = dataset.column("length")
    assert played == list(itertools.chain.from_iterable(map(range, lengths)))


def test_both_directions_of_a_task_are_kept_apart_and_unknown_confidences_are_told(
    mini: MiniEgoDex, tmp_path: Path
) -> None:
    dataset = convert(mini.path, tmp_path)
    tasks = pq.read_table(tmp_path / NAME / "meta/tasks.parquet").to_pandas()
    assert tasks.index.name == "task" and list(tasks["task_index"]) == list(range(len(tasks)))
    for trajectory in dataset.trajectories():
        number = int(trajectory.columns["task_index"][0, 0])
        assert tasks.iloc[number].name == trajectory.task
        record = mini.records[trajectory.source]
        if record.irregularity != "old_release":  # which does not say which direction it shows
            assert trajectory.task == record.description
        unknown = trajectory.source == mini.with_irregularity("missing_confidences").key
        assert trajectory.row["confidence_known"] is not unknown
        assert (trajectory.columns["hands.confidence"] == -1).all() == unknown


def test_what_is_added_rewrites_only_the_last_files_and_metadata(tiny: Path, tmp_path: Path) -> None:
    output_dir, fresh = tmp_path / "out", tmp_path / "fresh"
    convert(tiny, output_dir, "--output.max_trajectories=7")
    before = identities(output_dir)
    convert(tiny, output_dir)
    changed = [path for path in before if identities(output_dir)[path] != before[path]]
    for kind in ("/data/", "/videos/"):
        files = sorted(path for path in before if kind in path)
        assert len(files) > 1
        assert [path for path in changed if kind in path] in ([], files[-1:])
    convert(tiny, fresh)
    assert published(output_dir) == published(fresh)


def test_an_episode_that_is_mended_takes_its_place(tiny: Path, tmp_path: Path) -> None:
    output_dir, fresh = tmp_path / "out", tmp_path / "fresh"
    clip = sorted(tiny.rglob("*.mp4"))[2]
    content = clip.read_bytes()
    clip.write_bytes(b"")
    convert(tiny, output_dir, exit_code=1)
    clip.write_bytes(content)
    convert(tiny, output_dir)
    convert(tiny, fresh)
    assert published(output_dir) == published(fresh)


def test_an_episode_that_has_changed_is_replaced(tiny: Path, tmp_path: Path) -> None:
    output_dir, fresh = tmp_path / "out", tmp_path / "fresh"
    convert(tiny, output_dir)
    key = open_dataset(str(output_dir)).column("source")[3]
    replace_episode(tiny, key)
    convert(tiny, output_dir)
    convert(tiny, fresh)
    assert published(output_dir) == published(fresh)


@pytest.mark.parametrize("damage", ["data", "videos", "meta/episodes"])
def test_a_file_that_is_gone_is_made_again(tiny: Path, tmp_path: Path, damage: str) -> None:
    output_dir = tmp_path / "out"
    convert(tiny, output_dir)
    before = published(output_dir)
    next(path for path in sorted((output_dir / NAME / damage).rglob("*")) if path.is_file()).unlink()
    convert(tiny, output_dir)
    assert published(output_dir) == before


@pytest.mark.parametrize("number", range(64, 118, 9))
def test_a_run_that_is_killed_as_it_builds_is_taken_up_again(tiny: Path, tmp_path: Path, number: int) -> None:
    whole, output_dir = tmp_path / "whole", tmp_path / "out"
    convert(tiny, whole, "--output.max_trajectories=5")
    shutil.copytree(whole, output_dir)
    convert(tiny, whole)
    ended = fork_convert(tiny, output_dir, LEROBOT, first=die_at_change(number))
    assert ended.exit_code == -signal.SIGKILL
    convert(tiny, output_dir)
    assert published(output_dir) == published(whole)
    assert [path.name for path in (output_dir / NAME / ".work").iterdir()] == ["lock"]


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing else"])
def test_a_damaged_table_of_episodes_is_made_again(tiny: Path, tmp_path: Path, content: bytes) -> None:
    output_dir = tmp_path / "out"
    convert(tiny, output_dir)
    before = published(output_dir)
    (output_dir / NAME / "meta/episodes/chunk-000/file-000.parquet").write_bytes(content)
    convert(tiny, output_dir)
    assert published(output_dir) == before


@pytest.mark.parametrize("kind", ["videos", "frames", "episodes"])
@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[: len(content) // 2]])
def test_a_damaged_piece_that_waits_is_named_and_made_again_once_deleted(
    tiny: Path, tmp_path: Path, kind: str, damage: Callable[[bytes], bytes]
) -> None:
    whole, output_dir = tmp_path / "whole", tmp_path / "out"
    convert(tiny, whole)
    assert fork_convert(tiny, output_dir, LEROBOT, "--output.shard=0/1").exit_code == 0
    piece = output_dir / NAME / waiting_path(kind, 4)
    piece.write_bytes(damage(piece.read_bytes()))
    ended = fork_convert(tiny, output_dir, LEROBOT)
    assert ended.exit_code == 3
    assert f"Stopped: {piece} is damaged: delete it, then its episodes are converted again" in ended.stderr
    piece.unlink()
    convert(tiny, output_dir)
    assert published(output_dir) == published(whole)


def test_a_damaged_file_of_the_dataset_is_named(tiny: Path, tmp_path: Path) -> None:
    convert(tiny, tmp_path, "--output.max_trajectories=7")
    (file, *_) = sorted((tmp_path / NAME / "data").rglob("*.parquet"))
    file.write_bytes(bytes(file.stat().st_size))
    ended = fork_convert(tiny, tmp_path, LEROBOT)
    assert ended.exit_code == 3 and f"Stopped: {file} is damaged: delete it" in ended.stderr
    file.unlink()
    convert(tiny, tmp_path)
    assert validate_dataset.main([str(tmp_path), "--sample_size=all"]) == 0


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_an_episode_of_another_frame_size_is_a_named_failure(tiny: Path, tmp_path: Path, version: str) -> None:
    options = ["--output.frame_size=256", "--output.shortest_edge_size=64", f"--lerobot.version={version}"]
    keys = convert(tiny, tmp_path / "finished", *options).column("source")
    for output_dir, odd in (("fresh", keys[:1]), ("finished", keys[:6])):  # most decide; what is finished decides
        for key in odd:
            replace_episode(tiny, key, size=(96, 64))
        dataset = convert(tiny, tmp_path / output_dir, *options, exit_code=1)
        assert dataset.column("source") == [key for key in keys if key not in odd]
        failed = {key: reason for key, (_, reason) in outcomes(tmp_path / output_dir).items() if reason}
        assert failed == dict.fromkeys(odd, "frame size")
        assert validate_dataset.main([str(tmp_path / output_dir), "--sample_size=all"]) == 0


def test_shards_make_what_one_run_makes(tiny: Path, tmp_path: Path) -> None:
    whole, output_dir = tmp_path / "whole", tmp_path / "out"
    convert(tiny, whole)
    for shard in ("1/2", "0/2"):
        ended = fork_convert(tiny, output_dir, LEROBOT, f"--output.shard={shard}")
        assert ended.exit_code == 0, ended.stderr
        assert not list((output_dir / NAME).rglob("*.parquet"))
    convert(tiny, output_dir)
    assert published(output_dir) == published(whole)


def test_the_report_shows_every_episode(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    convert(tiny, tmp_path / "out")
    assert visualize_dataset.main([str(tmp_path / "out"), "--report", f"--out={tmp_path / 'drawn'}"]) == 0


def test_a_version_becomes_the_other_and_back_without_a_difference(tiny: Path, tmp_path: Path) -> None:
    packed, single = tmp_path / "packed", tmp_path / "single"
    convert(tiny, packed)
    convert(tiny, single, "--lerobot.version=v2.1")
    assert rewrite([str(packed / NAME), str(tmp_path / "there" / NAME)]) == 0
    assert published(tmp_path / "there") == published(single)
    assert rewrite([str(tmp_path / "there" / NAME), str(tmp_path / "back" / NAME), "--version=v3.0"]) == 0
    assert published(tmp_path / "back") == published(packed)
    assert validate_dataset.main([str(tmp_path / "back"), "--sample_size=all"]) == 0
    assert rewrite([str(packed / NAME), str(single)]) == 2


def test_a_rate_that_the_source_has_not_is_a_named_failure(tiny: Path, tmp_path: Path) -> None:
    ended = fork_convert(tiny, tmp_path / "out", LEROBOT, "--lerobot.fps=20")
    assert ended.exit_code == 1
    assert {reason for _, reason in outcomes(tmp_path / "out").values()} == {"frame rate"}
    assert "--lerobot.fps=20" in ended.stderr


@pytest.mark.parametrize(
    "option",
    ["--output.max_frames=8", "--output.crf=20", "--output.fps=10", "--output.use_video=false", "--hub.packed=true"],
)
def test_options_of_clips_are_refused_with_what_to_give_instead(tmp_path: Path, option: str) -> None:
    ended = fork_convert("/somewhere", tmp_path, LEROBOT, option)
    assert ended.exit_code == 2
    assert ended.last_line.startswith(f"Error: {option.partition('=')[0]}: has no use with --output.format=lerobot; ")


def test_a_readme_of_somebody_else_is_not_touched(tiny: Path, tmp_path: Path) -> None:
    readme = tmp_path / "out" / NAME / "README.md"
    readme.parent.mkdir(parents=True)
    readme.write_text("mine")
    ended = fork_convert(tiny, tmp_path / "out", LEROBOT)
    assert ended.exit_code == 2 and readme.read_text() == "mine"


def test_a_robot_has_states_and_actions_only(toy_arm: Path, tmp_path: Path) -> None:
    ended = convert_toy_arm(toy_arm, tmp_path / "out", LEROBOT, "--lerobot.fps=15")
    assert ended.exit_code == 0, ended.stderr
    info = json.loads((tmp_path / "out/arm/meta/info.json").read_text())
    assert info["robot_type"] == "unknown"
    assert {name.split(".")[0] for name in info["features"]} == {
        "observation", "action", "timestamp", "frame_index", "episode_index", "index", "task_index"
    }  # fmt: skip
    assert validate_dataset.main([str(tmp_path / "out"), "--sample_size=all"]) == 0
