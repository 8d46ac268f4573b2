"""A Hugging Face Hub on loopback: what the unmodified clients need to push, list and load datasets.

    with HubServer() as hub:
        subprocess.run(..., env={"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITE_TOKEN, "HF_HOME": ...})
        hub.repos["alice/data"].files

It believes nothing: uploads are checked against their SHA-256, commits against their parent and their files' objects,
requests against the token's rights. `fail` makes it answer with an error, break off or take its time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from hub_xet import XetError, XetStore

WRITE_TOKEN = "hf_writeWRITEwriteWRITEwriteWRITE01"
READ_TOKEN = "hf_readREADreadREADreadREADreadREAD02"
OTHER_TOKEN = "hf_otherOTHERotherOTHERotherOTHER03"
INVALID_TOKEN = "hf_invalidINVALIDinvalidINVALID04"

LFS_SUFFIXES = (".parquet", ".mp4", ".jpg")
TREE_PAGE = 10  # entries; the real one has 1,000
CAS_TOKEN = "xet-access-token"


class User(NamedTuple):
    name: str
    role: str  # read or write
    orgs: tuple[str, ...] = ()


USERS = {
    WRITE_TOKEN: User("alice", "write", ("lab",)),
    READ_TOKEN: User("alice", "read", ("lab",)),
    OTHER_TOKEN: User("mallory", "write"),
}


class File(NamedTuple):
    """One file of a commit."""

    content: bytes
    sha256: str | None  # of a large file; None: a regular one

    @property
    def blob_id(self) -> str:
        """What git would call it; for a large file, the pointer to it."""
        data = self.content
        if self.sha256 is not None:
            version = "version https://git-lfs.github.com/spec/v1"
            data = f"{version}\noid sha256:{self.sha256}\nsize {len(self.content)}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 or self.blob_id


@dataclass
class Repo:
    """A dataset repo: each commit is its whole list of files."""

    private: bool
    commits: dict[str, dict[str, File]] = field(default_factory=dict)  # by commit id, oldest first
    messages: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)  # commit ids by name
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, File], message: str, branch: str = "main") -> str:
        content = json.dumps([len(self.commits), message, {path: file.etag for path, file in files.items()}])
        commit_id = hashlib.sha1(content.encode()).hexdigest()
        self.commits[commit_id] = dict(sorted(files.items()))
        self.messages.append(message)
        self.branches[branch] = commit_id
        return commit_id

    def find(self, revision: str) -> str | None:
        """The commit that a branch, a tag or a commit id names."""
        commit_id = {**self.tags, **self.branches}.get(revision, revision)
        return commit_id if commit_id in self.commits else None

    @property
    def head(self) -> str:
        return self.branches["main"]

    @property
    def files(self) -> dict[str, File]:
        """The files of the newest commit on main."""
        return self.commits[self.head]


@dataclass
class Failure:
    """What the server does wrong, to requests whose "METHOD /path" the pattern matches."""

    pattern: str
    status: int | None = None  # answer so
    echo: bool = False  # with the request's headers as the text of the answer
    cut: bool = False  # read a part of the body, then close the connection
    hold: bool = False  # answer only after `release`, if somebody still waits then
    delay_s: float = 0.0  # answer late
    after: int = 0  # let so many requests pass first
    times: int = 10**9  # and fail only so many


class Refusal(Exception):
    """An error answer: status, code and text as the Hub words them."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class HubServer:
    """The server and all that it holds, in memory.

    Attributes:
        url: what HF_ENDPOINT must say.
        repos: by "owner/name".
        objects: uploaded large files by SHA-256.
        requests: "METHOD /path" of all requests so far.
        spoils: path of a file that commits store with other bytes than were sent.
        bytes_received: of uploads to object storage, by either route.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.xet = XetStore(self.objects)
        self.requests: list[str] = []
        self.bytes_received = 0
        self.spoils: str | None = None
        self.lock = threading.RLock()
        self.released = threading.Event()
        self._failures: list[Failure] = []
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, pattern: str, **how: Any) -> None:
        """Fail requests whose "METHOD /path" the pattern matches; `how` is as in Failure."""
        self._failures.append(Failure(pattern, **how))

    def release(self) -> None:
        """Work as it should again, and answer the requests that were held."""
        self._failures.clear()
        self.released.set()

    def wait_for(self, pattern: str, count: int = 1) -> None:
        """Wait until so many matching requests have come in."""
        deadline = time.monotonic() + 60
        while self.count(pattern) < count:
            assert time.monotonic() < deadline, f"{pattern} did not come: {self.requests}"
            time.sleep(0.01)

    def count(self, pattern: str) -> int:
        """How many requests so far match."""
        return sum(re.search(pattern, request) is not None for request in self.requests)

    def create(self, repo_id: str, *, private: bool) -> Repo:
        """A repo as the Hub makes it: with nothing but .gitattributes."""
        repo = self.repos[repo_id] = Repo(private)
        repo.commit({".gitattributes": File(b"*.parquet filter=lfs\n", None)}, "initial commit")
        return repo

    def failure_for(self, request: str) -> Failure | None:
        with self.lock:
            for failure in self._failures:
                if not re.search(failure.pattern, request):
                    continue
                if failure.after > 0:
                    failure.after -= 1
                elif failure.times > 0:
                    failure.times -= 1
                    return failure
        return None


class _Handler(BaseHTTPRequestHandler):
    """One connection: finds the route of each request, checks rights, answers."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer_any(self) -> None:
        parts = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        request = f"{self.command} {parts.path}"
        self.hub.requests.append(request)
        failure = self.hub.failure_for(request)
        if failure is not None:
            time.sleep(failure.delay_s)
            if failure.cut:
                self._cut()
                return
        self.body = self._read_body()
        if failure is not None and failure.hold:
            self.hub.released.wait()
            if not self._is_awaited():
                self.close_connection = True
                return
        try:
            if failure is not None and failure.status is not None:
                said = " ".join(f"{name}: {value}" for name, value in self.headers.items())
                raise Refusal(failure.status, said if failure.echo else "as the test wishes")
            for method, pattern, route in _ROUTES:
                match = re.fullmatch(pattern, parts.path)
                if method == self.command and match:
                    route(self, **{name: unquote(value or "") for name, value in match.groupdict().items()})
                    return
            raise Refusal(404, f"no route {request}")
        except Refusal as refusal:
            self._refuse(refusal)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # a client that was killed

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer_any

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _is_awaited(self) -> bool:
        """Whether the client is still there."""
        try:
            return len(self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)) > 0
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _cut(self) -> None:
        """Take in half of the body, then reset the connection."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _refuse(self, refusal: Refusal) -> None:
        headers = {"X-Error-Message": refusal.message, "X-Error-Code": refusal.code}
        if refusal.status in (429, 503):
            headers["Retry-After"] = "0"
        self.send(json.dumps({"error": refusal.message}).encode(), status=refusal.status, headers=headers)

    def send(self, content: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self.send(json.dumps(value).encode(), headers=headers)

    def json_body(self) -> Any:
        return json.loads(self.body)

    def user(self) -> User | None:
        """Whose token it is; None without one."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if not token:
            return None
        if token not in USERS:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return USERS[token]

    def repo(self, repo_id: str, *, write: bool = False) -> Repo:
        """A repo that the token may read, or write."""
        user, owner = self.user(), repo_id.split("/")[0]
        is_member = user is not None and owner in (user.name, *user.orgs)
        repo = self.hub.repos.get(repo_id)
        if repo is None or (repo.private and not is_member):
            raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        if write and (user is None or user.role != "write" or not is_member):
            raise Refusal(403, "Authorization error")
        return repo

    def commit_id(self, repo: Repo, revision: str) -> str:
        commit_id = repo.find(revision)
        if commit_id is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit_id


Route = Callable[..., None]
_ROUTES: list[tuple[str, str, Route]] = []

_REPO = r"(?P<repo_id>[^/]+/[^/]+)"
_REVISION = r"(?P<revision>[^/]+)"


def _route(method: str, pattern: str) -> Callable[[Route], Route]:
    def register(route: Route) -> Route:
        _ROUTES.append((method, pattern, route))
        return route

    return register


# People and repos


@_route("GET", "/api/whoami-v2")
def _whoami(request: _Handler) -> None:
    user = request.user()
    if user is None:
        raise Refusal(401, "Invalid credentials in Authorization header")
    token = {"displayName": "test", "role": user.role}
    orgs = [{"name": org, "roleInOrg": "write"} for org in user.orgs]
    auth = {"type": "access_token", "accessToken": token}
    request.send_json({"type": "user", "name": user.name, "orgs": orgs, "auth": auth})


@_route("POST", "/api/repos/create")
def _create_repo(request: _Handler) -> None:
    wanted, user = request.json_body(), request.user()
    if user is None or user.role != "write":
        raise Refusal(403, "You don't have the rights to create a dataset under this namespace")
    owner = wanted.get("organization") or user.name
    if owner not in (user.name, *user.orgs):
        raise Refusal(403, f'You don\'t have the rights to create a dataset under the namespace "{owner}"')
    if wanted["type"] != "dataset":
        raise Refusal(400, "this Hub holds datasets only")
    repo_id = f"{owner}/{wanted['name']}"
    url = f"{request.hub.url}/datasets/{repo_id}"
    with request.hub.lock:
        if repo_id in request.hub.repos:
            content = json.dumps({"error": "You already created this dataset repo", "url": url}).encode()
            request.send(content, status=409)
            return
        request.hub.create(repo_id, private=wanted.get("visibility") == "private" or bool(wanted.get("private")))
    request.send_json({"url": url, "id": repo_id, "name": repo_id})


