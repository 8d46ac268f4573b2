"""Ranges of a file behind http(s).

Connections are kept open from one request to the next. What a cut connection has brought is kept, and the rest asked
for. Each answer must belong to the file that was first looked at: same size, same ETag.
"""

from __future__ import annotations

import os
import re
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from dataset_upload.errors import EpisodeError, Reason, StoppedError
from dataset_upload.storage.retries import TryAgainError, in_time, read_with_retries

if TYPE_CHECKING:
    import urllib3

TIMEOUT_S = 60.0  # without a byte
_PROBE_ATTEMPTS = 3  # whoever has mistyped a URL wants to know it now
# Each request brings something, or is tried again: but one by one, cut connections could bring single bytes for ever.
_MAX_REQUESTS, _MIN_REQUEST_BYTES = 32, 64 * 1024
_MAX_CONNECTIONS = 4  # kept open to one server; one is used, or one more by each thread that reads at the same time
_CHUNK_BYTES = 256 * 1024


class HttpFile(NamedTuple):
    """A file as its server describes it with every answer."""

    size: int  # bytes
    version: str  # ETag, or the time of its last modification


def probe(url: str) -> HttpFile:
    """Ask what file is there, by asking for its first byte.

    Raises:
        EpisodeError: no useful answer after several attempts.
        StoppedError: the server has no such file, or serves no ranges.
    """

    file, _ = read_with_retries(partial(_receive, url, 0, 1), url, attempts=_PROBE_ATTEMPTS)
    return file


def read(url: str, start: int, end: int, expected: HttpFile) -> bytes:
    """Bytes [start, end).

    Raises:
        EpisodeError: they did not come, after many attempts.
        StoppedError: the file is not the expected one any more, or is gone.
    """
    received: list[bytes] = []
    for _ in range(_MAX_REQUESTS + (end - start) // _MIN_REQUEST_BYTES):
        position = start + sum(map(len, received))
        if position == end:
            return b"".join(received)
        _, chunks = read_with_retries(partial(_receive, url, position, end, expected), url)
        received += chunks
    raise EpisodeError(Reason.UNREADABLE_SOURCE, f"Error reading {url}: the connection is cut again and again")


def _receive(url: str, start: int, end: int, expected: HttpFile | None = None) -> tuple[HttpFile, list[bytes]]:
    """The file, and what one request brings of bytes [start, end), in pieces: less if it is cut.

    Raises:
        TryAgainError: it has brought nothing, or not all in time.
        StoppedError: another file than the expected one answers.
    """
    return in_time(end - start, partial(_request, url, start, end, expected))


def _request(url: str, start: int, end: int, expected: HttpFile | None) -> tuple[HttpFile, list[bytes]]:
    """As `_receive`, however long it takes."""
    import urllib3

    received: list[bytes] = []
    file, response = _get(url, start, end)
    with response:  # closes the connection if anything is left on it, else leaves it open for the next request
        if expected is not None and file != expected:
            raise StoppedError(f"{url} has changed while it was being read")
        try:
            while start < end and (chunk := response.read1(min(end - start, _CHUNK_BYTES), decode_content=False)):
                received.append(chunk)
                start += len(chunk)
        except urllib3.exceptions.HTTPError as error:
            if not received:
                raise TryAgainError(_without_address(error)) from None
    if not received:
        raise TryAgainError("an empty answer")
    return file, received


def _get(url: str, start: int, end: int) -> tuple[HttpFile, urllib3.BaseHTTPResponse]:
    """Ask for bytes [start, end); returns the file and an answer that begins at `start`, its body not yet read."""
    import urllib3

    try:
        response = _connections(os.getpid(), _proxy(url)).request(
            "GET", url, headers={"Range": f"bytes={start}-{end - 1}"}, preload_content=False
        )
    except urllib3.exceptions.LocationValueError:  # whose text may quote a part of the password
        raise StoppedError(f"{url} is not a URL that can be read, or redirects to one that is not") from None
    except urllib3.exceptions.HTTPError as error:
        raise TryAgainError(_without_address(error)) from None
    content_range = response.headers.get("Content-Range", "")
    match = re.fullmatch(rf"bytes {start}-\d+/(\d+)", content_range)
    if response.status == 206 and match:
        version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        return HttpFile(int(match[1]), version), response
    response.close()
    if response.status == 206:
        raise TryAgainError(f"asked for bytes {start}-{end - 1}, the server answers {content_range or 'others'}")
    if response.status == 200:
        raise StoppedError(f"{url}: its server ignores range requests; download the file and give its path")
    if response.status == 429 or response.status >= 500:
        raise TryAgainError(f"the server answers {response.status}", _retry_after_s(response))
    raise StoppedError(f"{url} cannot be read: the server answers {response.status}")


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else None


def _without_address(error: Exception) -> str:
    """urllib3's errors without the address, which the message has already."""
    import urllib3

    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection was cut"
    return str(error).rpartition(": ")[2]


def _proxy(url: str) -> str | None:
    """The proxy that the environment prescribes for a URL."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


@cache
def _connections(process: int, proxy: str | None) -> urllib3.PoolManager:
    """Connections, a set for each process: forked ones would read each other's answers."""
    import urllib3

    redirects_only = urllib3.Retry(total=None, redirect=5, connect=False, read=False, status=False, other=False)
    if proxy is None:
        return urllib3.PoolManager(retries=redirects_only, timeout=TIMEOUT_S, maxsize=_MAX_CONNECTIONS)
    return urllib3.ProxyManager(proxy, retries=redirects_only, timeout=TIMEOUT_S, maxsize=_MAX_CONNECTIONS)
