"""The one logger: plain lines for people, above whatever progress bar is on the screen."""

from __future__ import annotations

import logging
import sys

logger = logging.getLogger("dataset_upload")


class _LineHandler(logging.Handler):
    """Information to standard output, warnings and errors to standard error, as they are worded."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        tqdm.write(self.format(record), file=stream)
        stream.flush()


def log_to_terminal(*, verbose: bool = False) -> None:
    """Show the package's log on the terminal; `verbose` adds the lines about each trajectory."""
    logger.handlers = [_LineHandler()]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