@_route("GET", f"/api/datasets/{_REPO}(/revision/{_REVISION})?")
def _dataset_info(request: _Handler, repo_id: str, revision: str) -> None:
    repo = request.repo(repo_id)
    commit_id = request.commit_id(repo, revision or "main")
    request.send_json(
        {
            "_id": "0",
            "id": repo_id,
            "author": repo_id.split("/")[0],
            "sha": commit_id,
            "private": repo.private,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": path} for path in repo.commits[commit_id]],
        }
    )


@_route("GET", f"/api/datasets/{_REPO}/auth-check(?P<kind>/write)?")
def _auth_check(request: _Handler, repo_id: str, kind: str) -> None:
    request.repo(repo_id, write=kind == "/write")
    request.send_json({})


@_route("GET", f"/api/datasets/{_REPO}/refs")
def _refs(request: _Handler, repo_id: str) -> None:
    repo = request.repo(repo_id)
    answer = {
        kind: [{"name": name, "ref": f"{ref}/{name}", "targetCommit": commit_id} for name, commit_id in named.items()]
        for kind, ref, named in (("branches", "refs/heads", repo.branches), ("tags", "refs/tags", repo.tags))
    }
    request.send_json({**answer, "converts": []})


@_route("POST", f"/api/datasets/{_REPO}/branch/(?P<name>[^/]+)")
def _create_branch(request: _Handler, repo_id: str, name: str) -> None:
    repo = request.repo(repo_id, write=True)
    repo.branches[name] = request.commit_id(repo, request.json_body().get("startingPoint", "main"))
    request.send_json({})


@_route("POST", f"/api/datasets/{_REPO}/tag/{_REVISION}")
def _create_tag(request: _Handler, repo_id: str, revision: str) -> None:
    repo = request.repo(repo_id, write=True)
    tag = request.json_body()["tag"]
    if tag in repo.tags:
        raise Refusal(409, f"Tag reference exists already: {tag}")
    repo.tags[tag] = request.commit_id(repo, revision)
    request.send_json({})


@_route("DELETE", f"/api/datasets/{_REPO}/tag/(?P<name>[^/]+)")
def _delete_tag(request: _Handler, repo_id: str, name: str) -> None:
    repo = request.repo(repo_id, write=True)
    if repo.tags.pop(name, None) is None:
        raise Refusal(404, f"Tag not found: {name}", "RevisionNotFound")
    request.send_json({})


# Uploads


@_route("POST", "/api/validate-yaml")
def _validate_yaml(request: _Handler) -> None:
    has_header = request.json_body()["content"].startswith("---\n")
    warnings = [] if has_header else [{"message": "empty or missing yaml metadata in repo card"}]
    request.send_json({"errors": [], "warnings": warnings})


