"""A small web server on loopback that serves ranges of files, and misbehaves when it is told to."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_FLIPPED = bytes(byte ^ 0x55 for byte in range(256))


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer."""

    status: int | None = None  # it is this, with an empty body
    headers: dict[str, str] = field(default_factory=dict)  # these, instead of what would be right
    without: tuple[str, ...] = ()  # these headers are missing
    whole_file: bool = False  # status 200 and everything, as a server does that knows no ranges
    cut_at: float | None = None  # the connection is cut after this share of the body
    flipped: bool = False  # the body is damaged, the headers are not
    silence_s: float = 0  # before anything is sent
    drip_s: float = 0  # between any two bytes of the body
    drip_headers_s: float = 0  # between any two bytes of a header without end


@dataclass(frozen=True)
class Request:
    """One request and what became of it."""

    path: str
    start: int
    end: int
    connection: int  # counts the server's connections
    body_bytes: int  # sent


class RangeServer(ThreadingHTTPServer):
    """Serves the files of a folder.

    Attributes:
        url: of the folder.
        fault: told the number of a request (0, 1, …), says what goes wrong with its answer; None: nothing.
        etag: of every file; None: made from its size and time.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._answered: list[Request] = []
        self.fault: Callable[[int], Fault | None] = lambda number: None
        self.etag: str | None = None
        self.lock = threading.Lock()
        self.num_requests = 0
        self.num_connections = 0

    @property
    def requests(self) -> list[Request]:
        """So far. A client may have its answer while the server still has to note that it sent it: wait for that."""
        deadline = time.monotonic() + 2
        while len(self._answered) < self.num_requests and time.monotonic() < deadline:
            time.sleep(0.002)
        return self._answered[:]

    def note(self, request: Request) -> None:
        self._answered.append(request)

    @property
    def body_bytes(self) -> int:
        return sum(request.body_bytes for request in self.requests)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.num_connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is no news."""


@contextmanager
def serving(folder: Path) -> Iterator[RangeServer]:
    """A server at work."""
    with RangeServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RangeServer

    def setup(self) -> None:
        super().setup()
        self.connection_number = self.server.num_connections

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        with self.server.lock:
            number = self.server.num_requests
            self.server.num_requests += 1
        fault = self.server.fault(number) or Fault()
        path = self.server.folder / urlsplit(self.path).path.lstrip("/")
        time.sleep(fault.silence_s)
        if fault.status or not path.is_file():
            self._send(fault.status or 404, {"Content-Length": "0", **fault.headers}, Path("/dev/null"), 0, 0, fault)
            return
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(asked[1]), min(int(asked[2] or size) + 1, size)) if asked else (0, size)
        headers = {
            "ETag": self.server.etag or f'"{size:x}-{path.stat().st_mtime_ns:x}"',
            "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
        }
        if asked and not fault.whole_file:
            headers |= {"Content-Range": f"bytes {start}-{end - 1}/{size}", "Content-Length": str(end - start)}
            self._send(206, headers | fault.headers, path, start, end, fault)
        else:
            headers |= {"Content-Length": str(size), "Accept-Ranges": "none" if fault.whole_file else "bytes"}
            self._send(200, headers | fault.headers, path, 0, size, fault)

    def _send(self, status: int, headers: dict[str, str], path: Path, start: int, end: int, fault: Fault) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name not in fault.without:
                self.send_header(name, value)
        if fault.drip_headers_s:
            self._drip_headers(fault.drip_headers_s)
        self.end_headers()
        sent = 0
        if self.command == "GET":
            stop = end if fault.cut_at is None else start + math.ceil((end - start) * fault.cut_at)
            sent = self._send_body(path, start, stop, flipped=fault.flipped, drip_s=fault.drip_s)
        if fault.cut_at is not None:
            self.close_connection = True
        self.server.note(Request(self.path, start, end, self.connection_number, sent))

    def _drip_headers(self, pause_s: float) -> None:
        self.flush_headers()
        try:
            while True:
                self.wfile.write(b"X")
                time.sleep(pause_s)
        except OSError:
            self.close_connection = True

    def _send_body(self, path: Path, start: int, end: int, *, flipped: bool, drip_s: float) -> int:
        sent = 0
        with path.open("rb") as file:
            file.seek(start)
            while sent < end - start:
                chunk = file.read(min(1 if drip_s else 1 << 18, end - start - sent))
                time.sleep(drip_s)
                if flipped:
                    chunk = chunk.translate(_FLIPPED)
                try:
                    self.wfile.write(chunk)
                except OSError:  # the client has heard enough
                    self.close_connection = True
                    break
                sent += len(chunk)
        return sent
