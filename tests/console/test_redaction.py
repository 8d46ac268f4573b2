"""No user, password, signature or token reaches a terminal or a file, whatever source it belongs to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import commands
import fsspec
import pytest
from archives import STORED, pack
from conversions import fork_convert
from drawn_egodex import tiny_egodex
from hub_client import Client
from hub_server import WRITE_TOKEN, HubServer
from output_folder import outcomes
from range_server import Fault, RangeServer, serving

from dataset_upload.errors import EpisodeError, Reason, StoppedError, UsageError
from dataset_upload.redaction import redact
from dataset_upload.storage import retries

PASSWORD, SIGNATURE = "swordfish-4711", "c2lnbmF0dXJl-0815"
SECRETS = (PASSWORD, SIGNATURE, WRITE_TOKEN.removeprefix("hf_"))
LOGIN, QUERY = f"mallory:{PASSWORD}@", f"?X-Amz-Expires=60&X-Amz-Signature={SIGNATURE}"


@pytest.mark.parametrize(
    "text, shown",
    [
        (f"http://{LOGIN}host/test.zip{QUERY} is gone", "http://host/test.zip is gone"),
        (f"cannot be read (Error: 'https://{LOGIN}host:80/a/test.zip{QUERY}')", "cannot be read (Error: 'https://host:80/a/test.zip')"),
        (f"s3://{PASSWORD}@bucket/test.zip", "s3://bucket/test.zip"),
        (f"ftp://mallory:{PASSWORD}/#?x@host/test.zip", "ftp://host/test.zip"),
        (f"simplecache::http://{LOGIN}host/test.zip{QUERY}", "simplecache::http://host/test.zip"),
        (f"Max retries … url: /test.zip{QUERY} (Caused by x)", "Max retries … url: /test.zip?… (Caused by x)"),
        (f"no file '/{LOGIN}host/test.zip'", "no file '/host/test.zip'"),
        (f"Authorization: Bearer {PASSWORD}", "Authorization: …"),
        (f"{{'authorization': 'Basic {PASSWORD}', 'accept': '*/*'}}", "{'authorization': '…', 'accept': '*/*'}"),
        (f"sent 'Bearer {PASSWORD}'", "sent 'Bearer …'"),
        (f"X-Access-Token={PASSWORD}; path=/", "X-Access-Token=…; path=/"),
        (f'{{"accessToken": "{PASSWORD}", "exp": 1}}', '{"accessToken": "…", "exp": 1}'),
        (f"--hub.private={WRITE_TOKEN}: is not of type bool", "--hub.private=hf_…: is not of type bool"),
    ],
)  # fmt: skip
def test_secrets_are_taken_out(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Error: --hub.hub_token: there is no access token; set HF_TOKEN, or log in with `hf auth login`",
        "hf://datasets/alice/egodex@main/test.zip",
        "http://127.0.0.1:8000/datasets/a/b@main/test.zip",
        "python -m dataset_upload.generate_hf_dataset --output.overwrite=true",
        "/data/what?/a#b/0.hdf5: 94 poses for 95 video frames, cut to 94",
    ],
)
def test_all_else_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("kind", [UsageError, StoppedError, lambda text: EpisodeError(Reason.UNEXPECTED, text)])
def test_no_error_of_ours_holds_one(kind: type[UsageError]) -> None:
    error = kind(f"http://{LOGIN}host/test.zip{QUERY} is gone\nreally")
    assert str(error) == "http://host/test.zip is gone\\nreally"
    assert not any(secret in repr(error) for secret in SECRETS)


# Sources ------------------------------------------------------------------------------------------------------


class Ran(Protocol):
    """A command that has ended."""

    @property
    def stdout(self) -> str: ...

    @property
    def stderr(self) -> str: ...


def assert_kept(run: Ran, output_dir: Path) -> None:
    """Neither terminal nor files hold a secret, nor a traceback."""
    files = [path for path in output_dir.rglob("*") if path.is_file()]
    for secret in SECRETS:
        assert secret not in run.stdout + run.stderr
        assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert "Traceback" not in run.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of two episodes, one of them damaged."""
    path = tmp_path_factory.mktemp("source") / "test"
    tiny_egodex(path, episodes=2)
    damaged = next(path.rglob("*.mp4"))
    damaged.write_bytes(damaged.read_bytes()[:-100])
    return path


@pytest.fixture(scope="module")
def archive(folder: Path) -> Path:
    """Without a root folder, so that the part is called as the archive is."""
    return pack(folder, folder.with_name("test.zip"), STORED, root="")


@pytest.fixture
def server(archive: Path) -> Iterator[RangeServer]:
    with serving(archive.parent) as server:
        yield server


def no_pauses() -> None:
    vars(retries)["time"] = SimpleNamespace(sleep=lambda seconds: None, monotonic=lambda: 0.0)


def secret_url(server: RangeServer) -> str:
    return f"{server.url.replace('//', f'//{LOGIN}')}/test.zip{QUERY}"


def test_http(server: RangeServer, tmp_path: Path) -> None:
    run = fork_convert(secret_url(server), tmp_path, first=no_pauses)
    assert run.exit_code == 1, run.stderr
    assert sorted(status for status, _ in outcomes(tmp_path).values()) == ["done", "failed"]
    assert f"{server.url}/test.zip/" in run.stderr
    assert_kept(run, tmp_path)


@pytest.mark.parametrize(
    "fault, after",
    [
        pytest.param(Fault(status=403), 0, id="403"),
        pytest.param(Fault(status=403), 3, id="403 in the middle"),
        pytest.param(Fault(status=503), 3, id="503 in the middle"),
        pytest.param(Fault(cut_at=0), 0, id="cut"),
        pytest.param(Fault(whole_file=True), 0, id="no ranges"),
        pytest.param(Fault(status=302, headers={"Location": f"http://{LOGIN}127.0.0.1:1/{QUERY}"}), 0, id="to nowhere"),
        pytest.param(Fault(status=302, headers={"Location": f"gopher://{LOGIN}host/{QUERY}"}), 0, id="to nonsense"),
    ],
)
def test_http_that_fails(server: RangeServer, tmp_path: Path, fault: Fault, after: int) -> None:
    server.fault = lambda number: fault if number >= after else None
    run = fork_convert(secret_url(server), tmp_path, first=no_pauses)
    assert run.exit_code in (1, 2, 3)
    assert server.url in run.stderr
    assert_kept(run, tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        f"http://mallory:{PASSWORD}/@127.0.0.1:1/test.zip",
        f"http://mallory:{PASSWORD}#@127.0.0.1:1/test.zip",
        f"http://{LOGIN}[x/test.zip{QUERY}",
        f"http://{LOGIN}127.0.0.1:1/test.zip{QUERY}",
    ],
)
def test_http_addresses_that_are_none(url: str, tmp_path: Path) -> None:
    run = fork_convert(url, tmp_path, first=no_pauses)
    assert run.exit_code == 2
    assert_kept(run, tmp_path)


def test_fsspec(archive: Path, tmp_path: Path) -> None:
    with fsspec.open(f"memory://{LOGIN}store/test.zip{QUERY}", "wb") as file:
        file.write(archive.read_bytes())
    run = fork_convert(f"memory://{LOGIN}store/test.zip{QUERY}", tmp_path)
    assert run.exit_code == 1, run.stderr
    assert "memory://store/test.zip/" in run.stderr
    assert_kept(run, tmp_path)


@pytest.mark.parametrize("url", [f"memory://{LOGIN}store/no.zip{QUERY}", f"ftp://{LOGIN}127.0.0.1:1/a.zip{QUERY}"])
def test_fsspec_that_fails(url: str, tmp_path: Path) -> None:
    run = fork_convert(url, tmp_path)
    assert run.exit_code == 2
    assert_kept(run, tmp_path)


def test_folder(folder: Path, tmp_path: Path) -> None:
    source = shutil.copytree(folder, tmp_path / WRITE_TOKEN / "test")
    run = fork_convert(source, tmp_path / "out")
    assert run.exit_code == 1
    assert str(tmp_path / "hf_…/test") in run.stderr
    assert_kept(run, tmp_path / "out")
    assert_kept(fork_convert(Path(WRITE_TOKEN), tmp_path / "none"), tmp_path / "none")


@pytest.mark.parametrize("status", [401, 403, 500])
def test_hub_that_echoes_what_it_was_sent(hub: HubServer, client: Client, tmp_path: Path, status: int) -> None:
    hub.fail("", status=status, echo=True)
    run = client.run("-m", "dataset_upload.hub", "--verify", tmp_path, "alice/egodex")
    assert run.exit_code in (2, 3)
    assert_kept(run, tmp_path)


def test_hub_as_a_source(hub: HubServer, client: Client, tmp_path: Path) -> None:
    hub.fail("", status=403, echo=True)
    command = ("-m", "dataset_upload.generate_hf_dataset", f"--output.output_dir={tmp_path}")
    run = client.run(*command, "--dataset.dataset_path=hf://datasets/alice/egodex/test.zip")
    assert run.exit_code == 2
    assert "hf://datasets/alice/egodex/test.zip cannot be read" in run.stderr
    assert_kept(run, tmp_path)


# What libraries print on their own ----------------------------------------------------------------------------


def test_tracebacks_and_warnings_of_libraries() -> None:
    program = """
import logging, sys, threading, warnings
from dataset_upload.redaction import redact_output

class Unfinished:
    def __del__(self):
        raise OSError(f"finalizer: {url}")

def fail(what):
    raise ConnectionError(f"{what}: {url}")

url = sys.argv[1]
redact_output()
thread = threading.Thread(target=fail, args=["thread"])
thread.start()
thread.join()
Unfinished()
warnings.warn(f"warning: {url}")
logging.getLogger("library").error("log: %s", url)
fail("main")
"""
    said = commands.run("-c", program, f"http://{LOGIN}host/test.zip{QUERY}").stderr
    assert said.count("Traceback") == 3
    for what in ("thread", "finalizer", "warning", "log", "main"):
        assert f"{what}: http://host/test.zip" in said
    assert not any(secret in said for secret in SECRETS)


def test_what_a_worker_prints() -> None:
    script = (
        "import sys; from misbehaving import Complain; from engine_runs import make_engine; "
        "list(make_engine('processes', 1).run(Complain(), sys.argv[1:]))"
    )
    environment = commands.environment(PYTHONPATH=commands.WITH_HARNESS)
    ended = commands.run("-c", script, f"http://{LOGIN}host/test.zip{QUERY}", env=environment)
    assert ended.stderr == "http://host/test.zip\n"
