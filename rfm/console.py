"""What a command says: plain lines on standard output, above whatever progress bar is on the screen."""

from __future__ import annotations

import logging
import os
import sys

from tqdm import tqdm


class _LineHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def log_to_terminal() -> None:
    """Show the package's log; of several processes, only the first one's."""
    logger = logging.getLogger("rfm")
    logger.handlers = [_LineHandler()]
    logger.setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.ERROR)
    logger.propagate = False
