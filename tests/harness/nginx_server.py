"""A real web server on loopback: nginx, as Debian has it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CONFIGURATION = """
daemon off;
master_process off;
pid {work}/nginx.pid;
error_log {work}/error.log;
events {{}}
http {{
    log_format requests '$connection $request_method $uri $status $body_bytes_sent';
    access_log {work}/access.log requests;
    client_body_temp_path {work};
    proxy_temp_path {work};
    fastcgi_temp_path {work};
    uwsgi_temp_path {work};
    scgi_temp_path {work};
    server {{
        listen 127.0.0.1:{port};
        root {folder};
    }}
}}
"""


class Nginx:
    """A running nginx.

    Attributes:
        url: of the folder that it serves.
    """

    def __init__(self, url: str, access_log: Path) -> None:
        self.url = url
        self._access_log = access_log

    def requests(self) -> list[tuple[int, int]]:
        """(connection, bytes of the body) of each GET so far."""
        lines = [line.split() for line in self._access_log.read_text().splitlines()]
        return [(int(connection), int(size)) for connection, method, _, _, size in lines if method == "GET"]


@contextmanager
def nginx_serving(folder: Path, work: Path) -> Iterator[Nginx]:
    """Start nginx for a folder; skips the test where it is not installed.

    Args:
        work: folder for its configuration, logs and whatever else it writes.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if program is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = work / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(work=work, port=port, folder=folder))
    command = [program, "-c", str(configuration), "-p", str(work), "-e", str(work / "error.log")]
    process = subprocess.Popen(command)
    try:
        _wait_until_it_answers(process, port)
        yield Nginx(f"http://127.0.0.1:{port}", work / "access.log")
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(200):
        assert process.poll() is None, "nginx has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("nginx does not answer")
