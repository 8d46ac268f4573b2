"""The tables that are made for the Hub: clips inside them, or pointers that its viewer plays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
from hub_client import REPO, SUBSETS, Client, copy_of_converted, put_pushed_repo, remote_files
from hub_server import HubServer
from project import PROJECT

from dataset_upload.config import HubConfig
from dataset_upload.errors import StoppedError
from dataset_upload.formats.rfm import packed_tables, push_plan, shards
from dataset_upload.formats.rfm.packed_tables import write_packed_tables
from dataset_upload.hub.access import HubRepo
from dataset_upload.hub.files import as_pushed

pytestmark = pytest.mark.slow

NAME = SUBSETS[0]
LOADED = f"""
import json
from datasets import load_dataset
dataset = load_dataset({REPO!r}, {NAME!r}, split="train")
print(json.dumps([list(dataset.features), repr(dataset.features.get("video") or dataset.features.get("images")),
                  [[row["frames"], row.get("video", {{}}).get("path")] for row in dataset]]))
"""


def rows(folder: Path) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(sorted(folder.glob("train-*.parquet"))).to_pylist()
    return table


def unpack_by_the_guide(client: Client, cwd: Path) -> None:
    """Run the code that docs/publishing.md prints for unpacking."""
    guide = (PROJECT / "docs" / "publishing.md").read_text()
    (code,) = (block.split("```")[0] for block in guide.split("```python\n") if "write_bytes" in block)
    code = code.replace("OWNER/egodex_rfm", REPO).replace("egodex_test", NAME)
    run = client.run("-c", f"import os; os.chdir({str(cwd)!r})\n{code}")
    assert run.exit_code == 0, run.stderr


def test_the_viewer_gets_pointers_to_the_clips(hub: HubServer, client: Client, output: Path) -> None:
    run = client.push(output / NAME, "--hub.viewer_video=true")
    assert run.exit_code == 0, run.stderr
    columns, feature, paths = client.evaluate(LOADED)
    assert columns[:9] == [*pq.read_schema(output / NAME / "train-00000-of-00001.parquet").names[:8], "video"]
    assert feature.startswith("Video(decode=False")
    assert [frames for frames, _ in paths] == [row["frames"] for row in rows(output / NAME)]
    assert all(path == f"hf://datasets/{REPO}@main/{frames}" for frames, path in paths)
    assert {frames for frames, _ in paths} <= remote_files(hub).keys()


def test_a_push_is_verified_against_the_tables_that_were_made_for_it(
    hub: HubServer, client: Client, output: Path
) -> None:
    put_pushed_repo(hub)
    before = sorted(output.rglob("*"))
    assert client.push(output / NAME, "--hub.viewer_video=true").exit_code == 0
    assert sorted(output.rglob("*")) == before
    with_pointers = client.verify(output / NAME, "--hub.viewer_video=true")
    assert with_pointers.exit_code == 0
    without = client.verify(output / NAME)
    assert without.exit_code == 1
    assert "Verified: 1 of 7 files" in without.last_line


def test_packed_tables_hold_the_clips(hub: HubServer, client: Client, output: Path, tmp_path: Path) -> None:
    put_pushed_repo(hub)
    run = client.push(output / NAME, "--hub.packed=true")
    assert run.exit_code == 0, run.stderr
    assert not [path for path in remote_files(hub) if path.startswith(f"{NAME}/batch_")]
    table = f"{NAME}/train-00000-of-00001.parquet"
    (tmp_path / "train-0.parquet").write_bytes(remote_files(hub)[table])
    packed, plain = rows(tmp_path), rows(output / NAME)
    videos = [row.pop("video") for row in packed]
    assert packed == plain
    for row, video in zip(plain, videos, strict=True):
        assert video == {"bytes": (output / row["frames"]).read_bytes(), "path": row["frames"]}

    unpack_by_the_guide(client, tmp_path)
    for row in plain:
        assert (tmp_path / "egodex_dataset" / row["frames"]).read_bytes() == (output / row["frames"]).read_bytes()


def test_packed_tables_are_cut_into_shards(output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_SHARD_BYTES", 5_000)  # instead of 500 MB: each row is larger
    monkeypatch.setattr(shards, "_BYTES_PER_GROUP", 1)
    write_packed_tables(output / NAME, tmp_path / "tables", use_video=True)
    written = sorted((tmp_path / "tables").glob("*.parquet"))
    assert [shard.name for shard in written] == [f"train-{number:05d}-of-00003.parquet" for number in range(3)]
    assert [row["frames"] for row in rows(tmp_path / "tables")] == [row["frames"] for row in rows(output / NAME)]


def cut_into_shards(folder: Path, count: int) -> None:
    """Have a dataset's main table lie in several shards."""
    path = folder / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    path.unlink()
    for number in range(count):
        rows_of_shard = table.slice(number * len(table) // count, len(table) // count)
        pq.write_table(rows_of_shard, folder / f"train-{number:05d}-of-{count:05d}.parquet")


@pytest.mark.parametrize("num_cores", [1, 4])
def test_packed_shards_hold_what_the_datasets_own_hold(
    num_cores: int, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into_shards(output / NAME, 3)
    monkeypatch.setattr(packed_tables, "num_cores", lambda: num_cores)
    write_packed_tables(output / NAME, tmp_path / "tables", use_video=True)
    names = [path.name for path in sorted((tmp_path / "tables").iterdir())]
    assert names == [f"train-{number:05d}-of-00003.parquet" for number in range(3)]
    for name in names:
        packed, own = pq.read_table(tmp_path / "tables" / name), pq.read_table(output / NAME / name)
        assert packed.drop_columns("video").equals(own)
    write_packed_tables(output / NAME, tmp_path / "again", use_video=True)
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "tables" / name).read_bytes()


def test_tables_of_a_push_that_did_not_complete_are_not_made_again(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def count(folder: Path, target: Path, *, use_video: bool) -> None:
        made.append(target)
        write_packed_tables(folder, target, use_video=use_video)

    monkeypatch.setattr(push_plan, "write_packed_tables", count)
    repo, folder = HubRepo(cast(Any, None), REPO), output / NAME
    work = folder / ".work" / "hub"

    def push(*, completes: bool) -> dict[str, bytes]:
        try:
            with as_pushed([folder], repo, HubConfig(packed=True)) as (dataset,):
                tables = {path: file.read_bytes() for path, file in dataset.plan.tables.items()}
                if not completes:
                    raise StoppedError("The Hub does not answer")
        except StoppedError:
            assert work.exists()
        return tables

    first = push(completes=False)
    assert push(completes=True) == first
    assert len(made) == 1
    assert not work.exists()

    push(completes=False)
    table = folder / "train-00000-of-00001.parquet"
    os.utime(table, ns=(0, 0))  # changed meanwhile
    push(completes=True)
    assert len(made) == 3


def test_packed_tables_hold_clips_of_jpegs_too(hub: HubServer, client: Client, tmp_path: Path) -> None:
    output = copy_of_converted(tmp_path / "output", "--output.use_video=false")
    run = client.push(output / NAME, "--hub.packed=true")
    assert run.exit_code == 0, run.stderr
    (tmp_path / "train-0.parquet").write_bytes(remote_files(hub)[f"{NAME}/train-00000-of-00001.parquet"])
    for row in rows(tmp_path):
        assert [image["path"] for image in row["images"]] == row["frames"]
        assert [image["bytes"] for image in row["images"]] == [(output / path).read_bytes() for path in row["frames"]]
    _, feature, _ = client.evaluate(LOADED)
    assert feature.startswith("List(Image(")
    refused = client.push(output / NAME, "--hub.viewer_video=true")
    assert refused.exit_code == 2 and "are not videos" in refused.last_line


def test_packing_and_pointing_contradict_each_other(client: Client, output: Path) -> None:
    run = client.push(output, "--hub.packed=true", "--hub.viewer_video=true")
    assert run.exit_code == 2
    assert run.last_line.startswith("Error: --hub.viewer_video: ")
