"""A dataset on the Hub is checked and drawn as one that lies here, however its clips were pushed."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs the extra viz")
from hub_client import REPO, SUBSETS, Client, copy_of_converted
from hub_server import HubServer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("options", [[], ["--hub.packed=true"], ["--hub.viewer_video=true"]])
def test_a_pushed_dataset_is_checked_and_drawn(options: list[str], tmp_path: Path) -> None:
    output = copy_of_converted(tmp_path / "output")
    with HubServer() as hub:
        client = Client(hub, tmp_path / "home")
        assert client.push(output / SUBSETS[0], *options).exit_code == 0
        checked = client.run("-m", "dataset_upload.validate_dataset", REPO)
        drawn = client.run("-m", "dataset_upload.visualize_dataset", REPO, "--report", "--out", tmp_path / "drawn")
    assert checked.exit_code == 0, checked.stdout
    assert "FAIL" not in checked.stdout
    assert checked.stdout.splitlines()[-1].endswith("4 need the ledger, which a copy lacks")
    assert drawn.exit_code == 0, drawn.stderr
    clips = [base64.b64encode(path.read_bytes()).decode() for path in output.glob(f"{SUBSETS[0]}/batch_0000/*.mp4")]
    packed = "".join(path.read_text() for path in tmp_path.glob("drawn/report/data/clips_*.js"))
    assert len(clips) == packed.count('"video"') == 3
    assert all(clip in packed for clip in clips)


def test_packed_jpegs_are_checked_and_drawn(tmp_path: Path) -> None:
    output = copy_of_converted(tmp_path / "output", "--output.use_video=false")
    with HubServer() as hub:
        client = Client(hub, tmp_path / "home")
        assert client.push(output / SUBSETS[0], "--hub.packed=true").exit_code == 0
        checked = client.run("-m", "dataset_upload.validate_dataset", REPO)
        drawn = client.run("-m", "dataset_upload.visualize_dataset", REPO, "--out", tmp_path / "drawn")
    assert checked.exit_code == 0, checked.stdout
    assert drawn.exit_code == 0, drawn.stderr
    assert len(list((tmp_path / "drawn").glob("*_sheet.png"))) == 3


def test_a_clip_that_was_changed_on_the_hub_is_noticed(tmp_path: Path) -> None:
    output = copy_of_converted(tmp_path / "output")
    with HubServer() as hub:
        client = Client(hub, tmp_path / "home")
        clip = next((output / SUBSETS[0]).glob("batch_0000/*.mp4"))
        clip.write_bytes(clip.read_bytes().replace(b"x264 - core", b"y264 - core"))
        assert client.push(output / SUBSETS[0]).exit_code == 0
        checked = client.run("-m", "dataset_upload.validate_dataset", REPO)
    assert checked.exit_code == 1
    assert [line.split()[1] for line in checked.stdout.splitlines() if line.startswith("FAIL")] == [
        "fingerprint_agrees"
    ]
