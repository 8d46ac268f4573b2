"""The one way in which a call is made again: which errors are waited out, how often, how long."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dataset_upload.storage import retries
from dataset_upload.storage.retries import TryAgainError, doubling, retry


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which the tests do not wait for."""
    pauses: list[float] = []
    monkeypatch.setattr(retries, "time", SimpleNamespace(sleep=pauses.append))
    return pauses


class Call:
    """A call that raises these errors, one each time, before it succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def passes(error: Exception) -> bool:
    return not isinstance(error, ValueError)


def test_what_passes_is_waited_out(pauses: list[float]) -> None:
    call = Call(OSError(), KeyError(), OSError())
    assert retry(call, attempts=4, pause_s=doubling(0.5), may_pass=passes) == "done"
    assert pauses == [0.5, 1, 2]


def test_what_stays_is_raised_after_the_last_attempt(pauses: list[float]) -> None:
    call = Call(*(OSError(number) for number in range(10)))
    with pytest.raises(OSError, match=r"^2$"):
        retry(call, attempts=3, pause_s=doubling(1), may_pass=passes)
    assert pauses == [1, 2] and len(call.errors) == 7


def test_what_will_not_pass_is_raised_at_once(pauses: list[float]) -> None:
    with pytest.raises(ValueError):
        retry(Call(ValueError()), attempts=3, pause_s=doubling(1), may_pass=passes)
    assert pauses == []


@pytest.mark.parametrize(("wish", "pause"), [(7, 7), (0, 0), (3600, 60), (None, 5)])
def test_the_server_s_wish_counts_up_to_a_minute(pauses: list[float], wish: float | None, pause: float) -> None:
    retry(Call(TryAgainError("busy", wish)), attempts=2, pause_s=lambda _: 5, may_pass=passes)
    assert pauses == [pause]


def test_a_doubling_pause_is_a_minute_at_most() -> None:
    assert [doubling(0.5)(failures) for failures in (1, 2, 7, 8, 20)] == [0.5, 1, 32, 60, 60]
