"""train.py's options: defaults, files, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import PROJECT

pytest.importorskip("torch", reason="needs the extra train")

from dataset_upload.console.options import result_settings
from dataset_upload.errors import UsageError
from reward_model.config import TrainConfig, parse_config
from reward_model.train import main

CONFIG = PROJECT / "configs" / "config.yaml"


def test_the_printed_configuration_says_what_the_defaults_are() -> None:
    assert parse_config([f"--config_path={CONFIG}"]) == TrainConfig()


def test_the_configuration_is_found_by_its_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_config(["--config_path=config.yaml"]) == TrainConfig()


def test_the_command_line_has_the_last_word() -> None:
    config = parse_config([f"--config_path={CONFIG}", "--dataset.dataset_path=here/mine", "--training.steps=7"])

    assert (config.dataset.dataset_path, config.training.steps) == ("here/mine", 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--training.step=3"], "--training.step: no such option; did you mean --training.steps?"),
        (["--training.steps=many"], "--training.steps: 'many' is not of type int"),
        (["--training.steps=0"], "--training.steps: 0 must be from 1 to 1e+09"),
        (["--model.size=huge"], "--model.size: 'huge' is none of"),
        (
            ["--dataset.encoder=dinov2"],
            "--dataset.encoder: 'dinov2' is none of auto, hf:<model id>, effnet_lite0, pixels16",
        ),
        (["--dataset.held_out_tasks=1"], "--dataset.held_out_tasks: 1.0 must be from 0 to 0.5"),
        (["--training.output_dir"], "--training.output_dir: needs a value"),
        (["--config_path=nowhere.yaml"], "--config_path: nowhere.yaml does not exist"),
    ],
)
def test_a_wrong_option_is_named_with_its_cure(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(arguments)

    assert message in str(caught.value)


def test_a_run_may_go_on_with_other_values_of_these_only() -> None:
    config = TrainConfig()
    free = {
        f"{section}.{name}"
        for section, options in vars(config).items()
        for name in vars(options)
        if name not in result_settings(options)
    }
    assert free == {
        *("dataset.dataset_path", "dataset.encoder", "dataset.feature_cache"),
        *("training.output_dir", "training.resume", "training.tracker"),
        *("training.log_every", "training.evaluate_every", "training.checkpoint_every"),
        "evaluation.max_trajectories",
    }


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("training: {stepz: 3}", "--config_path: training.stepz: no such option; did you mean --training.steps?"),
        ("training: 3", "--training: '3' is not a mapping of options"),
        ("training: {", "config.yaml is not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, yaml: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml)

    with pytest.raises(UsageError) as caught:
        parse_config([f"--config_path={path}"])

    assert message in str(caught.value)


def test_wrong_usage_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--training.steps=0"]) == 2

    assert capsys.readouterr().err == "Error: --training.steps: 0 must be from 1 to 1e+09\n"
