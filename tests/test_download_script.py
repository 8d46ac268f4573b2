"""The script that downloads parts of EgoDex and converts them, with a server that has small ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from archives import DEFLATED, pack
from commands import Run
from dataset_reader import Dataset
from drawn_egodex import MiniEgoDex
from project import PROJECT
from range_server import Fault, RangeServer, serving

from dataset_upload.dataset_loaders.egodex.archive import PARTS

SCRIPT = PROJECT / "dataset_upload" / "data_scripts" / "egodex" / "download_and_convert.sh"
CHEAP = ("--output.max_frames=2", "--output.num_workers=0", "--dataset.tasks=[open_*]")

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

# In the place of Python: notes its arguments and the size of the zip, then ends as it is told to.
PRETENDER = """
echo "$@" >> "{folder}/calls"
mkdir -p out/egodex_test && touch out/egodex_test/conversion.json
exit $(cat "{folder}/exit_code")
"""


@pytest.fixture
def server(mini: MiniEgoDex, tmp_path: Path) -> Iterator[RangeServer]:
    (tmp_path / "server").mkdir()
    pack(mini.path, tmp_path / "server" / "test.zip", DEFLATED)
    with serving(tmp_path / "server") as server:
        yield server


class Script:
    """The script in a folder of its own, with a converter that only pretends."""

    def __init__(self, folder: Path, server: RangeServer) -> None:
        self.folder = folder
        self.exit_code = 0
        pretender = folder / "pretender.sh"
        pretender.write_text(PRETENDER.format(folder=folder))
        self.environment = {
            **commands.environment(),
            "EGODEX_BASE_URL": server.url,
            "DATASET_UPLOAD_PYTHON": f"bash {pretender}",
            "no_proxy": "127.0.0.1",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        (self.folder / "exit_code").write_text(str(self.exit_code))
        given = ("--data-dir", "data", "--output-dir", "out", *arguments)
        return commands.start(SCRIPT, *given, program="bash", cwd=self.folder, env=self.environment)

    def run(self, *arguments: str) -> Run:
        return commands.end(self.start(*arguments))

    @property
    def calls(self) -> list[str]:
        """The converter's arguments, each time."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def zip(self) -> Path:
        return self.folder / "data" / "test.zip"


@pytest.fixture
def script(tmp_path: Path, server: RangeServer) -> Script:
    return Script(tmp_path, server)


@pytest.fixture
def whole(server: RangeServer) -> bytes:
    return (server.folder / "test.zip").read_bytes()


def test_a_part_is_downloaded_and_converted_from_its_zip(script: Script, whole: bytes) -> None:
    run = script.run()
    assert run.exit_code == 0, run.stderr
    assert script.zip.read_bytes() == whole
    (call,) = script.calls
    assert "--dataset.dataset_path=data/test.zip" in call
    assert "--dataset.dataset_name=egodex_test --output.output_dir=out" in call


def test_what_stands_behind_two_dashes_goes_to_the_converter(script: Script) -> None:
    script.run("test", "--", "--output.max_trajectories=-1", "--dataset.tasks=[a, b]")
    assert script.calls[0].endswith("--output.output_dir=out --output.max_trajectories=-1 --dataset.tasks=[a, b]")


def test_an_interrupted_download_goes_on_where_it_was(script: Script, server: RangeServer, whole: bytes) -> None:
    script.zip.parent.mkdir()
    script.zip.with_suffix(".zip.part").write_bytes(whole[:100_000])
    assert script.run().exit_code == 0
    assert script.zip.read_bytes() == whole
    assert server.body_bytes == len(whole) - 100_000


def test_a_connection_that_is_cut_is_taken_up_again(script: Script, server: RangeServer, whole: bytes) -> None:
    server.fault = lambda number: Fault(cut_at=0.5) if number in (1, 2) else None
    assert script.run().exit_code == 0
    assert script.zip.read_bytes() == whole
    assert server.body_bytes == len(whole)


def test_a_download_that_somebody_else_has_begun_goes_on(script: Script, server: RangeServer, whole: bytes) -> None:
    script.zip.parent.mkdir()
    script.zip.write_bytes(whole[:100_000])
    assert script.run().exit_code == 0
    assert script.zip.read_bytes() == whole
    assert server.body_bytes == len(whole) - 100_000


def test_a_whole_zip_is_not_downloaded_again(script: Script, server: RangeServer) -> None:
    script.run()
    before = server.body_bytes
    assert script.run().exit_code == 0
    assert server.body_bytes == before
    assert len(script.calls) == 2


def test_a_whole_zip_is_enough_where_there_is_no_network(script: Script, server: RangeServer) -> None:
    script.run()
    server.fault = lambda number: Fault(status=404)
    assert script.run().exit_code == 0


