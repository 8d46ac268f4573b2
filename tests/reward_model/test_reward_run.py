"""What a run and a report refuse before anything is encoded, and what a run tells; all within this process."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from tiny_dataset import EPISODES_PER_TASK, write_card, write_dataset, write_datasets

from dataset_upload.errors import UsageError
from reward_model import training
from reward_model.checkpoints import read_state
from reward_model.config import TrainConfig
from reward_model.encoders import load_encoder
from reward_model.metrics_log import read_metrics
from reward_model.ranks import Ranks
from reward_model.report import write_report
from reward_model.training import prefetched, train

ALONE = Ranks(rank=0, size=1, device=torch.device("cpu"), bf16=False)
HELD_OUT_TASK, HELD_OUT_TASKS = "wipe_table", 0.3  # its hash is below that share


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The datasets `tiny`, and `single` of one task that is held out."""
    root = write_datasets(tmp_path_factory.mktemp("run") / "datasets", "tiny")
    write_dataset(root, "single", tasks=[HELD_OUT_TASK], first_seed=50)
    write_card(root, ["tiny", "single"])
    return root


def two_steps(root: Path, folder: Path) -> TrainConfig:
    """On `tiny`, with features and run in `folder`."""
    config = TrainConfig()
    config.dataset = replace(
        config.dataset,
        dataset_path=f"{root}/tiny",
        held_out_tasks=HELD_OUT_TASKS,
        encoder="pixels16",
        feature_cache=f"{folder}/features",
    )
    config.training = replace(config.training, output_dir=f"{folder}/run", steps=2, batch_size=2)
    config.evaluation.max_trajectories = 2
    return config


@pytest.fixture
def config(root: Path, tmp_path: Path) -> TrainConfig:
    return two_steps(root, tmp_path)


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """The configuration of a finished run. Not to be changed."""
    config = two_steps(root, tmp_path_factory.mktemp("trained"))
    train(config, ALONE)
    return config


def best_of(config: TrainConfig) -> Path:
    return Path(config.training.output_dir) / "checkpoints/best"


def report(checkpoint: Path, dataset: str, out: Path, *, all_rows: bool = False, pictures: int = 0) -> None:
    write_report(checkpoint, dataset, out, all_rows=all_rows, max_trajectories=2, pictures=pictures)


def use_other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "load_encoder", lambda *args: replace(load_encoder(*args), fingerprint="other"))


# Refused ---------------------------------------------------------------------------------------------------


def refusal(config: TrainConfig) -> str:
    """Why a run cannot begin; fails if something was encoded by then."""
    config.dataset.feature_cache += "_elsewhere"
    with pytest.raises(UsageError) as caught:
        train(config, ALONE)
    assert not list(Path(config.dataset.feature_cache).rglob("*.npy"))
    return str(caught.value)


def test_a_run_needs_something_to_train_on(root: Path, config: TrainConfig) -> None:
    config.dataset.dataset_path = f"{root}/single"

    assert refusal(config).startswith("--dataset.held_out_sessions: nothing is left to train on")


@pytest.mark.parametrize("name", ["a_file", "a_file/run", "x" * 300])
def test_a_run_needs_a_folder_that_can_be_written(config: TrainConfig, tmp_path: Path, name: str) -> None:
    (tmp_path / "a_file").touch()
    config.training.output_dir = str(tmp_path / name)

    assert refusal(config).startswith(f"--training.output_dir: {tmp_path / name} cannot be written")


