"""An end to calls that may never return: a server that sends a byte a second is never silent, and never done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """Make a call in a thread of its own, which is left to itself when time is up.

    Raises:
        TimeoutError: it has not returned in time.
    """
    outcomes: SimpleQueue[Any] = SimpleQueue()

    def run() -> None:
        try:
            outcomes.put((call(), None))
        except BaseException as error:
            outcomes.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = outcomes.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"not done within {seconds:.0f} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]
