"""Every way a run or an episode can end other than well, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from dataset_upload.redaction import redact


class Reason(StrEnum):
    """Why an episode has no row. The value is what the ledger and the summary say."""

    MISSING_MP4 = "missing mp4"
    MISSING_HDF5 = "missing hdf5"
    NO_DESCRIPTION = "no description"

    UNREADABLE_HDF5 = "unreadable hdf5"
    MISSING_TRANSFORMS = "missing transforms"
    MISSING_JOINT = "missing joint"
    EMPTY_POSES = "empty poses"
    NAN_POSES = "nan poses"
    UNUSABLE_INTRINSICS = "unusable intrinsics"
    UNREADABLE_VIDEO = "unreadable video"
    TRUNCATED_VIDEO = "truncated video"
    ZERO_FRAMES = "zero frames"
    FRAME_RATE = "frame rate"
    FRAME_SIZE = "frame size"
    FRAME_COUNT_MISMATCH = "frame count mismatch"
    TOO_LARGE = "too large"
    PERMISSION_DENIED = "permission denied"
    UNREADABLE_SOURCE = "unreadable source"
    OUT_OF_MEMORY = "out of memory"
    WORKER_DIED = "worker died"
    TIMED_OUT = "timed out"
    UNEXPECTED = "unexpected error"

    @property
    def is_skip(self) -> bool:
        """Whether nothing is wrong with the files: there is only nothing in them to convert."""
        return self in (Reason.MISSING_MP4, Reason.MISSING_HDF5, Reason.NO_DESCRIPTION)


def one_line(text: str) -> str:
    """A text as messages may show it: without secrets, line breaks or anything else that a terminal obeys.

    Names of files, and what libraries and servers say, may hold all of it.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in redact(text))


class EpisodeError(Exception):
    """One episode that cannot become a row; it never costs another one.

    `str(error)` is one line for people: what happened and to which file.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        self.message = one_line(message)
        super().__init__(reason, self.message)  # both, so that the error survives pickling between processes

    def __str__(self) -> str:
        return self.message


class OneLineError(Exception):
    """An error whose text is one line for people."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class UsageError(OneLineError):
    """The call, or the command, cannot do what it was asked (exit code 2): the line names the argument and the cure.

    Attributes:
        argument: the name of what was given wrong, with which the line begins; None if the message itself says it.
    """

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument

    def __str__(self) -> str:
        message = super().__str__()
        return message if self.argument is None else f"{self.argument}: {message}"


@contextmanager
def naming_argument(name: str) -> Iterator[None]:
    """Within the block, also as a decorator: a UsageError that names no argument is about this one."""
    try:
        yield
    except UsageError as error:
        error.argument = error.argument or name
        raise


class StoppedError(OneLineError):
    """The run had to stop, but everything finished is kept and a re-run continues (exit code 3)."""
