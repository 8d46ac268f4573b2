"""How every command runs and ends: an exit code, and one line where that is not 0.

@command("the same command goes on")
def main(argv: Sequence[str] | None) -> int:
    import what_takes_long  # inside: from the first moment an interrupt ends in one line
    ...

if __name__ == "__main__":
    exit_with(main())
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec

from dataset_upload.console.interrupts import interrupts_remembered, set_interrupts, was_interrupted

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

P = ParamSpec("P")

_ADDRESS_SPACE = 2_560_000_000  # bytes; a conversion by two workers takes up to 2,124 MB, most of it by libraries

# How those say it that know no MemoryError: the dynamic linker, the thread library.
_OUT_OF_MEMORY = ("failed to map segment", "annot allocate memory", "can't start new thread")

# The extra of pyproject.toml that brings a module.
_EXTRAS = {
    "matplotlib": "viz",
    "PIL": "viz",
    "rerun": "rerun",
    "ray": "ray",
    "torch": "train",
    "accelerate": "train",
}


def command(advice: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Make a command's main function end with an exit code, whatever happens in it, and say why in one line.

    Args:
        advice: what is left of the work when it is stopped or interrupted, and how to go on.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            with interrupts_remembered():
                try:
                    from dataset_upload.redaction import redact_output

                    redact_output()
                    _check_address_space()
                    return main(*args, **kwargs)
                except (Exception, KeyboardInterrupt) as error:
                    set_interrupts(signal.SIG_IGN)  # it is ending
                    return _end(error, advice)

        return run

    return decorate


def exit_with(exit_code: int) -> NoReturn:
    """End the process. From here on an interrupt ends it at once and without a word, as nothing is left to do."""
    from dataset_upload.console.logs import silence

    set_interrupts(signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads it any more
            silence(stream)
    exec("")  # else Python ends by SIGINT, if KeyboardInterrupt has left an exec'd string: a namedtuple being made, say
    sys.exit(exit_code)


def _check_address_space() -> None:
    """Raises UsageError where memory is so limited that libraries die, or hang, instead of raising MemoryError."""
    import resource

    from dataset_upload.errors import UsageError

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit not in (resource.RLIM_INFINITY, -1) and limit < _ADDRESS_SPACE:
        raise UsageError(
            f"ulimit -v allows {limit / 1e6:,.0f} MB of address space, which is not what is in use; allow at least "
            f"{_ADDRESS_SPACE / 1e6:,.0f} MB: ulimit -v {_ADDRESS_SPACE // 1024}"
        )


def _end(error: BaseException, advice: str) -> int:
    """Say why a command ends; returns its exit code."""
    from dataset_upload.errors import UsageError

    if was_interrupted() or isinstance(error, KeyboardInterrupt):  # a library may have made another error of it
        return _say(f"Interrupted: {advice}", EXIT_INTERRUPTED)
    if isinstance(error, UsageError):
        return _say(f"Error: {error}", EXIT_USAGE)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _EXTRAS:
        return _say(f"Error: {_missing_extra(error)}", EXIT_USAGE)
    return _say(f"Stopped: {_reason(error)}; {advice}", EXIT_STOPPED)


def _say(line: str, exit_code: int) -> int:
    from dataset_upload.console.logs import is_first_process, say

    if is_first_process():
        say(line, sys.stderr)
    return exit_code


def _missing_extra(error: ModuleNotFoundError) -> str:
    module = (error.name or "").partition(".")[0]
    extra = _EXTRAS[module]
    return (
        f"{module} is not installed; start with uv run --extra {extra}, or pip install '.[{extra}]' in the checkout, "
        f"or 'FILE.whl[{extra}]'"
    )


def _reason(error: BaseException) -> str:
    """What stopped a command, and what to do about it where that is known."""
    from dataset_upload.errors import StoppedError

    if isinstance(error, StoppedError):
        return str(error)
    text = " ".join(str(error).split())
    number = getattr(error, "errno", None)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(words in text for words in _OUT_OF_MEMORY):
        return "out of memory; end other programs, or allow this one more (ulimit -v)"
    if number in (errno.EMFILE, errno.ENFILE) or os.strerror(errno.EMFILE) in text:
        return "too many open files; allow more (ulimit -n)"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    import traceback

    if sys.flags.dev_mode:  # python -X dev
        traceback.print_exception(error)
    *_, place = traceback.extract_tb(error.__traceback__)
    return f"unexpected {type(error).__name__}: {text} ({place.filename}, line {place.lineno})"
