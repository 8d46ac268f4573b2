"""A Hub that is busy, slow, rude or gone: what passes is waited out, all else ends in one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import Run
from hub_client import REPO, SUBSETS, Client, copy_of_converted, put_pushed_repo, remote_files
from hub_server import File, HubServer

pytestmark = pytest.mark.slow

EVERY_STEP = (
    "GET /api/whoami-v2",
    "POST /api/repos/create",
    "/auth-check/write",
    "/tree/",
    "/preupload/",
    "/xet-write-token/",
    "POST /v1/xorbs",
    "POST /v1/shards",
    "/commit/",
    f"GET /api/datasets/{REPO}$",
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return copy_of_converted(tmp_path / "output") / SUBSETS[0]


def stopped(run: Run) -> str:
    """The one line of a push that did not complete."""
    assert run.exit_code == 3, run
    assert "Traceback" not in run.stderr
    assert run.last_line.startswith("Stopped: ") and run.last_line.endswith("; the same command goes on")
    return run.last_line


@pytest.mark.parametrize("how", [{"status": 429}, {"status": 503}, {"cut": True}], ids=["429", "503", "cut"])
def test_trouble_that_passes_at_any_step_is_waited_out(
    hub: HubServer, client: Client, dataset: Path, how: dict[str, Any]
) -> None:
    for step in EVERY_STEP:
        hub.fail(step, times=1, **how)
    run = client.push(dataset)
    assert run.exit_code == 0, run.stderr


def test_a_slow_hub_is_waited_for(hub: HubServer, client: Client, dataset: Path) -> None:
    hub.fail("", delay_s=0.3)
    assert client.push(dataset).exit_code == 0


def test_a_hub_that_never_answers_is_given_up(hub: HubServer, client: Client, dataset: Path) -> None:
    hub.fail("/whoami-v2", hold=True)
    with_a_short_timeout = (
        "import sys; from dataset_upload.hub import access; access._TIMEOUT_S = 0.2; "
        "from dataset_upload.hub.__main__ import main; sys.exit(main())"
    )
    assert "ReadTimeout" in stopped(client.run("-c", with_a_short_timeout, "--push", dataset, REPO))


@pytest.mark.parametrize(
    "step, how, says",
    [
        ("GET /api/whoami-v2", {"status": 503}, "The access token could not be checked: the Hub answered 503"),
        ("/auth-check/write", {"status": 500}, f"{REPO} could not be made: the Hub answered 500"),
        ("POST /v1/xorbs", {"status": 503}, f"The push to {REPO} did not complete: "),
        ("POST /v1/shards", {"cut": True}, f"The push to {REPO} did not complete: "),
        ("POST /v1/xorbs", {"status": 403}, f"The push to {REPO} did not complete: "),
        ("/commit/", {"status": 429}, f"The push to {REPO} did not complete: the Hub answered 429"),
        ("/commit/", {"status": 403}, f"The push to {REPO} did not complete: the Hub answered 403"),
        ("/commit/", {"status": 400}, f"The push to {REPO} did not complete: the Hub answered 400"),
    ],
)
def test_trouble_that_stays_ends_in_one_line(
    hub: HubServer, client: Client, dataset: Path, step: str, how: dict[str, Any], says: str
) -> None:
    hub.fail(step, **how)
    assert stopped(client.push(dataset)).startswith(f"Stopped: {says}")


@pytest.mark.parametrize("how", [{"status": 403}, {"status": 503}], ids=["403", "503"])
def test_failures_of_the_older_upload_route_end_likewise(
    hub: HubServer, client: Client, dataset: Path, how: dict[str, Any]
) -> None:
    hub.fail("PUT /lfs", **how)
    line = stopped(client.push(dataset, HF_HUB_DISABLE_XET="1"))
    assert line.startswith(f"Stopped: The push to {REPO} did not complete: the Hub answered {how['status']}")


def test_a_hub_that_is_not_there(hub: HubServer, client: Client, dataset: Path) -> None:
    assert "Connection refused" in stopped(client.push(dataset, HF_ENDPOINT="http://127.0.0.1:9"))


def test_offline_mode_is_named(client: Client, dataset: Path) -> None:
    assert "HF_HUB_OFFLINE" in stopped(client.push(dataset, HF_HUB_OFFLINE="1"))


def test_a_card_that_cannot_be_read_is_not_taken_for_none(hub: HubServer, client: Client, dataset: Path) -> None:
    repo = put_pushed_repo(hub)
    text = repo.files["README.md"].content + b"\nWritten by somebody else.\n"
    repo.commit({**repo.files, "README.md": File(text, None)}, "a note")
    (dataset / "conversion.json").write_text((dataset / "conversion.json").read_text() + "\n")
    hub.fail("/resolve/", status=503)
    stopped(client.push(dataset))
    hub.release()
    assert client.push(dataset).exit_code == 0
    assert b"Written by somebody else." in remote_files(hub)["README.md"]


def test_a_full_disk_is_named(client: Client, dataset: Path) -> None:
    full = "def write(*_, **__): raise OSError(28, 'No space left on device')\n"
    full += "from dataset_upload.formats.rfm import push_plan\npush_plan.write_packed_tables = write\n"
    full += "from dataset_upload.hub.__main__ import main\n"
    run = client.run("-c", f"{full}import sys\nsys.exit(main())", "--push", dataset, REPO, "--hub.packed=true")
    assert "No space left on device" in stopped(run)
