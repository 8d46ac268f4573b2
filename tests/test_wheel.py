"""What `uv build` makes, installed beside nothing of the checkout, works from any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import commands
import pytest
from archives import pack
from dataset_reader import Dataset
from drawn_egodex import MiniEgoDex
from project import PROJECT
from range_server import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed: pip install uv"),
]

SCRIPTS = tuple(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"])


class Installed:
    """An environment with the wheel, and an empty folder to be in."""

    def __init__(self, environment: Path, folder: Path, variables: Mapping[str, str]) -> None:
        self.bin = environment / "bin"
        self.package = next(environment.glob("lib/python*/site-packages/dataset_upload"))
        self.folder = folder
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        ours = ("PYTHONPATH", "VIRTUAL_ENV", "DATASET_UPLOAD_PYTHON")
        self.variables = {**{key: value for key, value in variables.items() if key not in ours}, "PATH": path}

    def run(self, *command: str | Path, exit_code: int = 0, **variables: str) -> str:
        """Run to the end; returns what it said."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == exit_code, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in an environment of its own; what it depends on is that of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "environment"
    for arguments in (
        ["build", "--out-dir", str(folder), str(PROJECT)],
        ["venv", "--python", sys.executable, str(environment)],
    ):
        subprocess.run(["uv", "--quiet", *arguments], check=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    install = ["pip", "install", "--no-deps", "--python", str(environment), str(wheel)]
    subprocess.run(["uv", "--quiet", *install], check=True, timeout=300)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return environment


@pytest.fixture
def installed(environment: Path, tmp_path: Path) -> Installed:
    return Installed(environment, tmp_path, commands.environment())


@pytest.fixture
def server(mini: MiniEgoDex, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that has test.zip."""
    folder = tmp_path_factory.mktemp("server")
    pack(mini.path, folder / "test.zip")
    with serving(folder) as server:
        yield server.url


def test_the_wheel_has_what_is_not_python_too(environment: Path) -> None:
    (site,) = environment.glob("lib/python*/site-packages")
    packages = (site / "dataset_upload", site / "reward_model")
    data = {str(path.relative_to(site)) for package in packages for path in package.rglob("*.*")}
    for name in ("dataset_upload/py.typed", "reward_model/py.typed", "reward_model/configs/fsdp.yaml"):
        assert name in data
    ours = (path for path in (PROJECT / "dataset_upload").rglob("*.*") if path.parent.name != "__pycache__")
    assert {str(path.relative_to(PROJECT)) for path in ours} <= data


def test_the_demo_converts_and_validates_from_an_empty_folder(installed: Installed) -> None:
    said = installed.run(
        "egodex-convert", "--config_path=egodex_demo.yaml", "--dataset.mini_episodes=2", "--output.num_workers=1"
    )
    assert "Done:    2\n" in said
    assert len(Dataset(installed.folder / "egodex_demo_dataset", "egodex_demo").rows) == 2
    installed.run("egodex-validate", "egodex_demo_dataset")


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_console_script_shows_its_help_by_its_own_name(installed: Installed, script: str) -> None:
    assert installed.run(script, "--help").startswith(f"usage: {script} ")


def test_the_training_options_are_found_by_name(installed: Installed) -> None:
    said = installed.run("egodex-train", "--config_path=config.yaml", "--training.steps=0", exit_code=2)
    assert said.startswith("Error: --training.steps: 0 must be from 1")


def test_a_file_of_that_name_in_the_folder_comes_first(installed: Installed) -> None:
    (installed.folder / "egodex_demo.yaml").write_text("output: {max_frames: 0}\n")
    said = installed.run("egodex-convert", "--config_path=egodex_demo.yaml", "--dataset.dataset_path=x", exit_code=2)
    assert said.startswith("Error: --output.max_frames: 0 must be")


def test_the_download_script_converts_with_the_environments_python(installed: Installed, server: str) -> None:
    script = installed.package / "data_scripts" / "egodex" / "download_and_convert.sh"
    options = ("--output.max_trajectories=1", "--output.max_frames=2", "--output.num_workers=0")
    installed.run("bash", script, "--no_download", "--output_dir=out", "--", *options, EGODEX_BASE_URL=server)
    assert len(Dataset(installed.folder / "out").rows) == 1


def test_the_download_script_names_a_python_without_the_package(installed: Installed) -> None:
    script = installed.package / "data_scripts" / "egodex" / "download_and_convert.sh"
    other = installed.folder / "bin"
    other.mkdir()
    (other / "python").symlink_to(shutil.which("false") or "/bin/false")
    said = installed.run("bash", script, exit_code=2, PATH=f"{other}:/usr/bin:/bin")
    assert said.startswith("Error: python: finds no dataset_upload; ") and said.count("\n") == 1
