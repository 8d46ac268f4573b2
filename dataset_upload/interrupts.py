"""Ctrl-C, and SIGTERM, by which batch systems end a job: neither is ever lost.

Python raises KeyboardInterrupt wherever the program happens to be. In a finalizer, or where a C library has called
back, the exception is printed and dropped, and a run of hours goes on. So an interrupt is also remembered, and loops
that take long ask for it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import ParamSpec, TypeVar

from dataset_upload.logs import say

P = ParamSpec("P")
T = TypeVar("T")

EXIT_INTERRUPTED = 130

_interrupted = False


def interruptible(advice: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Make a command's main function end with one line and exit code 130 when it is interrupted.

    Args:
        advice: what is left of the work and how to go on.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            with _interrupts_remembered():
                try:
                    return main(*args, **kwargs)
                except KeyboardInterrupt:
                    say(f"Interrupted: {advice}", sys.stderr)
                    return EXIT_INTERRUPTED

        return run

    return decorate


def until_interrupted(items: Iterable[T]) -> Iterator[T]:
    """The same items; KeyboardInterrupt instead of the next one if there was an interrupt, however long ago."""
    for item in items:
        if _interrupted:
            raise KeyboardInterrupt
        yield item


@contextmanager
def _interrupts_remembered() -> Iterator[None]:
    global _interrupted
    _interrupted = False
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ignored = {number for number, handler in handlers.items() if handler in (signal.SIG_IGN, None)}
    for number in handlers.keys() - ignored:  # a shell has what it starts in the background ignore Ctrl-C
        signal.signal(number, _interrupt)
    hooks = sys.excepthook, sys.unraisablehook
    # What prints an exception as it is dropped.
    sys.excepthook = lambda kind, *rest: None if kind is KeyboardInterrupt else hooks[0](kind, *rest)
    sys.unraisablehook = lambda dropped: None if dropped.exc_type is KeyboardInterrupt else hooks[1](dropped)
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = hooks
        for number in handlers.keys() - ignored:
            signal.signal(number, handlers[number])


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt
