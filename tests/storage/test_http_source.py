"""Ranges over http from a server that misbehaves: the right bytes come, or a clear error, never wrong bytes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from range_server import Fault, RangeServer, serving

from dataset_upload.dataset_loaders.egodex import archive
from dataset_upload.errors import EpisodeError, StoppedError, UsageError
from dataset_upload.storage import http_source, retries
from dataset_upload.storage.byte_source import ByteSource, open_source, take_fetched_bytes

SIZE = 16_000_000
CONTENT = os.urandom(SIZE)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RangeServer]:
    (tmp_path / "test.zip").write_bytes(CONTENT)
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def source(server: RangeServer) -> ByteSource:
    return open_source(f"{server.url}/test.zip")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which the tests do not wait for."""
    pauses: list[float] = []
    monkeypatch.setattr(retries, "time", SimpleNamespace(sleep=pauses.append))
    return pauses


def from_now_on(server: RangeServer, fault: Fault, *, times: int = 10**6, after: int = 0) -> None:
    """Have the next `times` answers go wrong, but for the first `after`."""
    first = server.num_requests + after
    server.fault = lambda number: fault if first <= number < first + times else None


def test_a_range_is_what_lies_there(source: ByteSource) -> None:
    assert source.read(1_000, 2_000_000) == CONTENT[1_000:2_000_000]
    assert source.read(SIZE - 1, SIZE) == CONTENT[-1:]


def test_nothing_but_the_range_is_fetched(server: RangeServer, source: ByteSource) -> None:
    take_fetched_bytes()
    source.read(1_000, 5_000)
    assert [(r.start, r.end, r.body_bytes) for r in server.requests] == [(0, 1, 1), (1_000, 5_000, 4_000)]
    assert take_fetched_bytes() == 4_000


def test_one_connection_serves_many_reads(server: RangeServer, source: ByteSource) -> None:
    for start in range(0, SIZE, 500_000):
        source.read(start, start + 100_000)
    assert {request.connection for request in server.requests} == {1}


def test_threads_do_not_get_each_others_answers(source: ByteSource) -> None:
    wrong: list[int] = []

    def read_many(offset: int) -> None:
        for start in range(offset, SIZE - 5_000, 500_021):
            if source.read(start, start + 5_000) != CONTENT[start : start + 5_000]:
                wrong.append(start)

    threads = [threading.Thread(target=read_many, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_forked_process_does_not_use_the_connection_of_its_parent(source: ByteSource) -> None:
    process = os.fork()
    if process == 0:
        os._exit(0 if all(source.read(i, i + 999) == CONTENT[i : i + 999] for i in range(0, 99_000, 999)) else 1)
    assert all(source.read(i, i + 999) == CONTENT[i : i + 999] for i in range(0, 99_000, 999))
    assert os.waitpid(process, 0)[1] == 0


# What may pass is tried again


def test_a_connection_cut_in_the_middle_of_each_answer_loses_nothing(
    server: RangeServer, source: ByteSource, pauses: list[float]
) -> None:
    from_now_on(server, Fault(cut_at=0.5))
    take_fetched_bytes()
    assert source.read(0, SIZE) == CONTENT
    assert take_fetched_bytes() == SIZE  # what had come was not fetched again
    assert pauses == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_error_is_waited_out_longer_each_time(
    server: RangeServer, source: ByteSource, pauses: list[float], status: int
) -> None:
    from_now_on(server, Fault(status=status), times=4)
    assert source.read(0, 5_000) == CONTENT[:5_000]
    assert pauses == [0.5, 1, 2, 4]


@pytest.mark.parametrize("says, waited", [("7", 7), ("3600", 60), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.5)])
def test_a_server_may_say_how_long_to_wait(
    server: RangeServer, source: ByteSource, pauses: list[float], says: str, waited: float
) -> None:
    from_now_on(server, Fault(status=429, headers={"Retry-After": says}), times=1)
    assert source.read(0, 5_000) == CONTENT[:5_000]
    assert pauses == [waited]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(headers={"Content-Range": f"bytes 5-5004/{SIZE}"}), id="another range"),
        pytest.param(Fault(headers={"Content-Range": "bytes"}), id="nonsense"),
        pytest.param(Fault(without=("Content-Range",)), id="no range"),
        pytest.param(Fault(cut_at=0), id="nothing"),
        pytest.param(Fault(headers={"Content-Length": "0", "Connection": "close"}, cut_at=0), id="empty"),
    ],
)
def test_an_answer_that_is_of_no_use_is_asked_for_again(
    server: RangeServer, source: ByteSource, pauses: list[float], fault: Fault
) -> None:
    from_now_on(server, fault, times=2)
    assert source.read(0, 5_000) == CONTENT[:5_000]
    assert len(pauses) == 2


