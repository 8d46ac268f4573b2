"""All commands alike: how they take options, and how they end."""

from __future__ import annotations

import errno
import importlib
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import commands
import pytest
from commands import Run

from dataset_upload.console.command import command
from dataset_upload.errors import StoppedError, UsageError

COMMANDS = {  # module: arguments that are complete, and an option with its value
    "dataset_upload.generate_hf_dataset": ([], "--output.max_frames=8"),
    "dataset_upload.validate_dataset": (["folder"], "--sample_size=8"),
    "dataset_upload.visualize_dataset": (["folder"], "--max_samples=8"),
    "dataset_upload.hub.__main__": (["--push", "folder", "me/repo"], "--hub.viewer_video=true"),
    "dataset_upload.catalogue.__main__": (["folder", "out.parquet"], "--num_workers=8"),
    "dataset_upload.make_mini_egodex": (["folder"], "--episodes=8"),
    "reward_model.train": ([], "--training.batch_size=8"),
    "reward_model.eval": (["checkpoint", "dataset"], "--max_trajectories=8"),
}
every_command = pytest.mark.parametrize("name", COMMANDS)


def main_of(name: str) -> Callable[[list[str]], int]:
    main: Callable[[list[str]], int] = importlib.import_module(name).main
    return main


def help_of(name: str, *arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main_of(name)([*arguments, "--help"])
    assert not ended.value.code
    return capsys.readouterr().out


@every_command
def test_help_is_shown_whatever_stands_beside_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, option = COMMANDS[name]
    assert help_of(name, *arguments, option, capsys=capsys) == help_of(name, capsys=capsys)


@every_command
def test_help_lists_each_option_once_with_one_default(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    listed = re.split(r"\n  (?=-)", help_of(name, capsys=capsys))[1:]
    names = [re.findall(r"--[\w.-]+", entry.split("  ")[0])[0] for entry in listed]
    assert len(set(names)) == len(names) > 3
    assert not [name for name in names if "-" in name[2:]]
    assert all(entry.count("(default:") <= 1 for entry in listed)


@every_command
def test_hyphens_are_understood_as_underscores(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, option = COMMANDS[name]
    wrong = option.partition("=")[0] + "=wrong"
    for spelling in (wrong, wrong.replace("_", "-")):
        assert main_of(name)([*arguments, "--" + spelling[2:]]) == 2
        assert capsys.readouterr().err.startswith(f"Error: {wrong.partition('=')[0]}: 'wrong' ")


@every_command
def test_an_unknown_option_is_answered_by_the_one_that_is_like_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    option = COMMANDS[name][1].partition("=")[0]
    assert main_of(name)([f"{option}x=8"]) == 2
    assert capsys.readouterr().err == f"Error: {option}x: no such option; did you mean {option}?\n"


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("dataset_upload.validate_dataset", [], "FOLDER: missing; --help explains"),
        ("dataset_upload.validate_dataset", ["a", "b"], "b: one argument too many; --help lists what is understood"),
        ("dataset_upload.validate_dataset", ["a", "--name"], "--name: needs a value, like --name=…"),
        ("dataset_upload.validate_dataset", ["a", "--json=1"], "--json: takes no value"),
        ("dataset_upload.hub.__main__", ["--push", "a"], "--push: needs 2 values"),
        ("dataset_upload.hub.__main__", [], "one of --push --verify is needed; --help explains"),
        ("dataset_upload.visualize_dataset", ["a", "--report", "--rerun=b"], "--rerun: give it or --report, not both"),
        ("reward_model.eval", ["a", "b", "--rows=no"], "--rows: 'no' is none of 'held-out', 'all'"),
        ("dataset_upload.generate_hf_dataset", ["a"], "a: one argument too many; --help lists what is understood"),
        ("reward_model.train", ["--training.steps"], "--training.steps: needs a value, like --training.steps=…"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    name: str, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main_of(name)(arguments) == 2
    assert capsys.readouterr().err == f"Error: {says}\n"


@pytest.mark.parametrize(
    ("error", "exit_code", "line"),
    [
        (UsageError("--x: wrong"), 2, "Error: --x: wrong"),
        (StoppedError("The disk is full"), 3, "Stopped: The disk is full; go on"),
        (KeyboardInterrupt(), 130, "Interrupted: go on"),
        (MemoryError(), 3, "Stopped: out of memory; end other programs, or allow this one more (ulimit -v); go on"),
        (OSError(errno.EMFILE, "x", "y"), 3, "Stopped: too many open files; allow more (ulimit -n); go on"),
        (OSError(errno.EIO, "Input/output error", "a\nb"), 3, r"Stopped: a\nb: Input/output error; go on"),
        (ModuleNotFoundError("", name="rerun.x"), 2, "Error: rerun is not installed; start with uv run --extra rerun"),
        (ValueError("a\nb"), 3, "Stopped: unexpected ValueError: a b ("),
    ],
)
def test_every_end_is_one_line_with_its_exit_code(
    error: BaseException, exit_code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @command("go on")
    def main() -> int:
        raise error

    assert main() == exit_code
    assert capsys.readouterr().err.startswith(line)


def run_limited(limit: str, module: str, *arguments: object) -> Run:
    """Run a command under a limit, as `ulimit` takes it."""
    script = f'ulimit {limit} && exec "$0" "$@"'
    return commands.run("-c", script, sys.executable, "-m", module, *arguments, program="bash")


def test_a_limit_on_memory_that_libraries_do_not_survive_is_named() -> None:
    run = run_limited("-v 600000", "dataset_upload.make_mini_egodex", "/nowhere")
    assert run.exit_code == 2
    assert re.fullmatch(r"Error: ulimit -v allows 614 MB [^\n]* ulimit -v 2500000\n", run.stderr)


@pytest.mark.parametrize("limit", [5, 8, 12])
def test_a_limit_on_open_files_is_named(limit: int, tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "conversion.json").write_text("{}")
    run = run_limited(f"-n {limit}", "dataset_upload.validate_dataset", tmp_path)
    assert run.exit_code in (1, 3)
    assert "Traceback" not in run.stderr and run.stderr.count("\n") <= 1


def test_of_processes_that_train_together_one_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert main_of("reward_model.train")(["--training.steps=0"]) == 2
    assert capsys.readouterr().err == ""


# Runs a module as `python -m` does, and is struck by a signal as it begins to import another one.
STRUCK = """
import os, runpy, sys
module, struck, number, *sys.argv[1:] = sys.argv[1:]

class Strike:
    def find_spec(self, name, path=None, target=None):
        if name == struck:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(number))

sys.meta_path.insert(0, Strike())
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("module", "struck"),
    [
        ("dataset_upload.generate_hf_dataset", "dataset_upload.config"),
        ("dataset_upload.generate_hf_dataset", "pyarrow"),
        ("dataset_upload.validate_dataset", "argparse"),
        ("dataset_upload.visualize_dataset", "numpy"),
        ("dataset_upload.hub", "huggingface_hub"),
        ("dataset_upload.catalogue", "pyarrow"),
        ("dataset_upload.make_mini_egodex", "h5py"),
        ("train", "reward_model.config"),
        ("eval", "argparse"),
    ],
)
def test_an_interrupt_while_a_command_is_still_loading_is_one_line(module: str, struck: str, number: int) -> None:
    arguments = {
        "dataset_upload.generate_hf_dataset": ["--dataset.dataset_path=/nowhere"],
        "dataset_upload.hub": ["--push", "/nowhere", "me/repo"],
        "dataset_upload.catalogue": ["/nowhere", "out.parquet"],
    }.get(module, ["/nowhere"])
    run = commands.run("-c", STRUCK, module, struck, int(number), *arguments)
    assert run.exit_code == 130
    assert re.fullmatch(r"Interrupted: [^\n]+\n", run.stderr)
