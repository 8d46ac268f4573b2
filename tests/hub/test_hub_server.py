"""The Hub of the tests is not gullible: whatever arrives damaged, stale or without right, it refuses."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from hub_client import Client
from hub_server import CAS_TOKEN, READ_TOKEN, TREE_PAGE, WRITE_TOKEN, File, HubServer
from hub_xet import END_OF_FILES, SHARD_TAG, WITH_SHA256, XetError, XetStore, hash_text, read_chunks

CONTENT = b"a clip, say " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.create("alice/data", private=True)
        yield server


class Answer:
    def __init__(self, hub: HubServer, method: str, path: str, body: object = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {WRITE_TOKEN}", **headers}
        try:
            response = urlopen(Request(hub.url + path, data, headers, method=method))
        except HTTPError as error:
            response = error
        with response:
            self.status, self.headers, self.body = response.status, response.headers, response.read()


def commit(hub: HubServer, *operations: tuple[str, dict[str, object]], parent: str | None = None) -> Answer:
    header = {"summary": "test", **({"parentCommit": parent} if parent else {})}
    lines = [{"key": "header", "value": header}, *({"key": key, "value": value} for key, value in operations)]
    body = "\n".join(map(json.dumps, lines)).encode()
    return Answer(hub, "POST", "/api/datasets/alice/data/commit/main", body)


def large_file(sha256: str = SHA256, size: int = len(CONTENT)) -> tuple[str, dict[str, object]]:
    return "lfsFile", {"path": "clip.mp4", "algo": "sha256", "oid": sha256, "size": size}


def small_file(path: str = "notes.txt") -> tuple[str, dict[str, object]]:
    return "file", {"path": path, "encoding": "base64", "content": "aGVsbG8="}


def test_bytes_of_another_sha256_are_refused(hub: HubServer) -> None:
    assert Answer(hub, "PUT", f"/lfs/{SHA256}", CONTENT + b"!").status == 400
    assert hub.objects == {}


def test_a_commit_may_name_only_what_was_uploaded(hub: HubServer) -> None:
    assert commit(hub, large_file()).status == 400
    assert Answer(hub, "PUT", f"/lfs/{SHA256}", CONTENT).status == 200
    assert commit(hub, large_file(size=len(CONTENT) - 1)).status == 400
    assert commit(hub, large_file()).status == 200
    assert hub.repos["alice/data"].files["clip.mp4"].content == CONTENT


def test_a_commit_on_a_stale_parent_is_refused(hub: HubServer) -> None:
    head = hub.repos["alice/data"].head
    assert commit(hub, small_file("first"), parent=head).status == 200
    assert commit(hub, small_file("second"), parent=head).status == 412
    assert "second" not in hub.repos["alice/data"].files


def test_reading_a_private_repo_needs_a_token_and_writing_one_with_that_right(hub: HubServer) -> None:
    assert Answer(hub, "GET", "/api/datasets/alice/data").status == 200
    assert Answer(hub, "GET", "/api/datasets/alice/data", Authorization="").status == 401
    assert Answer(hub, "GET", "/api/datasets/alice/data", Authorization="Bearer hf_unknown").status == 401
    for kind, status in (("", 200), ("/write", 403)):
        path = f"/api/datasets/alice/data/auth-check{kind}"
        assert Answer(hub, "GET", path, Authorization=f"Bearer {READ_TOKEN}").status == status


def test_a_tree_comes_in_pages(hub: HubServer) -> None:
    hub.repos["alice/data"].commit({f"{number:02d}": File(b"", None) for number in range(TREE_PAGE + 1)}, "many")
    first = Answer(hub, "GET", "/api/datasets/alice/data/tree/main?recursive=true")
    link = first.headers["Link"].split(">")[0].lstrip("<").removeprefix(hub.url)
    assert [len(json.loads(page.body)) for page in (first, Answer(hub, "GET", link))] == [TREE_PAGE, 1]


def test_a_range_of_a_file_can_be_read(hub: HubServer) -> None:
    hub.repos["alice/data"].commit({"clip.mp4": File(CONTENT, SHA256)}, "clip")
    answer = Answer(hub, "GET", "/datasets/alice/data/resolve/main/clip.mp4", Range="bytes=2-5")
    assert (answer.status, answer.body) == (206, CONTENT[2:6])
    assert answer.headers["Content-Range"] == f"bytes 2-5/{len(CONTENT)}"
    assert answer.headers["X-Linked-ETag"] == f'"{SHA256}"'


def test_the_real_client_can_name_revisions_and_look_at_them(hub: HubServer, tmp_path: Path) -> None:
    repo = hub.repos["alice/data"]
    first = repo.head
    code = """
