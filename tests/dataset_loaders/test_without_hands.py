"""Episodes of another kind, a robot arm's without hands or camera, through the whole product."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from conversions import convert_toy_arm
from dataset_reader import Dataset
from hub_client import REPO, Client
from hub_server import HubServer
from toy_loader import ARM

from dataset_upload import validate_dataset, visualize_dataset
from dataset_upload.formats.finished_dataset import open_dataset
from dataset_upload.quality.clip import measure


def contents(output_dir: Path) -> dict[str, bytes]:
    """Every file but those that tell of the run itself."""
    files = (file for file in output_dir.rglob("*") if file.is_file() and ".work" not in file.parts)
    return {str(file.relative_to(output_dir)): file.read_bytes() for file in files if file.name != "ledger.jsonl"}


# Conversion ------------------------------------------------------------------------------------------------


def test_rows_hold_what_there_is_and_null_for_what_there_is_not(converted_arm: Path) -> None:
    rows = pq.read_table(converted_arm / "arm" / "train-00000-of-00001.parquet").to_pylist()
    assert len(rows) == 6
    row = next(row for row in rows if row["source"] == "press_key/1")
    assert row["is_robot"] is True and row["quality_label"] == "failure"
    assert row["camera_to_world"] is row["intrinsics"] is row["confidences"] is None
    assert (row["operator"], row["grip_force"], row["tools"]) == ("ann", 4.0, ["cup", "cloth"])
    assert np.shape(row["actions"]) == (13, 7)
    assert not (converted_arm / "arm" / "hands").exists()


def test_workers_make_the_same_bytes(toy_arm: Path, converted_arm: Path, tmp_path: Path) -> None:
    assert convert_toy_arm(toy_arm, tmp_path, workers=2).exit_code == 0
    assert contents(tmp_path) == contents(converted_arm)


def test_one_bad_episode_costs_no_other(toy_arm: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_arm, tmp_path / "arm")
    (tmp_path / "arm" / "press_key" / "0" / "episode.json").write_text("{")
    ended = convert_toy_arm(tmp_path / "arm", tmp_path / "out")
    assert ended.exit_code == 1
    assert "Done:    5" in ended.stdout and "unreadable source" in ended.stdout


# What is told of it ----------------------------------------------------------------------------------------


def test_the_card_is_about_this_source(converted_arm: Path) -> None:
    card = (converted_arm / "README.md").read_text()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["license"] == ARM.licence and set(ARM.tags) < set(header["tags"])
    assert ARM.citation in card and ARM.licence_note in card
    assert "EgoDex" not in card and "egodex" not in card and "hands" not in header["configs"][0]["config_name"]
    assert [config["config_name"] for config in header["configs"]] == ["arm"]
    assert f"| actions | (T, D) {ARM.actions}: `joint_1`" in card
    for column in ARM.columns:
        assert column.meaning in card


def test_it_passes_every_check(converted_arm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate_dataset.main([str(converted_arm), "--json"]) == 0
    assert {check["outcome"] for check in json.loads(capsys.readouterr().out)["checks"]} == {"pass"}


def test_only_egodex_is_compared_with_its_source(
    toy_arm: Path, converted_arm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate_dataset.main([str(converted_arm), "--against", str(toy_arm)]) == 2
    assert capsys.readouterr().err == (
        "Error: --against: only EgoDex's files can be compared; arm was made by the loader toy\n"
    )


# Drawing ---------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    "options, made",
    [
        ([], ["press_key_0_overlay.mp4", "press_key_0_plot.png", "press_key_0_sheet.png"]),
        (["--report"], ["report"]),
        (["--rerun", "OUT/one.rrd"], ["one.rrd"]),
    ],
    ids=["samples", "report", "rerun"],
)
def test_it_is_drawn(converted_arm: Path, tmp_path: Path, options: list[str], made: list[str]) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra viz")
    if "--rerun" in options:
        pytest.importorskip("rerun", reason="needs the extra rerun")
    options = [option.replace("OUT", str(tmp_path)) for option in options]
    source = ["--source", "press_key/0"] if "--report" not in options else []
    assert visualize_dataset.main([str(converted_arm), "--out", str(tmp_path), *source, *options]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == made


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_what_cannot_be_measured_is_unknown_and_not_remarked_on(converted_arm: Path) -> None:
    (trajectory,) = open_dataset(str(converted_arm)).trajectories([0])
    found = measure(trajectory, (64, 64))
    assert found.remarks == ()
    assert np.isnan([*found.paths, *found.top_speeds, *found.radii, *found.in_frame, found.confidence]).all()


# Publishing ------------------------------------------------------------------------------------------------


def test_what_may_be_published_goes_to_a_public_repo(hub: HubServer, client: Client, converted_arm: Path) -> None:
    hub.create(REPO, private=False)
    ended = client.push(converted_arm)
    assert ended.exit_code == 0, ended.stderr
    assert "licensed" not in ended.stdout + ended.stderr


def test_beside_what_may_not_it_does_not(
    hub: HubServer, client: Client, converted_arm: Path, output: Path, tmp_path: Path
) -> None:
    hub.create(REPO, private=False)
    shutil.copytree(converted_arm / "arm", output / "arm")
    ended = client.push(output)
    assert ended.exit_code == 2
    assert f"{REPO} is public, but EgoDex is licensed CC-BY-NC-ND 4.0" in ended.stderr


def test_a_dataset_that_does_not_tell_its_licence_does_not_either(
    hub: HubServer, client: Client, converted_arm: Path, tmp_path: Path
) -> None:
    hub.create(REPO, private=False)
    shutil.copytree(converted_arm, tmp_path / "output")
    (tmp_path / "output" / "arm" / "conversion.json").write_text("{")
    ended = client.push(tmp_path / "output")
    assert ended.exit_code == 2
    assert "nothing tells what the licence of arm allows" in ended.stderr
    assert not any(path.startswith("arm/") for path in hub.repos[REPO].files)


# Training --------------------------------------------------------------------------------------------------


def test_a_reward_model_learns_from_it(converted_arm: Path, tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch", reason="needs the extra train")
    from reward_model.config import TrainConfig
    from reward_model.ranks import Ranks
    from reward_model.training import train

    config = TrainConfig()
    config.dataset.dataset_path = f"{converted_arm}/arm"
    config.dataset.encoder = "pixels16"
    config.dataset.feature_cache = f"{tmp_path}/features"
    config.training.output_dir = f"{tmp_path}/run"
    config.training.steps = config.training.batch_size = 2
    config.evaluation.max_trajectories = 2
    train(config, Ranks(rank=0, size=1, device=torch.device("cpu"), bf16=False))
    assert (tmp_path / "run" / "checkpoints" / "best").exists()


def test_it_lies_beside_egodex_in_one_folder(mini: Any, converted: Dataset, toy_arm: Path, tmp_path: Path) -> None:
    shutil.copytree(converted.output_dir, tmp_path / "out")
    assert convert_toy_arm(toy_arm, tmp_path / "out").exit_code == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == ["cc-by-nc-nd-4.0", "cc-by-4.0"]
    assert "# EgoDex, Toy Arm for reward models" in card or "# Toy Arm, EgoDex for reward models" in card
    assert f"{ARM.columns[0].meaning} (in `arm` only)" in card
    assert validate_dataset.main([str(tmp_path / "out"), "--name", "egodex_test", "--sample_size", "1"]) == 0
    assert validate_dataset.main([str(tmp_path / "out"), "--name", "arm", "--sample_size", "1"]) == 0
