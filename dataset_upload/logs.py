"""The one logger: plain lines for people, above whatever progress bar is on the screen."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

from dataset_upload.errors import one_line

logger = logging.getLogger("dataset_upload")


def say(line: str, stream: TextIO) -> None:
    """Write a line above the progress bar; whatever it holds, it stays one line.

    A full disk under a log file, or a pipe that nobody reads any more, silences the stream; it costs no run its work.
    """
    from tqdm import tqdm

    try:
        tqdm.write(one_line(line), file=stream)
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _LineHandler(logging.Handler):
    """Information to standard output, warnings and errors to standard error, as they are worded."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), sys.stderr if record.levelno >= logging.WARNING else sys.stdout)


def log_to_terminal(*, verbose: bool = False) -> None:
    """Show the package's log on the terminal; `verbose` adds the lines about each trajectory."""
    logger.handlers = [_LineHandler()]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