@_route("POST", f"/api/datasets/{_REPO}/preupload/{_REVISION}")
def _preupload(request: _Handler, repo_id: str, revision: str) -> None:
    repo = request.repo(repo_id, write=True)
    present = repo.commits[request.commit_id(repo, revision)]
    files = [
        {
            "path": path,
            "uploadMode": "lfs" if path.endswith(LFS_SUFFIXES) else "regular",
            "shouldIgnore": False,
            "oid": present[path].etag if path in present else None,
        }
        for path in (file["path"] for file in request.json_body()["files"])
    ]
    request.send_json({"files": files})


@_route("POST", rf"/datasets/{_REPO}\.git/info/lfs/objects/batch")
def _lfs_batch(request: _Handler, repo_id: str) -> None:
    request.repo(repo_id, write=True)
    hub = request.hub
    objects = []
    for wanted in request.json_body()["objects"]:
        answer = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in hub.objects:
            upload, verify = f"{hub.url}/lfs/{wanted['oid']}", f"{hub.url}/datasets/{repo_id}/lfs-verify"
            answer["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
        objects.append(answer)
    request.send_json({"transfer": "basic", "objects": objects})


@_route("PUT", "/lfs/(?P<sha256>[0-9a-f]{64})")
def _lfs_put(request: _Handler, sha256: str) -> None:
    request.hub.bytes_received += len(request.body)
    if hashlib.sha256(request.body).hexdigest() != sha256:
        raise Refusal(400, "the bytes do not have the SHA-256 that they were announced with")
    request.hub.objects[sha256] = request.body
    request.send(b"")


@_route("POST", f"/datasets/{_REPO}/lfs-verify")
def _lfs_verify(request: _Handler, repo_id: str) -> None:
    request.repo(repo_id, write=True)
    announced = request.json_body()
    if len(request.hub.objects.get(announced["oid"], b"")) != announced["size"]:
        raise Refusal(404, "Object not found")
    request.send_json({})


@_route("GET", f"/api/datasets/{_REPO}/xet-write-token/{_REVISION}")
def _xet_write_token(request: _Handler, repo_id: str, revision: str) -> None:
    request.repo(repo_id, write=True)
    expiration = int(time.time()) + 3600
    headers = {
        "X-Xet-Cas-Url": request.hub.url,
        "X-Xet-Access-Token": CAS_TOKEN,
        "X-Xet-Token-Expiration": str(expiration),
    }
    request.send_json({"casUrl": request.hub.url, "accessToken": CAS_TOKEN, "exp": expiration}, headers)


def _check_cas_token(request: _Handler) -> None:
    if request.headers.get("Authorization") != f"Bearer {CAS_TOKEN}":
        raise Refusal(401, "not a token of this storage")


@_route("POST", "/v1/xorbs/default/(?P<xorb_hash>[0-9a-f]{64})")
def _xet_xorb(request: _Handler, xorb_hash: str) -> None:
    _check_cas_token(request)
    request.hub.bytes_received += len(request.body)
    try:
        request.send_json({"was_inserted": request.hub.xet.add_xorb(xorb_hash, request.body)})
    except XetError as error:
        raise Refusal(400, str(error)) from error


@_route("POST", "/v1/shards")
def _xet_shard(request: _Handler) -> None:
    _check_cas_token(request)
    try:
        request.hub.xet.add_shard(request.body)
    except XetError as error:
        raise Refusal(400, str(error)) from error
    request.send_json({"result": 1})


@_route("POST", f"/api/datasets/{_REPO}/commit/{_REVISION}")
def _commit(request: _Handler, repo_id: str, revision: str) -> None:
    repo = request.repo(repo_id, write=True)
    lines = [json.loads(line) for line in request.body.splitlines()]
    header = lines[0]["value"]
    with request.hub.lock:
        parent = request.commit_id(repo, revision)
        if header.get("parentCommit", parent) != parent:
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.commits[parent])
        for line in lines[1:]:
            _apply(request.hub, line["key"], line["value"], files)
        commit_id = repo.commit(files, header["summary"], revision)
    url = f"{request.hub.url}/datasets/{repo_id}/commit/{commit_id}"
    request.send_json({"commitOid": commit_id, "commitUrl": url, "success": True, "hookOutput": ""})


