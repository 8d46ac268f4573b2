"""A dataset's own folder, taken by itself: by `datasets`, by training, by readers that know no output folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from conversions import NAME, fork_convert
from drawn_egodex import tiny_egodex
from hub_client import REPO, Client, remote_files
from hub_server import HubServer
from output_folder import published

from dataset_upload.config import parse_config
from dataset_upload.dataset_loaders.egodex.about import EGODEX
from dataset_upload.errors import UsageError
from dataset_upload.formats.rfm.dataset_checks import column_types
from dataset_upload.formats.rfm.finished_dataset import RfmDataset
from dataset_upload.formats.rfm.schema import main_schema

COLUMNS = main_schema(EGODEX.columns, use_video=True).names
TABLE = f"{NAME}/train-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("egodex") / "test"
    tiny_egodex(path, episodes=3)
    return path


@pytest.fixture(scope="module")
def plain(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder of a usual run. Not to be changed."""
    output = tmp_path_factory.mktemp("plain") / "output"
    convert(source, output)
    return output


@pytest.fixture
def output(plain: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(plain, tmp_path / "output")


def convert(source: Path, output: Path, *options: str, exit_code: int = 0) -> str:
    run = fork_convert(source, output, *options)
    assert run.exit_code == exit_code, run.stderr
    return run.stderr


def load(path: Path, *config: str, cache: Path) -> Any:
    return datasets.load_dataset(str(path), *config, split="train", cache_dir=str(cache))


def test_load_dataset_takes_the_folder_that_a_run_prints(plain: Path, tmp_path: Path) -> None:
    by_folder = load(plain / NAME, cache=tmp_path)
    assert by_folder.column_names == COLUMNS
    assert by_folder["id"][:] == load(plain, NAME, cache=tmp_path)["id"][:]
    hands = load(plain / NAME, f"{NAME}_hands", cache=tmp_path)
    assert "left_hand" in hands.column_names and hands["id"][:] == by_folder["id"][:]


def test_a_readme_of_somebody_else_in_the_folder_is_never_touched(source: Path, output: Path) -> None:
    readme = output / NAME / "README.md"
    for own in ("My notes.\n", "---\nconfigs: []\n---\nMy notes.\n"):
        readme.write_text(own)
        before = published(output)
        assert convert(source, output, exit_code=2).startswith(
            f"Error: --dataset.dataset_name: {readme} is not the one"
        )
        assert published(output) == before


def test_training_takes_the_folder_for_a_dataset_and_the_one_above_for_all(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reward_model.data import load_rows

    rows = {row.id: row.frames for row in load_rows(str(plain)).rows}
    monkeypatch.chdir(plain / NAME)
    for path in (str(plain / NAME), "."):
        loaded = load_rows(path)
        assert {row.id: row.frames for row in loaded.rows} == rows
        assert all(file.exists() for number in range(len(rows)) for file in loaded.clip_files(number))


# frames_video


def frames_video(output: Path) -> list[str] | None:
    table = pq.read_table(output / TABLE)
    return table["frames_video"].to_pylist() if "frames_video" in table.column_names else None


def test_frames_video_is_a_path_that_opens_from_anywhere(
    source: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    convert(source, Path("here"), "--output.frames_video=true")
    loaded = load(tmp_path / "here" / NAME, cache=tmp_path / "cache")
    assert loaded.column_names == [*COLUMNS, "frames_video"]
    for row in loaded:
        assert os.path.isabs(row["frames_video"]) and os.path.samefile(row["frames_video"], f"here/{row['frames']}")
    assert list(column_types(RfmDataset(Path("here") / NAME))) == []
    others = {path: content for path, content in published(Path("here")).items() if path != TABLE}
    assert others == {path: content for path, content in published(plain).items() if path != TABLE}


def test_frames_video_comes_and_goes_without_converting_anything(source: Path, plain: Path, output: Path) -> None:
    ledger = (output / NAME / "ledger.jsonl").read_bytes()
    convert(source, output, "--output.frames_video=true")
    assert frames_video(output) is not None
    convert(source, output)
    assert frames_video(output) is None
    assert published(output) == published(plain)
    assert (output / NAME / "ledger.jsonl").read_bytes() == ledger


def test_frames_video_follows_a_dataset_that_was_moved(source: Path, output: Path) -> None:
    convert(source, output, "--output.frames_video=true")
    moved = output.rename(output.with_name("moved"))
    convert(source, moved, "--output.frames_video=true")
    paths = frames_video(moved)
    assert paths is not None and all(os.path.exists(path) for path in paths)


def test_frames_video_is_not_pushed(source: Path, plain: Path, output: Path, hub: HubServer, client: Client) -> None:
    convert(source, output, "--output.frames_video=true")
    assert client.push(output / NAME, repo=REPO).exit_code == 0
    pushed = remote_files(hub)
    assert pushed[TABLE] == (plain / TABLE).read_bytes()
    assert f"{NAME}/README.md" not in pushed


def test_frames_video_needs_videos() -> None:
    with pytest.raises(UsageError, match=r"--output\.frames_video: needs --output\.use_video=true"):
        parse_config(["--dataset.dataset_path=/x", "--output.frames_video=true", "--output.use_video=false"])
