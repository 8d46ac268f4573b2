"""Fixtures that many files of tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import run
from conversions import MODULE, arguments, convert_toy_arm, skip_without_sentence_model
from dataset_reader import Dataset
from drawn_egodex import MiniEgoDex, draw_mini_egodex
from hub_client import Client, copy_of_converted
from hub_server import HubServer
from hypothesis import HealthCheck, settings
from made_up_tables import Tables
from project import REAL_SAMPLE
from toy_loader import write_toy_arm

from dataset_upload.formats.rfm import shards

# However slow the machine is, or busy with other tests: that fails none.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A shell that starts the tests in the background ignores Ctrl-C for all of them; the commands under test must not.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> MiniEgoDex:
    """`draw_mini_egodex`. Not to be changed."""
    return draw_mini_egodex(tmp_path_factory.mktemp("egodex") / "test")


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


@pytest.fixture(scope="session")
def sentence_model() -> None:
    """For tests that start conversions themselves: they are skipped where its weights are not available."""
    skip_without_sentence_model()


@pytest.fixture(scope="session")
def toy_arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes without hands or camera, for `toy_loader`. Not to be changed."""
    return write_toy_arm(tmp_path_factory.mktemp("toy") / "arm")


@pytest.fixture(scope="session")
def converted_arm(toy_arm: Path, sentence_model: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with the dataset `arm` made of them. Not to be changed."""
    output_dir = tmp_path_factory.mktemp("converted_arm")
    ended = convert_toy_arm(toy_arm, output_dir)
    assert ended.exit_code == 0, ended.stderr
    return output_dir


@pytest.fixture(scope="session")
def converted(mini: MiniEgoDex, sentence_model: None, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The mini EgoDex, converted by the command itself with every option at its default. Not to be changed."""
    output_dir = tmp_path_factory.mktemp("converted")
    ended = run("-m", MODULE, *arguments(mini.path, output_dir))
    assert ended.exit_code == 0, ended.stderr
    return Dataset(output_dir)


@pytest.fixture
def new_tables(tmp_path: Path) -> Iterator[Callable[[], Tables]]:
    """Makes tables in a folder of their own, each time it is called."""
    folders = iter(tmp_path / str(number) for number in range(1000))
    yield lambda: Tables(next(folders))


@pytest.fixture
def tables(new_tables: Callable[[], Tables]) -> Tables:
    return new_tables()


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row a shard instead of 500 MB."""
    monkeypatch.setattr(shards, "_ROWS_PER_GROUP", 1)
    monkeypatch.setattr(shards, "_SHARD_BYTES", 1)
