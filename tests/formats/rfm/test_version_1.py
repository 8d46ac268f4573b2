"""Datasets of schema version 1, as the one of drawn episodes in tests/data/version_1, stay in use beside newer ones."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from conversions import NAME, fork_convert
from drawn_egodex import tiny_egodex
from hub_client import REPO, Client, remote_files
from hub_server import HubServer
from output_folder import identities
from project import PROJECT

from dataset_upload.formats.rfm.hub_tables import write_viewer_tables
from dataset_upload.formats.rfm.packed_tables import write_packed_tables
from dataset_upload.validate_dataset import main as validate_dataset

V1 = "egodex_v1"
FIXTURE = PROJECT / "tests" / "data" / "version_1"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source") / "test"
    tiny_egodex(source, episodes=2)
    return source


@pytest.fixture(scope="module")
def both(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with a dataset of version 1, to which a run has added one of version 2. Not to be changed."""
    output_dir = shutil.copytree(FIXTURE, tmp_path_factory.mktemp("both") / "out")
    before = identities(output_dir)
    assert fork_convert(source, output_dir).exit_code == 0
    after = identities(output_dir)
    assert {name: after[name] for name in before if name != "README.md"} == {
        name: state for name, state in before.items() if name != "README.md"
    }
    return output_dir


def test_it_loads_beside_one_of_version_2(both: Path, tmp_path: Path) -> None:
    versions = {}
    for name in (V1, NAME):
        for config in (name, f"{name}_hands"):
            loaded = datasets.load_dataset(str(both), config, split="train", cache_dir=str(tmp_path))
            assert len(loaded) == 2
            if config == name:
                versions[name] = set(loaded["schema_version"])
    assert versions == {V1: {1}, NAME: {2}}


def test_the_card_lists_both_and_says_what_the_older_lacks(both: Path) -> None:
    card = (both / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \| 2 \|", card, re.MULTILINE) == [NAME, V1]
    new = sorted(
        set(pq.read_schema(both / NAME / "train-00000-of-00001.parquet").names)
        - set(pq.read_schema(both / V1 / "train-00000-of-00001.parquet").names)
    )
    (told,) = re.findall(r"^\| schema_version \| of these columns; (.*) are new in 2 \|$", card, re.MULTILINE)
    assert sorted(told.split(", ")) == new


@pytest.mark.parametrize("name", [V1, NAME])
def test_it_passes_every_check(both: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate_dataset([str(both), "--name", name]) == 0, capsys.readouterr().out


def test_rows_of_another_version_than_the_dataset_s_do_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    path = tmp_path / V1 / "conversion.json"
    for version, failed in ((2, {"column_types", "data_sources"}), (3, {"column_types", "data_sources"})):
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": version}))
        assert validate_dataset([str(tmp_path), "--json"]) == 1
        checks = json.loads(capsys.readouterr().out)["checks"]
        assert {check["check"] for check in checks if check["outcome"] == "fail"} == failed


def test_a_run_into_it_touches_nothing_and_says_what_to_do(source: Path, tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    before = identities(tmp_path)
    run = fork_convert(source, tmp_path, name=V1)
    assert run.exit_code == 2
    assert run.stderr == (
        f"Error: {tmp_path}/{V1} was made by an earlier version, whose rows have fewer columns: it can be read, "
        "checked, pushed and trained on as it is, but not added to; give another --dataset.dataset_name, or "
        "--output.overwrite=true to convert everything again\n"
    )
    assert identities(tmp_path) == before


def test_overwrite_converts_it_again(source: Path, both: Path, tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    assert fork_convert(source, tmp_path, "--output.overwrite=true", name=V1).exit_code == 0
    table = pq.read_table(tmp_path / V1 / "train-00000-of-00001.parquet")
    assert table.column_names == pq.read_schema(both / NAME / "train-00000-of-00001.parquet").names
    assert set(table["schema_version"].to_pylist()) == {2}


# On the Hub ------------------------------------------------------------------------------------------------


def test_it_is_pushed_into_a_repo_with_one_of_version_2(
    hub: HubServer, client: Client, both: Path, tmp_path: Path
) -> None:
    output_dir = shutil.copytree(both, tmp_path / "out")
    for name in (V1, NAME):
        run = client.push(output_dir / name)
        assert run.exit_code == 0, run.stderr
    files = remote_files(hub)
    assert {name.split("/")[0] for name in files} == {"README.md", V1, NAME}
    card = files["README.md"].decode()
    assert re.findall(r"^\| `(\w+)` \| 2 \|", card, re.MULTILINE) == [NAME, V1]
    assert f'load_dataset("{REPO}"' in card


@pytest.mark.parametrize("name", [V1, NAME])
@pytest.mark.parametrize("packed", [False, True], ids=["viewer", "packed"])
def test_tables_with_a_column_of_clips_keep_all_else(both: Path, tmp_path: Path, name: str, packed: bool) -> None:
    if packed:
        write_packed_tables(both / name, tmp_path / "tables", use_video=True)
    else:
        write_viewer_tables(both / name, tmp_path / "tables", repo_id=REPO)
    before = pq.read_table(both / name / "train-00000-of-00001.parquet")
    after = pq.read_table(tmp_path / "tables" / "train-00000-of-00001.parquet")
    assert after.column_names == [*before.column_names[:8], "video", *before.column_names[8:]]
    assert after.drop_columns("video").to_pylist() == before.to_pylist()


# In training -----------------------------------------------------------------------------------------------


def test_a_family_may_have_both(both: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    from reward_model.data import load_rows, read_clip

    output_dir = shutil.copytree(both, tmp_path / "out")
    path = output_dir / NAME / "conversion.json"  # says that its episodes were drawn, which version 1 could not
    description = json.loads(path.read_text())
    path.write_text(json.dumps({**description, "counts": {**description["counts"], "drawn": 0}}))
    rows = load_rows(f"{output_dir}/egodex")
    names: list[Any] = [row.frames[0].split("/")[0] for row in rows.rows]
    assert sorted(names) == [NAME, NAME, V1, V1]
    assert all(len(read_clip(rows.clip_files(number))) >= 4 for number in range(4))