def test_a_run_is_not_resumed_with_another_encoder(trained: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    use_other_weights(monkeypatch)

    assert refusal(replace(trained, dataset=replace(trained.dataset))).startswith("--dataset.encoder: the encoder is")


def test_a_run_is_not_resumed_on_another_dataset(root: Path, trained: TrainConfig) -> None:
    both = replace(trained.dataset, dataset_path=f"{root}/tiny,{root}/single")

    assert refusal(replace(trained, dataset=both)).startswith("--dataset.dataset_path: the dataset is not")


def test_a_report_is_not_made_with_another_encoder(
    root: Path, trained: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_other_weights(monkeypatch)

    with pytest.raises(UsageError, match=r"--dataset\.encoder: the encoder is not the one"):
        report(best_of(trained), f"{root}/tiny", tmp_path)


def test_a_report_needs_a_folder(root: Path, trained: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()

    with pytest.raises(UsageError, match=r"--out: .*a_file cannot be made"):
        report(best_of(trained), f"{root}/tiny", tmp_path / "a_file")


# Told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("all_rows", "split"), [(True, "all"), (False, "never seen")])
def test_a_dataset_with_nothing_to_train_on_can_be_judged(
    root: Path, trained: TrainConfig, tmp_path: Path, all_rows: bool, split: str
) -> None:
    report(best_of(trained), f"{root}/single", tmp_path, all_rows=all_rows)

    metrics: dict[str, Any] = json.loads((tmp_path / "metrics.json").read_text())
    assert {name.split("/")[0] for name in metrics} == {split}


def test_a_report_says_what_its_checkpoint_has_never_seen(
    trained: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = write_datasets(tmp_path / "grown", "tiny")
    write_dataset(grown, "later", tasks=["pour_water"], first_seed=100)
    write_card(grown, ["tiny", "later"])
    monkeypatch.setattr(logging.getLogger("reward_model"), "propagate", True)
    caplog.set_level(logging.INFO, "reward_model")

    report(best_of(trained), f"{grown}/tiny,{grown}/later", tmp_path)

    metrics: dict[str, Any] = json.loads((tmp_path / "metrics.json").read_text())
    assert {name.split("/")[0] for name in metrics} == {"train", "held-out episodes", "held-out tasks", "never seen"}
    assert f"and never seen {EPISODES_PER_TASK}" in caplog.text


def test_a_split_anew_does_not_change_what_a_checkpoint_held_out(
    root: Path, trained: TrainConfig, tmp_path: Path
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    report(best_of(trained), f"{root}/tiny", before)
    shutil.copytree(best_of(trained).resolve(), tmp_path / "copy")
    path = tmp_path / "copy/state.json"
    saved = json.loads(path.read_text())
    saved["config"]["dataset"] |= {"held_out_sessions": 0.5, "held_out_tasks": 0.0}
    path.write_text(json.dumps(saved))

    report(tmp_path / "copy", f"{root}/tiny", after)

    assert (before / "metrics.json").read_text() == (after / "metrics.json").read_text()


def test_a_report_takes_the_place_of_an_earlier_one(root: Path, trained: TrainConfig, tmp_path: Path) -> None:
    report(best_of(trained), f"{root}/tiny", tmp_path, pictures=2)
    (tmp_path / "notes-0.png").touch()
    pictures = sorted(path.name for path in tmp_path.glob("*-*.png"))
    assert pictures[:2] == ["held-out-episodes-0.png", "held-out-episodes-1.png"]

    report(best_of(trained), f"{root}/tiny", tmp_path, all_rows=True, pictures=1)

    assert sorted(path.name for path in tmp_path.glob("*-*.png")) == ["all-0.png", "notes-0.png"]


def test_a_folder_without_a_report_keeps_its_pictures(root: Path, trained: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "train-0.png").touch()

    report(best_of(trained), f"{root}/tiny", tmp_path)

    assert (tmp_path / "train-0.png").exists()


@pytest.mark.parametrize("line", ["{", "[]", '{"loss": 1}', '{"step": 1, "loss": "high"}'])
def test_a_damaged_line_of_metrics_is_named(root: Path, trained: TrainConfig, tmp_path: Path, line: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.training.output_dir, run, symlinks=True)
    (run / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n')

    with pytest.raises(UsageError, match=r"metrics\.jsonl: line 2 is not one of metrics; delete it"):
        report(run / "checkpoints/best", f"{root}/tiny", tmp_path / "report")


unpickled = list[str]()


def test_training_resuming_and_judging_unpickle_nothing(root: Path, config: TrainConfig, tmp_path: Path) -> None:
    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class":
            unpickled.append(".".join(arguments[-2:]))

    sys.addaudithook(watch)  # for good: a hook cannot be taken away
    pickle.loads(pickle.dumps(tmp_path))
    assert unpickled
    unpickled.clear()

    train(config, ALONE)
    train(config, ALONE)
    report(best_of(config), f"{root}/tiny", tmp_path)

    assert not unpickled


def test_the_speed_is_that_of_learning_alone(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate_splits, now = training.evaluate_splits, [0.0]

    def clock() -> float:
        now[0] += 0.001
        return now[0]

    def slowly(*args: Any) -> Any:
        now[0] += 1000
        return evaluate_splits(*args)

    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(training, "evaluate_splits", slowly)
    config.training = replace(config.training, log_every=2, evaluate_every=1)

    train(config, ALONE)

    (speed,) = [line["pairs_per_second"] for line in read_metrics(best_of(config).parent.parent) if "loss" in line]
    assert speed > config.training.batch_size  # less than a second a step, as the clock goes only where somebody asks


def test_the_main_rank_says_how_good_an_evaluation_was(config: TrainConfig) -> None:
    class Second(Ranks):
        """One whose main rank has measured a score of its own."""

        def from_main(self, value: Any) -> Any:
            return -0.75 if isinstance(value, float) else value

    train(config, Second(rank=0, size=1, device=torch.device("cpu"), bf16=False))

    assert read_state(best_of(config)).best == -0.75


def test_batches_come_in_the_order_of_their_steps() -> None:
    loaded = list[int]()

    def load(step: int) -> Any:
        loaded.append(step)
        return f"batch {step}"

    taken = [(step, str(batch)) for step, batch in prefetched(load, 3, 6)]

    assert taken == [(3, "batch 3"), (4, "batch 4"), (5, "batch 5")]
    assert loaded[:3] == [3, 4, 5]
