"""Folder, stored zip, deflated zip and http: the same dataset, byte for byte, or a clear error."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archives import DEFLATED, STORED, add_hole, pack
from dataset_reader import Dataset
from drawn_egodex import MiniEgoDex
from nginx_server import Nginx, nginx_serving
from range_server import Fault, RangeServer, serving

from dataset_upload.dataset_loaders.egodex.archive import list_episodes
from dataset_upload.errors import UsageError
from dataset_upload.generate_hf_dataset import main
from dataset_upload.language import check_model, text_encoder
from dataset_upload.selection import select_round_robin
from dataset_upload.storage import retries
from dataset_upload.storage.byte_source import take_fetched_bytes
from dataset_upload.storage.zip_archive import ZipMember
from egodex_loader import get_egodex_iterator

pytestmark = pytest.mark.slow

Files = dict[str, bytes]


def files_below(output_dir: Path) -> Files:
    """Everything that a run leaves but its ledger, which knows when, and what it left for later."""
    return {
        str(path.relative_to(output_dir)): path.read_bytes()
        for path in sorted(output_dir.rglob("*"))
        if path.is_file() and path.name != "ledger.jsonl" and ".work" not in path.parts
    }


@pytest.fixture(scope="module")
def archives(mini: MiniEgoDex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the mini EgoDex as test.zip (stored) and deflated/test.zip."""
    folder = tmp_path_factory.mktemp("archives")
    (folder / "deflated").mkdir()
    pack(mini.path, folder / "test.zip", STORED)
    pack(mini.path, folder / "deflated" / "test.zip", DEFLATED)
    return folder


@pytest.fixture(scope="module")
def from_folder(mini: MiniEgoDex, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """What the unpacked folder is converted to."""
    output_dir = tmp_path_factory.mktemp("from_folder")
    assert run(mini.path, output_dir) == 0
    return files_below(output_dir)


@pytest.fixture
def server(archives: Path) -> Iterator[RangeServer]:
    with serving(archives) as server:
        yield server


@pytest.fixture(scope="module")
def nginx(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx_serving(archives, tmp_path_factory.mktemp("nginx")) as nginx:
        yield nginx


@pytest.fixture(scope="module", autouse=True)
def sentence_model() -> None:
    """The sentence model, loaded once; skips where it is not available."""
    try:
        check_model()
    except UsageError as error:
        pytest.skip(str(error))
    text_encoder().encode("")


def run(source: str | Path, output_dir: Path, *options: str, name: str = "egodex_test", workers: int = 0) -> int:
    """The command in this process, with clips that cost little."""
    return main(
        [
            f"--dataset.dataset_path={source}",
            f"--dataset.dataset_name={name}",
            f"--output.output_dir={output_dir}",
            f"--output.num_workers={workers}",
            "--output.max_frames=3",
            *options,
        ]
    )


@pytest.mark.parametrize("zip_file", ["test.zip", "deflated/test.zip"], ids=["stored", "deflated"])
def test_a_local_archive_gives_the_dataset_of_its_folder(
    archives: Path, from_folder: Files, tmp_path: Path, zip_file: str
) -> None:
    assert run(archives / zip_file, tmp_path) == 0
    assert files_below(tmp_path) == from_folder


@pytest.mark.parametrize("zip_file", ["test.zip", "deflated/test.zip"], ids=["stored", "deflated"])
def test_an_archive_behind_nginx_gives_the_dataset_of_its_folder(
    nginx: Nginx, from_folder: Files, tmp_path: Path, zip_file: str
) -> None:
    before = len(nginx.requests())
    assert run(f"{nginx.url}/{zip_file}", tmp_path) == 0
    assert files_below(tmp_path) == from_folder
    assert len({connection for connection, _ in nginx.requests()[before:]}) <= 2


def test_several_workers_read_an_archive_behind_nginx(nginx: Nginx, from_folder: Files, tmp_path: Path) -> None:
    assert run(f"{nginx.url}/test.zip", tmp_path, workers=2) == 0
    assert files_below(tmp_path) == from_folder


def test_real_episodes_behind_nginx_give_the_dataset_of_their_folder(
    real_sample: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pack(real_sample, tmp_path / "part_sample.zip", DEFLATED)
    with nginx_serving(tmp_path, tmp_path_factory.mktemp("nginx_real")) as nginx:
        assert run(f"{nginx.url}/part_sample.zip", tmp_path / "remote", workers=2) == 0
    assert run(real_sample, tmp_path / "local", workers=2) == 0
    assert files_below(tmp_path / "remote") == files_below(tmp_path / "local")


def test_any_fsspec_url_gives_the_dataset_of_the_folder(archives: Path, from_folder: Files, tmp_path: Path) -> None:
    assert run(f"file://{archives}/test.zip", tmp_path) == 0
    assert files_below(tmp_path) == from_folder


def test_an_archive_in_an_fsspec_store_is_read_by_ranges(archives: Path, tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://egodex/test.zip", "wb") as file:
        file.write((archives / "test.zip").read_bytes())
    ids = [trajectory["id"] for trajectory in get_egodex_iterator("memory://egodex/test.zip")]
    assert ids == [trajectory["id"] for trajectory in get_egodex_iterator(archives / "test.zip")]


@pytest.mark.parametrize("url", ["memory://egodex/nothing.zip", "s4://bucket/test.zip", "file:///nowhere/test.zip"])
def test_an_fsspec_url_that_leads_nowhere_is_refused(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(url, tmp_path / "out") == 2
    assert re.fullmatch(rf"Error: --dataset\.dataset_path: {url} cannot be read \(.*\)\n", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_the_short_names_stand_for_egodex_own_archives(
    server: RangeServer, from_folder: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EGODEX_BASE_URL", server.url)
    assert run("egodex://test", tmp_path) == 0
    assert files_below(tmp_path) == from_folder


# How much is fetched


def test_12_episodes_out_of_2_gb_cost_their_own_bytes_and_the_directory(
    archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "test.zip"
    shutil.copy(archives / "test.zip", path)
    add_hole(path, "test/huge.bin", 2 * 2**30)
    with zipfile.ZipFile(path) as file:
        needed = path.stat().st_size - file.start_dir
    for episode in select_round_robin(list_episodes(str(path)), 12):
        if isinstance(episode.hdf5, ZipMember) and isinstance(episode.mp4, ZipMember):
            needed += episode.hdf5.compressed_size + episode.mp4.compressed_size
    assert needed > 1_500_000

    take_fetched_bytes()
    with serving(tmp_path) as server:
        assert run(f"{server.url}/test.zip", tmp_path / "out", "--output.max_trajectories=12") == 0
    assert server.body_bytes < 1.1 * needed
    fetched = f"{server.body_bytes / 1e6:.1f} MB of {path.stat().st_size / 1e6:.1f} MB of archives (0.2%)"
    assert f"Fetched: {fetched}" in capsys.readouterr().out.splitlines()


def test_a_pair_that_lies_together_costs_one_request(server: RangeServer, tmp_path: Path) -> None:
    assert run(f"{server.url}/deflated/test.zip", tmp_path, "--output.max_trajectories=5") == 0
    assert len(server.requests) == 2 + 5  # what the server has, the directory, the pairs


def test_only_the_chosen_tasks_are_touched(server: RangeServer, archives: Path, tmp_path: Path) -> None:
    assert run(f"{server.url}/test.zip", tmp_path, "--dataset.tasks=[open_*, add_remove_lid]") == 0
    episodes = list_episodes(str(archives / "test.zip"))
    chosen = [episode for episode in episodes if episode.task_name.startswith(("open_", "add_remove_lid"))]
    assert 0 < len(chosen) < len(episodes)
    for request in server.requests[2:]:
        assert any(
            isinstance(file, ZipMember) and file.start == request.start
            for episode in chosen
            for file in (episode.hdf5, episode.mp4)
        )


def test_a_run_that_has_nothing_to_do_reads_only_the_directory(
    server: RangeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{server.url}/test.zip", tmp_path) == 0
    before = len(server.requests)
    assert run(f"{server.url}/test.zip", tmp_path) == 0
    assert len(server.requests) - before == 2


# When something goes wrong


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.0)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda number: Fault(cut_at=0.5), id="every answer is cut"),
        pytest.param(lambda number: Fault(status=503) if number % 3 else None, id="two of three are refused"),
        pytest.param(lambda number: Fault(status=429, headers={"Retry-After": "0"}) if number % 2 else None, id="429"),
        pytest.param(lambda number: Fault(without=("Content-Range",)) if number % 2 else None, id="no Content-Range"),
        pytest.param(lambda number: Fault(headers={"Content-Length": "50000"}) if number > 1 else None, id="too short"),
        pytest.param(
            lambda number: Fault(headers={"Content-Length": "9999999"}) if number > 1 else None, id="too long"
        ),
    ],
)
def test_what_passes_costs_nothing(
    server: RangeServer,
    from_folder: Files,
    tmp_path: Path,
    no_pauses: None,
    fault: Callable[[int], Fault | None],
) -> None:
    server.fault = fault
    assert run(f"{server.url}/test.zip", tmp_path) == 0
    assert files_below(tmp_path) == from_folder


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "from_the_sixth_on, says",
    [
        (Fault(headers={"ETag": '"another"'}), "has changed while it was being read"),
        (Fault(whole_file=True), "its server ignores range requests"),
        (Fault(status=404), "the server answers 404"),
    ],
)
def test_what_will_not_pass_stops_the_run_in_one_line_and_the_next_goes_on(
    server: RangeServer,
    from_folder: Files,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    workers: int,
    from_the_sixth_on: Fault,
    says: str,
) -> None:
    server.fault = lambda number: from_the_sixth_on if number > 5 else None
    assert run(f"{server.url}/test.zip", tmp_path, workers=workers) == 3
    (line,) = (line for line in capfd.readouterr().err.splitlines() if line.startswith("Stopped: "))
    assert says in line

    server.fault = lambda number: None
    assert run(f"{server.url}/test.zip", tmp_path, workers=workers) == 0
    assert files_below(tmp_path) == from_folder


def test_bytes_that_are_damaged_on_the_way_cost_only_their_episode_and_that_only_until_the_next_run(
    server: RangeServer, from_folder: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fault = lambda number: Fault(flipped=True) if number in (4, 6) else None
    assert run(f"{server.url}/test.zip", tmp_path) == 1
    captured = capsys.readouterr()
    assert captured.err.count("damaged in the archive") == 2
    assert "Failed:  2 (2 unreadable source)" in captured.out

    assert run(f"{server.url}/test.zip", tmp_path) == 0
    assert files_below(tmp_path) == from_folder


def test_a_server_that_ignores_ranges_is_refused_in_one_line_before_anything_is_written(
    server: RangeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fault = lambda number: Fault(whole_file=True)
    assert run(f"{server.url}/test.zip", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"Error: --dataset\.dataset_path: .* ignores range requests; download the file .*\n", error)
    assert not (tmp_path / "out").exists()


# Several parts


def test_several_archives_become_one_dataset(mini: MiniEgoDex, tmp_path: Path) -> None:
    for part in ("part1", "part2"):
        pack(mini.path, tmp_path / f"{part}.zip", root=part)
    paths = f"[{tmp_path}/part1.zip, {tmp_path}/part2.zip]"
    assert run(paths, tmp_path / "listed", "--dataset.tasks=open_*") == 0
    assert run(f"{tmp_path}/part*.zip", tmp_path / "matched", "--dataset.tasks=open_*") == 0
    assert files_below(tmp_path / "listed") == files_below(tmp_path / "matched")
    rows = Dataset(tmp_path / "listed").rows
    assert {row["part"] for row in rows} == {"part1", "part2"}
    assert all(row["source"] == f"{row['part']}/{row['task_name']}/{row['source'].split('/')[2]}" for row in rows)