def test_a_file_of_another_size_than_the_servers_is_not_converted(script: Script, whole: bytes) -> None:
    script.zip.parent.mkdir()
    script.zip.with_suffix(".zip.part").write_bytes(whole + b"more")
    run = script.run()
    assert run.exit_code == 2
    assert f"has {len(whole) + 4} bytes, the server says {len(whole)}" in run.stderr
    assert script.calls == []


def test_a_server_without_the_part_is_named(script: Script, server: RangeServer) -> None:
    run = script.run("part3")
    assert run.exit_code == 2
    assert run.stderr.startswith(f"Error: {server.url}/part3.zip: does not answer with a size")


def test_nothing_is_deleted_unless_told_to(script: Script) -> None:
    script.run()
    assert script.zip.exists()


def test_a_zip_is_deleted_after_success_and_the_next_run_knows_it(script: Script, server: RangeServer) -> None:
    assert script.run("--delete").exit_code == 0
    assert not script.zip.exists()
    before = len(server.requests)
    run = script.run("--delete")
    assert (run.exit_code, run.stdout) == (0, "test: converted and deleted earlier\n")
    assert len(server.requests) == before


def test_a_deleted_zip_is_downloaded_again_for_other_options(script: Script) -> None:
    script.run("--delete")
    script.run("--delete", "--", "--output.max_trajectories=-1")
    assert len(script.calls) == 2


@pytest.mark.parametrize("exit_code", [1, 2, 3, 130])
def test_a_zip_is_kept_when_its_conversion_was_not_a_success(script: Script, exit_code: int) -> None:
    script.exit_code = exit_code
    assert script.run("--delete").exit_code == exit_code
    assert script.zip.exists()


def test_failed_episodes_do_not_keep_the_next_part_from_being_converted(script: Script, server: RangeServer) -> None:
    shutil.copy(server.folder / "test.zip", server.folder / "part1.zip")
    script.exit_code = 1
    assert script.run("test", "part1").exit_code == 1
    assert len(script.calls) == 2


def test_a_stop_keeps_the_next_part_from_being_begun(script: Script) -> None:
    script.exit_code = 3
    assert script.run("test", "part1").exit_code == 3
    assert len(script.calls) == 1


def test_without_download_the_url_is_converted(script: Script, server: RangeServer) -> None:
    assert script.run("--no_download", "part2").exit_code == 0
    assert "--dataset.dataset_path=egodex://part2 " in script.calls[0]
    assert server.requests == []
    assert not (script.folder / "data").exists()


@pytest.mark.parametrize("arguments", [["part9"], ["--delet"], ["--data-dir"]])
def test_a_wrong_argument_is_refused_before_anything_happens(
    script: Script, server: RangeServer, arguments: list[str]
) -> None:
    run = script.run(*arguments)
    assert run.exit_code == 2
    assert run.stderr.startswith(f"Error: {arguments[0]}: ") and run.stderr.count("\n") == 1
    assert server.requests == []


def test_help_names_every_option_and_part(script: Script) -> None:
    run = script.run("--help")
    assert run.exit_code == 0
    for name in ("--data_dir", "--output_dir", "--delete", "--no_download", "EGODEX_BASE_URL", "test", "extra"):
        assert name in run.stdout


def test_the_script_and_the_converter_know_the_same_parts(script: Script) -> None:
    for part in PARTS:
        assert script.run("--no-download", part).exit_code == 0


def test_the_script_is_executable() -> None:
    assert os.access(SCRIPT, os.X_OK)


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    run = commands.run(SCRIPT, program="shellcheck")
    assert run.exit_code == 0, run.stdout


# With the real converter


@pytest.fixture
def parts(script: Script, server: RangeServer, mini: MiniEgoDex, sentence_model: None) -> Script:
    """part1 and part2 on the server, and the converter itself."""
    for part in ("part1", "part2"):
        pack(mini.path, server.folder / f"{part}.zip", root=part)
    python = {"DATASET_UPLOAD_PYTHON": sys.executable, "OPENBLAS_NUM_THREADS": "1"}
    script.environment |= python
    return script


def check_parts(script: Script) -> None:
    for part in ("part1", "part2"):
        rows = Dataset(script.folder / "out", f"egodex_{part}").rows
        assert len(rows) == 3 and {row["part"] for row in rows} == {part}
    card = (script.folder / "out" / "README.md").read_text()
    assert all(f"config_name: egodex_{part}\n" in card for part in ("part1", "part2"))


@pytest.mark.slow
def test_parts_in_sequence_into_one_folder(parts: Script) -> None:
    run = parts.run("part1", "part2", "--delete", "--", *CHEAP)
    assert run.exit_code == 0, run.stderr
    check_parts(parts)
    assert not list(parts.folder.glob("data/*.zip"))


@pytest.mark.slow
def test_parts_side_by_side_into_one_folder(parts: Script) -> None:
    runs = [parts.start("--no-download", part, "--", *CHEAP) for part in ("part1", "part2")]
    assert [commands.end(run).exit_code for run in runs] == [0, 0]
    check_parts(parts)
