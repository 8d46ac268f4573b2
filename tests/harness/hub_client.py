"""A user of the Hub: the commands, each in a process of its own, with the tests' Hub for the real one."""

from __future__ import annotations

import copy
import functools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import commands
from commands import Run
from conversions import MODULE, arguments, convert
from hub_server import WRITE_TOKEN, HubServer, Repo

from dataset_upload.mini_egodex.part import make_mini_egodex

SUBSETS = ("egodex_part1", "egodex_part2", "egodex_part3")
REPO = "alice/egodex_rfm"
QUICK = "--output.frame_size=32"


class Client:
    """A user at a machine of their own: a home folder, a token, a Hub."""

    def __init__(self, hub: HubServer, home: Path, **environment: str) -> None:
        self.home = home
        self.environment = {
            **environment_without_hub(),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(home / "huggingface"),
            "HF_TOKEN": WRITE_TOKEN,
            "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms",  # the Hub of the tests need not be spared
            **environment,
        }

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Begin a command, "python" with these arguments."""
        return commands.start(*arguments, env={**self.environment, **environment})

    def run(self, *arguments: object, **environment: str) -> Run:
        """Run it to its end."""
        return commands.run(*arguments, env={**self.environment, **environment})

    def hub(self, *arguments: object, **environment: str) -> Run:
        """Run `python -m dataset_upload.hub`."""
        return self.run("-m", "dataset_upload.hub", *arguments, **environment)

    def push(self, folder: Path, *options: str, repo: str = REPO, **environment: str) -> Run:
        return self.hub("--push", folder, repo, *options, **environment)

    def verify(self, folder: Path, *options: str, repo: str = REPO, **environment: str) -> Run:
        return self.hub("--verify", folder, repo, *options, **environment)

    def evaluate(self, code: str, **environment: str) -> Any:
        """What Python code prints as its last line, read as JSON."""
        run = self.run("-c", code, **environment)
        assert run.exit_code == 0, run.stderr
        return json.loads(run.stdout.splitlines()[-1])


@functools.cache
def _kept_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hub-tests-")


def environment_without_hub() -> dict[str, str]:
    """The environment of commands, without this machine's settings of the Hub."""
    return {name: value for name, value in commands.environment().items() if not name.startswith("HF_")}


@functools.cache
def mini_egodex() -> Path:
    """A folder with three parts of three small episodes each."""
    root = Path(_kept_folder().name) / "egodex"
    for seed in range(1, 4):
        make_mini_egodex(root / f"part{seed}", episodes=3, size=(96, 64), frames=12, seed=seed)
    return root


@functools.cache
def _converted(*options: str) -> Path:
    """An output folder with the three SUBSETS, or with options only the first, converted once for all tests."""
    output = Path(tempfile.mkdtemp(dir=_kept_folder().name))
    for number, name in enumerate(SUBSETS[: 1 if options else 3], start=1):
        convert(mini_egodex() / f"part{number}", output, QUICK, *options, name=name)
    return output


def conversion(dataset_path: Path, output: Path, name: str) -> list[str]:
    """What follows "python" for a conversion that takes little time."""
    return ["-m", MODULE, *arguments(dataset_path, output, QUICK, name=name)]


def copy_of_converted(target: Path, *options: str) -> Path:
    """Converted datasets in an output folder that a test may do anything to."""
    shutil.copytree(_converted(*options), target)
    return target


@functools.cache
def _pushed() -> Repo:
    with HubServer() as hub:
        run = Client(hub, Path(_kept_folder().name) / "home").push(_converted())
        assert run.exit_code == 0, run.stderr
        return hub.repos[REPO]


def put_pushed_repo(hub: HubServer) -> Repo:
    """Let a Hub hold the three converted datasets, as an earlier push has left them."""
    repo = hub.repos[REPO] = copy.deepcopy(_pushed())
    hub.objects.update({file.sha256: file.content for file in repo.files.values() if file.sha256 is not None})
    return repo


def local_files(output: Path) -> dict[str, bytes]:
    """What of an output folder belongs on the Hub."""
    here_only = {*output.glob("*/ledger.jsonl"), *output.glob("*/README.md")}
    files = [path for path in output.rglob("*") if path.is_file() and path not in here_only]
    names = {path: path.relative_to(output).as_posix() for path in files}
    return {name: path.read_bytes() for path, name in names.items() if not any(p[0] == "." for p in name.split("/"))}


def remote_files(hub: HubServer, repo: str = REPO) -> dict[str, bytes]:
    """What lies in a repo, without what the Hub itself puts there."""
    return {path: file.content for path, file in hub.repos[repo].files.items() if path != ".gitattributes"}