def _apply(hub: HubServer, key: str, value: dict[str, Any], files: dict[str, File]) -> None:
    """One operation of a commit."""
    path = value["path"]
    if key == "file":
        files[path] = File(base64.b64decode(value["content"]), None)
    elif key == "lfsFile":
        content = hub.objects.get(value["oid"])
        if content is None or len(content) != value["size"]:
            raise Refusal(400, f"{path} points to an object that was not uploaded")
        is_spoilt = path == hub.spoils
        files[path] = File(bytes(len(content)), "0" * 64) if is_spoilt else File(content, value["oid"])
    elif key == "deletedFile" and path in files:
        del files[path]
    elif key == "deletedFolder" and any(name.startswith(path) for name in files):
        for name in [name for name in files if name.startswith(path)]:
            del files[name]
    else:
        raise Refusal(400, f"{key} {path} cannot be done")


# Listing and loading


def _entry(path: str, file: File | None) -> dict[str, Any]:
    """A file, or a folder, as the tree lists it."""
    if file is None:
        return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
    entry = {"type": "file", "path": path, "oid": file.blob_id, "size": len(file.content)}
    if file.sha256 is not None:
        entry["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": 134}
    return entry


def _entries(files: dict[str, File]) -> dict[str, File | None]:
    """All files and the folders that hold them."""
    folders = {path[:end] for path in files for end, letter in enumerate(path) if letter == "/"}
    return dict(sorted([*files.items(), *((folder, None) for folder in folders)]))


@_route("GET", f"/api/datasets/{_REPO}/tree/{_REVISION}(/(?P<folder>.+))?")
def _tree(request: _Handler, repo_id: str, revision: str, folder: str) -> None:
    repo = request.repo(repo_id)
    entries = _entries(repo.commits[request.commit_id(repo, revision)])
    if folder and folder not in entries:
        raise Refusal(404, f"{folder} does not exist", "EntryNotFound")
    start = f"{folder}/" if folder else ""
    below = [(path, file) for path, file in entries.items() if path.startswith(start)]
    if request.query.get("recursive", "").lower() not in ("true", "1"):
        below = [(path, file) for path, file in below if "/" not in path.removeprefix(start)]
    first = int(request.query.get("cursor", 0))
    end = first + TREE_PAGE
    headers = {}
    if end < len(below):
        query = "&".join(f"{name}={quote(value)}" for name, value in {**request.query, "cursor": str(end)}.items())
        headers["Link"] = f'<{request.hub.url}{request.path.split("?")[0]}?{query}>; rel="next"'
    request.send_json([_entry(path, file) for path, file in below[first:end]], headers)


@_route("POST", f"/api/datasets/{_REPO}/paths-info/{_REVISION}")
def _paths_info(request: _Handler, repo_id: str, revision: str) -> None:
    repo = request.repo(repo_id)
    entries = _entries(repo.commits[request.commit_id(repo, revision)])
    body = request.body.decode()
    paths = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body).get("paths", [])
    request.send_json([_entry(path, entries[path]) for path in paths if path in entries])


def _resolve(request: _Handler, repo_id: str, revision: str, path: str) -> None:
    repo = request.repo(repo_id)
    commit_id = request.commit_id(repo, revision)
    headers = {"X-Repo-Commit": commit_id, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    file = repo.commits[commit_id].get(path)
    if file is None:
        raise Refusal(404, f"{path} does not exist", "EntryNotFound")
    headers["ETag"] = f'"{file.etag}"'
    if file.sha256 is not None:
        headers |= {"X-Linked-Size": str(len(file.content)), "X-Linked-ETag": f'"{file.sha256}"'}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if wanted is None:
        request.send(file.content, headers=headers)
        return
    first, last = int(wanted[1]), min(int(wanted[2] or len(file.content)), len(file.content) - 1)
    if first > last:
        raise Refusal(416, "Range not satisfiable")
    headers["Content-Range"] = f"bytes {first}-{last}/{len(file.content)}"
    request.send(file.content[first : last + 1], status=206, headers=headers)


for _method in ("GET", "HEAD"):
    _route(_method, f"/datasets/{_REPO}/resolve/{_REVISION}/(?P<path>.+)")(_resolve)
