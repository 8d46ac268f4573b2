"""Files that do not hold what was written into them, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa


class DamagedFileError(ValueError):
    """A file of ours is not as it was written.

    Attributes:
        path: which.
    """

    def __init__(self, path: Path, what: str) -> None:
        """`what` is wrong, in half a sentence."""
        super().__init__(f"{path}: {what}")
        self.path = path


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raises DamagedFileError where the block cannot make sense of a file; what the system refuses stays an OSError."""
    try:
        yield
    except DamagedFileError:
        raise
    except (pa.ArrowException, ValueError, EOFError, OSError) as error:  # FFmpeg's are of the latter three
        if isinstance(error, OSError) and error.errno is not None:  # Arrow has none where it is a file's content
            raise
        raise DamagedFileError(path, " ".join(str(error).split())) from error
