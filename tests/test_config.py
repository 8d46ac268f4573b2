"""The command line: what is accepted, and what is refused in one line that helps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from commands import in_fork

from dataset_upload.config import GenerateConfig, parse_config
from dataset_upload.console.options import option, result_settings
from dataset_upload.errors import UsageError
from dataset_upload.generate_hf_dataset import main

SOMEWHERE = "--dataset.dataset_path=/somewhere"


def refusal(*arguments: str) -> str:
    with pytest.raises(UsageError) as error:
        parse_config(arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def parsed(*arguments: str) -> GenerateConfig:
    return parse_config([SOMEWHERE, *arguments])


def yaml_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return f"--config_path={path}"


def test_the_shipped_yaml_holds_the_options_as_users_know_them(tmp_path: Path) -> None:
    config = parsed("--config_path=dataset_upload/configs/data_gen_configs/egodex.yaml")
    assert config.dataset.dataset_name == "egodex_test"
    output = config.output
    assert (output.output_dir, output.max_trajectories, output.max_frames) == ("egodex_dataset", 100, 32)
    assert (output.use_video, output.fps) == (True, 30)
    assert (config.hub.push_to_hub, config.hub.hub_repo_id) == (False, "your-username/egodex_rfm")


def test_a_lerobot_dataset_gets_a_repo_of_its_own_name_unless_one_is_given() -> None:
    shipped = "--config_path=dataset_upload/configs/data_gen_configs/egodex.yaml"
    options = ["--output.format=lerobot", "--dataset.dataset_name=egodex_part1"]
    for given, repo_id in (
        ([*options], "your-username/egodex_part1"),
        ([shipped, *options], "your-username/egodex_part1"),
        ([*options, "--hub.hub_repo_id=alice/hands"], "alice/hands"),
    ):
        assert parsed(*given).hub.hub_repo_id == repo_id


def test_the_packages_yaml_is_found_by_its_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parsed("--config_path=egodex_demo.yaml").output.output_dir == "egodex_demo_dataset"
    assert refusal("--config_path=./egodex_demo.yaml").endswith("./egodex_demo.yaml does not exist")


def test_a_yaml_here_comes_before_the_packages_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("egodex_demo.yaml").write_text("output: {output_dir: mine}\n")
    assert parsed("--config_path=egodex_demo.yaml").output.output_dir == "mine"


def test_the_command_line_overrides_the_yaml(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "output: {max_frames: 16, fps: 10}\n")
    config = parsed(path, "--output.max_frames=8")
    assert (config.output.max_frames, config.output.fps) == (8, 10)


@pytest.mark.parametrize("value, expected", [("-1", -1), ("null", None), ("50", 50)])
def test_max_trajectories_takes_all_or_a_number(value: str, expected: int | None) -> None:
    assert parsed(f"--output.max_trajectories={value}").output.max_trajectories == expected


@pytest.mark.parametrize("key", ["shortest_edge_size=240", "center_crop=true", "num_workers=0"])
def test_keys_of_the_wider_converter_are_accepted(key: str) -> None:
    parsed(f"--output.{key}")


def test_center_crop_is_an_alias() -> None:
    assert parsed("--output.center_crop=true").output.resize == "center_crop"


@pytest.mark.parametrize(
    "value, expected",
    [
        ("/data/test.zip", "/data/test.zip"),
        ("[/data/part1.zip, 'https://host/part2.zip']", ["/data/part1.zip", "https://host/part2.zip"]),
        ("/data/part*.zip", "/data/part*.zip"),
        ("egodex://test", "egodex://test"),
    ],
)
def test_the_source_is_a_path_or_a_list_of_paths(value: str, expected: str | list[str]) -> None:
    assert parse_config([f"--dataset.dataset_path={value}"]).dataset.dataset_path == expected


def test_the_yaml_takes_a_list_of_sources(tmp_path: Path) -> None:
    config = parse_config([yaml_file(tmp_path, "dataset:\n  dataset_path:\n  - /a.zip\n  - /b.zip\n")])
    assert config.dataset.dataset_path == ["/a.zip", "/b.zip"]


@pytest.mark.parametrize("value, expected", [("fold_*", "fold_*"), ("[fold, pour_*]", ["fold", "pour_*"])])
def test_tasks_are_a_name_or_a_list_of_names(value: str, expected: str | list[str]) -> None:
    assert parsed(f"--dataset.tasks={value}").dataset.tasks == expected


def test_a_glob_that_yaml_takes_for_something_else_is_explained() -> None:
    assert "--dataset.tasks=\"'*_lid'\"" in refusal(SOMEWHERE, "--dataset.tasks=*_lid")
    assert parsed("--dataset.tasks='*_lid'").dataset.tasks == "*_lid"


def test_any_subset_of_action_parts() -> None:
    assert parsed("--output.actions=[camera]").output.actions == ["camera"]


@pytest.mark.parametrize(
    "argument, names, says",
    [
        ("--output.max_framez=3", "--output.max_framez", "did you mean --output.max_frames"),
        ("--output.max_frames=abc", "--output.max_frames", "'abc' is not of type int"),
        ("--output.max_frames=3.5", "--output.max_frames", "not of type int"),
        ("--output.max_frames=0", "--output.max_frames", "at least 1"),
        ("--output.max_trajectories=0", "--output.max_trajectories", "-1 for all"),
        ("--output.use_video=maybe", "--output.use_video", "not of type bool"),
        ("--output.use_video", "--output.use_video", "needs a value"),
        ("--output.resize=zoom", "--output.resize", "stretch, center_crop, pad"),
        ("--output.frame_size=255", "--output.frame_size", "even"),
        ("--output.crf=60", "--output.crf", "from 0 to 51"),
        ("--output.crf=null", "--output.crf", "not null"),
        ("--output.actions=[]", "--output.actions", "at least one"),
        ("--output.actions=[feet]", "--output.actions", "hands, fingertips, camera"),
        ("--output.actions=hands", "--output.actions", "write [hands]"),
        ("--output.num_workers=-2", "--output.num_workers", "from -1"),
        ("--output.output_dir=", "--output.output_dir", "needs a folder"),
        ("--output.output_dir=' '", "--output.output_dir", "needs a folder"),
        ("--output.output_dir=s3://bucket/out", "--output.output_dir", "convert into one, then copy it there"),
        ("--dataset.dataset_name=../escape", "--dataset.dataset_name", "folder name"),
        ("--dataset.dataset_name=a/b", "--dataset.dataset_name", "folder name"),
        ("--dataset.dataset_name=x_hands", "--dataset.dataset_name", "_hands"),
        ("--dataset=3", "--dataset", "mapping"),
        ("stray", "stray", "--help"),
    ],
)
def test_wrong_options_are_named_with_the_cure(argument: str, names: str, says: str) -> None:
    message = refusal(SOMEWHERE, argument)
    assert message.startswith(f"{names}: ")
    assert says in message


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--output.center_crop=true", "--output.resize=pad"], "--output.center_crop"),
        (["--output.shortest_edge_size=240", "--output.frame_size=128"], "--output.shortest_edge_size"),
        (["--output.shortest_edge_size=240", "--output.resize=pad"], "--output.shortest_edge_size"),
        (["--dataset.mini_episodes=2", "--dataset.dataset_path=egodex://test"], "--dataset.mini_episodes"),
        (["--dataset.mini_episodes=2", "--dataset.dataset_path=[/a, /b]"], "--dataset.mini_episodes"),
    ],
)
def test_contradicting_options_are_refused(arguments: list[str], says: str) -> None:
    assert refusal(SOMEWHERE, *arguments).startswith(says)


def test_the_placeholder_path_is_recognised() -> None:
    message = refusal("--config_path=dataset_upload/configs/data_gen_configs/egodex.yaml")
    assert message.startswith("--dataset.dataset_path") and "placeholder" in message


@pytest.mark.parametrize(
    "text, says",
    [
        ("output: {max_framez: 3}", "did you mean --output.max_frames"),
        ("outputs: {max_frames: 3}", "outputs: no such option"),
        ("output: 3", "--output: '3' is not a mapping"),
        ("output:", "--output: 'None' is not a mapping"),
        ("output: {", "not valid YAML"),
        ("- a list", "expected a YAML mapping"),
        ("output: {max_frames: many}", "--output.max_frames: 'many' is not of type int"),
    ],
)
def test_mistakes_in_the_yaml_are_explained(tmp_path: Path, text: str, says: str) -> None:
    assert says in refusal(yaml_file(tmp_path, text), SOMEWHERE)


def test_a_missing_yaml_is_named() -> None:
    assert refusal("--config_path=/nowhere.yaml") == "--config_path: /nowhere.yaml does not exist"


def test_help_explains_every_option_with_its_default() -> None:
    text = in_fork(lambda: main(["--help"])).stdout
    config = GenerateConfig()
    for section in ("dataset", "output", "hub"):
        for name in vars(getattr(config, section)):
            explained = re.search(rf"  --{section}\.{name} .*?\(default:\s", text, re.DOTALL)
            assert explained and explained[0].count("--") == 1 and len(explained[0].split()) > 5


def test_help_tells_a_number_s_unit() -> None:
    text = in_fork(lambda: main(["--help"])).stdout
    words = " ".join(text.split())
    assert "frame rate that clips play at (default: 30; unit: frames per second)" in words
    assert "(default: 600; unit: seconds)" in words


# For each option, whether its value decides the bytes of rows and clips. One that is missing here is a question to
# whoever adds it: may rows made with two values of it stand in one dataset?
DECIDES_BYTES = {
    "dataset": {
        **{"dataset_path": False, "dataset_name": True, "tasks": False, "loader": False, "cameras": False},
        "mini_episodes": False,
    },
    "output": {
        "output_dir": False,
        "format": False,
        "max_trajectories": False,
        "max_frames": True,
        "frame_size": True,
        "shortest_edge_size": True,
        "resize": True,
        "center_crop": False,  # becomes a value of resize
        "use_video": True,
        "frames_video": False,  # a column that comes and goes
        "decode_scale": True,
        "fps": True,
        "crf": True,
        "actions": True,
        "action_representation": True,
        "wrist_axes": True,
        "max_frame_mismatch": True,
        "engine": False,
        "ray_address": False,
        "num_workers": False,
        "shard": False,
        "any_cpu": False,
        "episode_timeout_s": False,
        "fail_fast": False,
        "overwrite": False,
        "verbose": False,
    },
    "lerobot": {
        "version": True,
        "keys": True,
        "video": True,
        "fps": True,
        "codec": True,
        "crf": True,
        "gop": True,
        "horizons": False,  # only of a file that any run makes anew
        "hands": True,
    },
    "quality": {"filters": False},
    "hub": {
        "push_to_hub": False,
        "hub_repo_id": False,
        "hub_token": False,
        "private": False,
        "viewer_video": False,
        "packed": False,
    },
}


def test_each_option_says_whether_it_decides_the_bytes_of_the_result() -> None:
    config = GenerateConfig()
    answers = {
        section: {name: name in result_settings(options) for name in vars(options)}
        for section, options in vars(config).items()
    }
    assert answers == DECIDES_BYTES


def test_an_option_that_does_not_say_so_decides_them() -> None:
    """Forgotten, it makes a run be refused, which is noticed; it never mixes rows of two kinds."""

    @dataclass
    class Section:
        new: int = option(1, "an option of which nobody has asked")
        workers: int = option(2, "how many", decides_bytes=False)

    assert result_settings(Section(new=5)) == {"new": 5}


def test_a_list_is_not_shared_by_two_configurations() -> None:
    GenerateConfig().output.actions.remove("camera")
    assert "camera" in GenerateConfig().output.actions


def test_a_usage_error_is_one_line_and_exit_code_2_and_writes_nothing(tmp_path: Path) -> None:
    output = f"--output.output_dir={tmp_path / 'out'}"
    for arguments in (["--output.max_framez=3"], [SOMEWHERE], [f"--dataset.dataset_path={tmp_path}"]):
        run = in_fork(partial(main, [output, *arguments]))
        assert run.exit_code == 2
        assert run.stdout == ""
        assert run.stderr.count("\n") == 1 and run.stderr.startswith("Error: --")
    assert list(tmp_path.iterdir()) == []