@pytest.mark.parametrize("length", [10, 4_999, 5_001, 10**9])
def test_a_content_length_that_lies_does_no_harm(
    server: RangeServer, source: ByteSource, pauses: list[float], length: int
) -> None:
    from_now_on(server, Fault(headers={"Content-Length": str(length)}), times=1)
    assert source.read(0, 5_000) == CONTENT[:5_000]
    assert source.read(5_000, 10_000) == CONTENT[5_000:10_000]


def test_more_than_was_asked_for_is_not_read(server: RangeServer, source: ByteSource) -> None:
    from_now_on(server, Fault(headers={"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}"}), times=1)
    assert source.read(0, 5_000) == CONTENT[:5_000]


def test_a_silent_server_is_given_up_and_asked_again(
    server: RangeServer, source: ByteSource, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_source, "TIMEOUT_S", 0.2)
    http_source._connections.cache_clear()
    from_now_on(server, Fault(silence_s=1), times=1)
    start = time.monotonic()
    assert source.read(0, 5_000) == CONTENT[:5_000]
    assert time.monotonic() - start < 1
    http_source._connections.cache_clear()


@pytest.mark.parametrize("fault", [Fault(drip_s=0.05), Fault(drip_headers_s=0.05)], ids=["body", "headers"])
def test_a_server_that_drips_is_given_up_and_asked_again(
    server: RangeServer, source: ByteSource, pauses: list[float], monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(retries, "REQUEST_S", 0.3)
    monkeypatch.setattr(retries, "ATTEMPTS", 3)
    from_now_on(server, fault, times=2)
    assert source.read(0, 5_000) == CONTENT[:5_000]
    from_now_on(server, fault)
    with pytest.raises(EpisodeError, match=r"the answer was not done within 0 s \(3 attempts\)"):
        source.read(0, 5_000)


@pytest.mark.parametrize("url", ["{server}/test.zip", "memory://egodex/dripping.zip"])
def test_listing_has_an_end(
    server: RangeServer, pauses: list[float], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """However promising each single request is."""
    fsspec.filesystem("memory").pipe("/egodex/dripping.zip", CONTENT)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *arguments, **options: time.sleep(2))
    monkeypatch.setattr(archive, "LISTING_S", 0.3)
    from_now_on(server, Fault(drip_s=0.05))
    start = time.monotonic()
    with pytest.raises(UsageError, match="was not done within 0 s; download the archive"):
        archive.list_episodes(url.format(server=server.url))
    assert time.monotonic() - start < 2


def test_an_fsspec_store_that_takes_its_time_is_asked_again(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("memory").pipe("/egodex/slow.zip", CONTENT)
    source = open_source("memory://egodex/slow.zip")
    monkeypatch.setattr(retries, "REQUEST_S", 0.1)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *arguments, **options: time.sleep(2))
    with pytest.raises(EpisodeError, match="not done within"):
        source.read(0, 5_000)
    assert len(pauses) == 7
    monkeypatch.setattr(MemoryFileSystem, "info", lambda *arguments, **options: time.sleep(2))
    with pytest.raises(UsageError, match="not done within"):
        open_source("memory://egodex/slow.zip")


def test_connections_that_are_cut_after_each_byte_cost_the_episode(
    server: RangeServer, source: ByteSource, pauses: list[float]
) -> None:
    from_now_on(server, Fault(cut_at=1e-9))
    with pytest.raises(EpisodeError, match="cut again and again"):
        source.read(0, 5_000)


def test_what_does_not_pass_costs_the_episode(server: RangeServer, source: ByteSource, pauses: list[float]) -> None:
    from_now_on(server, Fault(status=503))
    with pytest.raises(EpisodeError, match=r"Error reading http://.*/test.zip: the server answers 503 \(8 attempts\)"):
        source.read(0, 5_000)
    assert 60 < sum(pauses) < 70


def test_a_server_that_has_gone_costs_the_episode(server: RangeServer, source: ByteSource, pauses: list[float]) -> None:
    server.shutdown()
    server.server_close()
    http_source._connections.cache_clear()
    with pytest.raises(EpisodeError, match="Connection refused"):
        source.read(0, 5_000)


# What will not pass stops the run


@pytest.mark.parametrize("status", [401, 403, 404, 410, 416])
def test_a_file_that_is_not_to_be_had_any_more_stops_the_run(
    server: RangeServer, source: ByteSource, status: int
) -> None:
    from_now_on(server, Fault(status=status))
    with pytest.raises(StoppedError, match=f"cannot be read: the server answers {status}"):
        source.read(0, 5_000)


def test_a_server_that_stops_serving_ranges_stops_the_run(server: RangeServer, source: ByteSource) -> None:
    from_now_on(server, Fault(whole_file=True))
    with pytest.raises(StoppedError, match="ignores range requests"):
        source.read(0, 5_000)
    assert server.body_bytes < SIZE  # nobody listened to the end


def another_etag(server: RangeServer) -> None:
    server.etag = '"another"'


def another_size(server: RangeServer) -> None:
    with (server.folder / "test.zip").open("ab") as file:
        file.write(b"more")


def another_content(server: RangeServer) -> None:
    (server.folder / "test.zip").write_bytes(CONTENT[::-1])


def no_etag_any_more(server: RangeServer) -> None:
    from_now_on(server, Fault(without=("ETag",)))


@pytest.mark.parametrize("change", [another_etag, another_size, another_content, no_etag_any_more])
def test_a_file_that_changes_between_two_reads_stops_the_run(
    server: RangeServer, source: ByteSource, change: Callable[[RangeServer], None]
) -> None:
    source.read(0, 5_000)
    change(server)
    with pytest.raises(StoppedError, match="has changed while it was being read"):
        source.read(5_000, 10_000)


def test_a_file_that_changes_in_the_middle_of_a_read_stops_the_run(server: RangeServer, source: ByteSource) -> None:
    first = server.num_requests

    def cut_then_change(number: int) -> Fault | None:
        if number > first:
            server.etag = '"another"'
        return Fault(cut_at=0.5)

    server.fault = cut_then_change
    with pytest.raises(StoppedError, match="has changed"):
        source.read(0, SIZE)


# At the start


@pytest.mark.parametrize(
    "fault, says",
    [
        (Fault(whole_file=True), "ignores range requests; download the file and give its path"),
        (Fault(status=404), "the server answers 404"),
        (Fault(status=503), r"the server answers 503 \(3 attempts\)"),
        (Fault(headers={"Content-Range": "bytes 0-0/*"}), r"the server answers bytes 0-0/\*"),
    ],
)
def test_a_file_that_cannot_be_read_by_ranges_is_refused_at_once(
    server: RangeServer, pauses: list[float], fault: Fault, says: str
) -> None:
    from_now_on(server, fault)
    with pytest.raises(UsageError, match=f"^http.*{says}|^Error reading http.*{says}") as error:
        open_source(f"{server.url}/test.zip")
    assert "\n" not in str(error.value)
    assert server.body_bytes < SIZE


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/test.zip", "http://nowhere.invalid/test.zip", "http://[x/y.zip"])
def test_a_wrong_url_is_refused_in_one_line(pauses: list[float], url: str) -> None:
    with pytest.raises(UsageError, match=r"^(Error reading )?http") as error:
        open_source(url)
    assert "\n" not in str(error.value)


def test_what_may_be_secret_in_a_url_is_not_shown(server: RangeServer, pauses: list[float]) -> None:
    secret = f"{server.url.replace('//', '//user:password@')}/test.zip?signature=secret"
    source = open_source(secret)
    assert source.read(0, 5_000) == CONTENT[:5_000]
    assert source.redacted_location == f"{server.url}/test.zip"
    from_now_on(server, Fault(status=403))
    with pytest.raises(StoppedError) as error:
        source.read(0, 5_000)
    assert f"{server.url}/test.zip cannot be read" in str(error.value)


def test_redirections_are_followed(server: RangeServer) -> None:
    server.fault = lambda number: Fault(status=302, headers={"Location": "/test.zip"}) if number % 2 == 0 else None
    assert open_source(f"{server.url}/elsewhere.zip").read(0, 5_000) == CONTENT[:5_000]


def test_the_proxy_that_the_environment_names_is_used(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    assert open_source("http://far.invalid/test.zip").read(0, 5_000) == CONTENT[:5_000]


def test_hosts_that_the_environment_excepts_are_reached_directly(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert open_source(f"{server.url}/test.zip").read(0, 5_000) == CONTENT[:5_000]
