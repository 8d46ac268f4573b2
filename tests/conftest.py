"""What the tests stand on: a small EgoDex, real episodes where there are some, and the command as users run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from hub_client import Client, copy_of_converted
from hub_server import HubServer
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from project import PROJECT, REAL_SAMPLE

from dataset_upload.language import LanguageModelError, find_model_files
from dataset_upload.mini_egodex.part import EpisodeRecord, make_mini_egodex

# However slow the machine is, or busy with other tests: that fails none.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A shell that starts the tests in the background ignores Ctrl-C for all of them; the commands under test must not.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Irregular, but no reason to fail: these episodes are converted, or skipped and counted.
HARMLESS = (
    "missing_confidences",
    "old_release",
    "missing_mp4",
    "missing_hdf5",
    "row0_repeated",
    "description_unavailable",
    "no_description",
    "number_gap",
    "macos_litter",
)


class MiniEgoDex(NamedTuple):
    """A part folder of drawn episodes, and what was drawn, by episode key."""

    path: Path
    records: dict[str, EpisodeRecord]

    def with_irregularity(self, name: str) -> EpisodeRecord:
        (record,) = (record for record in self.records.values() if record.irregularity == name)
        return record


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> MiniEgoDex:
    """8 normal episodes of 6 tasks, 20 to 50 frames of 320x180, and one more for each harmless irregularity."""
    path = tmp_path_factory.mktemp("egodex") / "test"
    records = make_mini_egodex(path, episodes=8, size=(320, 180), frames=(20, 50), irregularities=HARMLESS)
    return MiniEgoDex(path, {record.key: record for record in records})


@pytest.fixture(scope="session")
def real_sample() -> Path:
    """The folder of five real episodes and one without its video; read only."""
    if not REAL_SAMPLE.is_dir():
        pytest.skip("no real episodes here: they may not be published, so they are not part of the project")
    return REAL_SAMPLE


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """An empty Hub on loopback."""
    with HubServer() as server:
        yield server


@pytest.fixture
def client(hub: HubServer, tmp_path: Path) -> Client:
    """Runs the real clients against that Hub."""
    return Client(hub, tmp_path / "home")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output folder in which the conversion of the three `hub_client.SUBSETS` is finished."""
    return copy_of_converted(tmp_path / "output")


class Run(NamedTuple):
    """One run of the command."""

    exit_code: int
    stdout: str
    stderr: str
    output_dir: Path

    @property
    def lines(self) -> list[str]:
        return (self.stdout + self.stderr).splitlines()


class Convert(Protocol):
    """Runs `python -m dataset_upload.generate_hf_dataset` in a process of its own."""

    def __call__(
        self,
        dataset_path: Path,
        output_dir: Path,
        *options: str,
        name: str = ...,
        workers: int = ...,
        exit_code: int = ...,
    ) -> Run: ...


@pytest.fixture(scope="session")
def command_environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Environment for runs of the command; skips where the sentence model's weights are not to be had."""
    try:
        find_model_files()
    except LanguageModelError as error:
        pytest.skip(str(error))
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    compiled_once = {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("pycache"))}
    return {**inherited, **compiled_once, "PYTHONPATH": str(PROJECT)}


@pytest.fixture(scope="session")
def convert(command_environment: Mapping[str, str]) -> Convert:
    """The command, run to its end; fails the test if it does not end with `exit_code`."""

    def run(
        dataset_path: Path,
        output_dir: Path,
        *options: str,
        name: str = "egodex_test",
        workers: int = 0,
        exit_code: int = 0,
    ) -> Run:
        command = command_line(dataset_path, output_dir, *options, name=name, workers=workers)
        done = subprocess.run(
            command, cwd=PROJECT, env=command_environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == exit_code, done.stdout + done.stderr
        return Run(done.returncode, done.stdout, done.stderr, output_dir)

    return run


def command_line(
    dataset_path: Path, output_dir: Path, *options: str, name: str = "egodex_test", workers: int = 0
) -> Sequence[str]:
    return [
        *(sys.executable, "-m", "dataset_upload.generate_hf_dataset"),
        f"--dataset.dataset_path={dataset_path}",
        f"--dataset.dataset_name={name}",
        f"--output.output_dir={output_dir}",
        f"--output.num_workers={workers}",
        *options,
    ]


class Dataset:
    """A finished dataset, read without our own code or the `datasets` library."""

    def __init__(self, output_dir: Path, name: str = "egodex_test") -> None:
        self.output_dir = output_dir
        self.folder = output_dir / name
        self.rows = _read_rows(self.folder)
        self.hands = {row["id"]: row for row in _read_rows(self.folder / "hands")}

    def row(self, source: str) -> dict[str, Any]:
        """The row of an episode key."""
        (row,) = (row for row in self.rows if row["source"] == source)
        return row

    def clip(self, row: Mapping[str, Any]) -> list[NDArray[np.uint8]]:
        """The (H, W, 3) RGB frames of a row's clip."""
        paths = [row["frames"]] if isinstance(row["frames"], str) else row["frames"]
        return [frame for path in paths for frame in decode_all(self.output_dir / path)]


def _read_rows(folder: Path) -> list[dict[str, Any]]:
    shards = sorted(folder.glob("train-*.parquet"))
    rows: list[dict[str, Any]] = [row for shard in shards for row in pq.ParquetFile(shard).read().to_pylist()]
    return rows


def decode_all(video: Path) -> list[NDArray[np.uint8]]:
    """All frames, (H, W, 3) RGB, of a video or picture, decoded from start to end."""
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]  # type: ignore[misc]


@pytest.fixture(scope="session")
def converted(mini: MiniEgoDex, convert: Convert, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The mini EgoDex, converted with every option at its default. Not to be changed."""
    run = convert(mini.path, tmp_path_factory.mktemp("converted"))
    return Dataset(run.output_dir)
