"""Ctrl-C, and SIGTERM, by which batch systems end a job: neither is ever lost.

Python raises KeyboardInterrupt wherever the program happens to be. In a finalizer, or where a C library has called
back, the exception is printed and dropped, and a run of hours goes on. So an interrupt is also remembered, and loops
that take long ask for it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_interrupted = False


def until_interrupted(items: Iterable[T]) -> Iterator[T]:
    """The same items; KeyboardInterrupt instead of the next one if there was an interrupt, however long ago."""
    for item in items:
        if _interrupted:
            raise KeyboardInterrupt
        yield item


def was_interrupted() -> bool:
    """Whether there was an interrupt since `interrupts_remembered` began."""
    return _interrupted


@contextmanager
def interrupts_remembered() -> Iterator[None]:
    """Raise KeyboardInterrupt at either signal, and remember it; afterwards all is as it was."""
    global _interrupted
    _interrupted = False
    handlers = {number: signal.getsignal(number) for number in _not_ignored()}
    for number in handlers:
        signal.signal(number, _interrupt)
    hooks = sys.excepthook, sys.unraisablehook
    # What prints an exception as it is dropped.
    sys.excepthook = lambda kind, *rest: None if kind is KeyboardInterrupt else hooks[0](kind, *rest)
    sys.unraisablehook = lambda dropped: None if dropped.exc_type is KeyboardInterrupt else hooks[1](dropped)
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = hooks
        for number, handler in handlers.items():
            signal.signal(number, handler)


def set_interrupts(action: signal.Handlers) -> None:
    """Ignore both signals from now on, or let them end the process without a word."""
    for number in _not_ignored():
        signal.signal(number, action)


def _not_ignored() -> list[signal.Signals]:
    """The signals that this process does not ignore: a shell has what it starts in the background ignore Ctrl-C."""
    return [number for number in _SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt
