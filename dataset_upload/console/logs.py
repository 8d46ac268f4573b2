"""What commands say: plain lines for people, above whatever progress bar is on the screen."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

from dataset_upload.errors import one_line

logger = logging.getLogger("dataset_upload")

_LOGGERS = (logger, logging.getLogger("reward_model"))


def say(line: str, stream: TextIO) -> None:
    """Write a line above the progress bar; whatever it holds, it stays one line.

    A full disk under a log file, or a pipe that nobody reads any more, silences the stream; it costs no run its work.
    """
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)  # not imported, it cannot have drawn a bar either
    try:
        if tqdm is None:
            stream.write(f"{one_line(line)}\n")
        else:
            tqdm.write(one_line(line), file=stream)
        stream.flush()
    except OSError:
        silence(stream)


def silence(stream: TextIO) -> None:
    """Drop what is written to a stream from now on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_first_process() -> bool:
    """Whether this is the one that speaks, of those that a launcher has started to train together."""
    return os.environ.get("RANK", "0") == "0"


class _LineHandler(logging.Handler):
    """Information to standard output, warnings and errors to standard error, as they are worded."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), sys.stderr if record.levelno >= logging.WARNING else sys.stdout)


def log_to_terminal(*, verbose: bool = False) -> None:
    """Show the packages' logs on the terminal; `verbose` adds the lines about each trajectory."""
    level = logging.DEBUG if verbose else logging.INFO
    for each in _LOGGERS:
        each.handlers = [_LineHandler()]
        each.setLevel(level if is_first_process() else logging.ERROR)
        each.propagate = False
