"""Whose repo, by whose token, seen by whom: all of it is settled before any work is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_client import REPO, Client, conversion, mini_egodex
from hub_server import INVALID_TOKEN, OTHER_TOKEN, READ_TOKEN, WRITE_TOKEN, HubServer

from dataset_upload.config import HubConfig
from dataset_upload.dataset_loaders.egodex.about import EGODEX
from dataset_upload.errors import UsageError
from dataset_upload.hub.files import MAX_ENTRIES_PER_FOLDER, MAX_FILES_PER_REPO, check_limits

FORBIDDEN = EGODEX.publishing_forbidden

FIND = """
import json, sys
from dataset_upload.config import HubConfig
from dataset_upload.errors import UsageError
from dataset_upload.hub.access import find_repo
found = []
for repo_id in sys.argv[1].split():
    try:
        found.append(find_repo(HubConfig(hub_repo_id=repo_id)).repo_id)
    except UsageError as error:
        found.append(str(error))
print(json.dumps(found))
"""


def find(client: Client, repo_ids: str, **environment: str) -> list[str]:
    found: list[str] = client.evaluate(f"import sys; sys.argv = ['', {repo_ids!r}]\n{FIND}", **environment)
    return found


def test_an_owner_that_is_given_stays(client: Client) -> None:
    assert find(client, "lab/egodex", HF_USERNAME="bob") == ["lab/egodex"]


def test_hf_username_completes_the_id(client: Client) -> None:
    assert find(client, "egodex your-username/egodex", HF_USERNAME="bob") == ["bob/egodex"] * 2


def test_without_hf_username_the_token_says_whose_it_is(client: Client) -> None:
    assert find(client, "egodex your-username/egodex", HF_USERNAME="") == ["alice/egodex"] * 2


def test_an_id_that_the_hub_does_not_take_is_named_without_asking_it(hub: HubServer, client: Client) -> None:
    for message in find(client, "alice/ a/b/c alice/spa:ce alice/x..y bad!name", HF_USERNAME=""):
        assert message.startswith("--hub.hub_repo_id: ") and "is not an OWNER/NAME" in message
    assert hub.count(".") == 0


def convert(client: Client, tmp_path: Path, *options: str, **environment: str) -> str:
    """Start a conversion that the Hub must stop before it begins; returns its one line."""
    arguments = conversion(mini_egodex() / "part1", tmp_path / "output", "egodex_test")
    run = client.run(*arguments, "--hub.push_to_hub=true", *options, **environment)
    assert run.exit_code == 2, run
    assert run.stdout == "" and run.stderr.count("\n") == 1 and run.stderr.startswith("Error: --hub.")
    assert not (tmp_path / "output").exists()
    return run.stderr


def test_no_token(hub: HubServer, client: Client, tmp_path: Path) -> None:
    message = convert(client, tmp_path, f"--hub.hub_repo_id={REPO}", HF_TOKEN="")
    assert "there is no access token; set HF_TOKEN, or log in with `hf auth login`" in message


def test_no_token_and_no_owner(client: Client, tmp_path: Path) -> None:
    message = convert(client, tmp_path, HF_TOKEN="", HF_USERNAME="")
    assert "there is no access token and 'your-username/egodex_rfm' names no owner, nor does HF_USERNAME" in message


def test_a_token_that_the_hub_does_not_know(client: Client, tmp_path: Path) -> None:
    assert "does not accept the access token (from HF_TOKEN)" in convert(client, tmp_path, HF_TOKEN=INVALID_TOKEN)


@pytest.mark.parametrize("token, exists", [(READ_TOKEN, True), (READ_TOKEN, False), (OTHER_TOKEN, True)])
def test_no_right_to_write(hub: HubServer, client: Client, tmp_path: Path, token: str, exists: bool) -> None:
    if exists:
        hub.create(REPO, private=True)
    message = convert(client, tmp_path, f"--hub.hub_repo_id={REPO}", HF_TOKEN=token)
    assert f"the access token has no right to write to {REPO}" in message


def test_a_repo_is_made_only_once_the_source_has_been_found(hub: HubServer, client: Client, tmp_path: Path) -> None:
    arguments = conversion(tmp_path / "nowhere", tmp_path / "output", "egodex_test")
    run = client.run(*arguments, "--hub.push_to_hub=true", f"--hub.hub_repo_id={REPO}")
    assert run.exit_code == 2 and "nowhere does not exist" in run.stderr
    assert not hub.repos and not (tmp_path / "output").exists()


def test_a_repo_is_made_only_once_the_dataset_is_known_to_fit(hub: HubServer, client: Client, output: Path) -> None:
    lost = next(output.glob("*/batch_*/*.mp4"))
    lost.unlink()
    assert client.push(output).exit_code == 2
    assert not hub.repos


def test_a_public_repo_is_refused_for_the_licence(hub: HubServer, client: Client, tmp_path: Path) -> None:
    hub.create(REPO, private=False)
    message = convert(client, tmp_path, f"--hub.hub_repo_id={REPO}")
    assert f"{REPO} is public, but EgoDex is licensed CC-BY-NC-ND 4.0" in message
    assert "give --hub.private=false" in message


def test_a_public_repo_is_used_after_a_line_about_the_licence(hub: HubServer, client: Client) -> None:
    hub.create(REPO, private=False)
    opened = "from dataset_upload.console.logs import log_to_terminal; log_to_terminal()\n"
    opened += "from dataset_upload.hub.access import *\n"
    run = client.run("-c", opened + f"find_usable_repo(HubConfig(hub_repo_id={REPO!r}, private=False), {FORBIDDEN!r})")
    assert run.exit_code == 0
    assert run.stderr.startswith(f"Warning: {REPO} is public, but {FORBIDDEN}")


@pytest.mark.parametrize("private", [True, False])
def test_a_new_repo_is_private_unless_told_otherwise(hub: HubServer, client: Client, private: bool) -> None:
    options = "" if private else ", private=False"
    made = (
        f"options = HubConfig(hub_repo_id={REPO!r}{options}); make_repo(find_usable_repo(options, None), options, None)"
    )
    run = client.run("-c", f"from dataset_upload.hub.access import *; {made}")
    assert run.exit_code == 0, run.stderr
    assert hub.repos[REPO].private == private


def test_the_token_comes_from_config_environment_or_login(client: Client, tmp_path: Path) -> None:
    assert find(client, "x", HF_TOKEN=WRITE_TOKEN) == ["alice/x"]
    login = client.home / "huggingface" / "token"
    login.parent.mkdir(parents=True, exist_ok=True)
    login.write_text(OTHER_TOKEN)
    assert find(client, "x", HF_TOKEN="") == ["mallory/x"]
    by_config = f"find_repo(HubConfig(hub_repo_id='x', hub_token={WRITE_TOKEN!r})).repo_id"
    code = f"import json\nfrom dataset_upload.hub.access import *\nprint(json.dumps({by_config}))"
    assert client.evaluate(code, HF_TOKEN=INVALID_TOKEN) == "alice/x"


def test_a_configuration_does_not_show_its_token() -> None:
    assert WRITE_TOKEN not in repr(HubConfig(hub_token=WRITE_TOKEN))


def test_so_many_files_a_repo_can_hold() -> None:
    paths = [f"x/{number // 1000}/{number}" for number in range(MAX_FILES_PER_REPO)]
    check_limits(paths, REPO, "give --hub.packed=true")
    with pytest.raises(UsageError, match=r"would hold 100,001 files.* --hub.packed=true"):
        check_limits([*paths, "README.md"], REPO, "give --hub.packed=true")
    with pytest.raises(UsageError, match="use several repos"):
        check_limits([*paths, "README.md"], REPO, "use several repos")


def test_so_many_entries_a_folder_can_hold() -> None:
    paths = [f"x/{number}/file" for number in range(MAX_ENTRIES_PER_FOLDER)]
    check_limits(paths, REPO, "give --hub.packed=true")
    with pytest.raises(UsageError, match=r"x would hold 10,001 entries.* --hub.packed=true"):
        check_limits([*paths, "x/one"], REPO, "give --hub.packed=true")
