"""What travels between the pipeline and whatever does its work: jobs there, pieces back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

# A file's content, or those of a folder's files by their names; or a finished and flushed file, or folder of files,
# that only has to be moved into its place.
Content = bytes | Mapping[str, bytes] | Path

SourceState = tuple[int, tuple[int, ...]]  # size in bytes, and a version of each file


class Job(NamedTuple):
    """One episode to convert; picklable."""

    episode: Any  # as the loader listed it
    key: str
    number: int  # of the piece: given once, kept for good
    source_state: SourceState  # of the episode's files when the run began

    def __str__(self) -> str:
        return str(self.episode)


class Piece(NamedTuple):
    """What a format makes of one trajectory, complete: nothing is left for the pipeline but to put it into its place.

    Attributes:
        records: one finished record a table, by the table's name: an Arrow file of one row.
        media: files, or folders of files, by their path in the dataset's folder.
        media_bytes: their size.
        media_sha256: of their contents, one after the other in the order of their names.
        encoder_cpu: the processor's extensions that the encoder of media used, where its bytes depend on them.
        is_drawn: whether the episode was not filmed.
        note: what had to be mended, in one line.
        summary: what was done, in one line.
        seconds: that it took.
        fetched_bytes: that the process has fetched from elsewhere since the piece before.
    """

    records: Mapping[str, Content]
    media: Mapping[str, Content]
    media_bytes: int
    media_sha256: str
    encoder_cpu: str | None = None
    is_drawn: bool = False
    note: str | None = None
    summary: str = ""
    seconds: float = 0.0
    fetched_bytes: int = 0