import json
from huggingface_hub import HfApi
api = HfApi()
api.create_tag("alice/data", tag="v1", repo_type="dataset")
api.create_branch("alice/data", branch="draft", repo_type="dataset")
api.upload_file(path_or_fileobj=b"hello", path_in_repo="a/b.txt", repo_id="alice/data", repo_type="dataset")
refs = api.list_repo_refs("alice/data", repo_type="dataset")
(info,) = api.get_paths_info("alice/data", ["a/b.txt", "missing"], repo_type="dataset")
files = [api.list_repo_files("alice/data", repo_type="dataset", revision=name) for name in ("v1", "draft", "main")]
named = {ref.name: ref.target_commit for ref in (*refs.branches, *refs.tags)}
print(json.dumps([named, [info.path, info.size], files]))
"""
    named, info, files = Client(hub, tmp_path).evaluate(code)
    assert named == {"main": repo.head, "draft": first, "v1": first}
    assert info == ["a/b.txt", 5]
    assert files == [[".gitattributes"], [".gitattributes"], [".gitattributes", "a/b.txt"]]


# Xet: a xorb of one uncompressed chunk, and the shard of the file that it makes up

XORB_HASH = hash_text(bytes(range(32)))


def xorb(content: bytes = CONTENT) -> bytes:
    length = len(content).to_bytes(3, "little")
    return b"\0" + length + b"\0" + length + content


def shard(sha256: str = SHA256, length: int = len(CONTENT)) -> bytes:
    header = SHARD_TAG + struct.pack("<QQ", 2, 0)
    file = bytes(32) + struct.pack("<IIQ", WITH_SHA256, 1, 0)
    segment = bytes(range(32)) + struct.pack("<IIII", 0, length, 0, 1)
    digest = struct.pack("<4Q", *(int(sha256[at : at + 16], 16) for at in range(0, 64, 16))) + bytes(16)
    return header + file + segment + digest + END_OF_FILES + bytes(16)


def test_chunks_become_files() -> None:
    store = XetStore({})
    assert store.add_xorb(XORB_HASH, xorb())
    store.add_shard(shard())
    assert store.objects == {SHA256: CONTENT}


@pytest.mark.parametrize(
    "xorbs, body, says",
    [
        ([xorb()], shard(sha256=hashlib.sha256(b"other").hexdigest()), "do not make up"),
        ([xorb(CONTENT[:-1] + b"?")], shard(), "do not make up"),
        ([xorb()], shard(length=7), "are not 7 bytes"),
        ([], shard(), "never uploaded"),
        ([xorb()], b"no shard", "not a shard"),
    ],
)
def test_a_shard_that_lies_is_refused(xorbs: list[bytes], body: bytes, says: str) -> None:
    store = XetStore({})
    for each in xorbs:
        store.add_xorb(XORB_HASH, each)
    with pytest.raises(XetError, match=says):
        store.add_shard(body)
    assert store.objects == {}


def test_a_xorb_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(XetError):
        read_chunks(xorb()[:-1])


def test_xet_storage_wants_its_own_token(hub: HubServer) -> None:
    path = f"/v1/xorbs/default/{XORB_HASH}"
    assert Answer(hub, "POST", path, xorb()).status == 401
    assert Answer(hub, "POST", path, xorb(), Authorization=f"Bearer {CAS_TOKEN}").status == 200
    assert Answer(hub, "POST", "/v1/shards", shard(length=7), Authorization=f"Bearer {CAS_TOKEN}").status == 400
