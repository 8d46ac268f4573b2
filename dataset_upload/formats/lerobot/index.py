"""Which file each episode is in, and where: derived from the list of episodes, never patched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dataset_upload.formats.lerobot.layout import CHUNK

DATA_BYTES = 100 * 10**6  # of a file of rows, at most; of what is not compressed, so that the file is smaller
VIDEO_BYTES = 200 * 10**6  # of the coded pictures of a video, at most
_GROUP_BYTES = 20_000  # what a row group takes beside its rows


class EpisodeFacts(NamedTuple):
    """What places of files depend on.

    Attributes:
        length: its number of frames.
        clip_bytes: the size of its coded pictures.
        task: in words.
        coding: how its pictures are coded, as `packed_video.coding_of` has it.
    """

    length: int
    clip_bytes: int
    task: str
    coding: str

    @property
    def frame_size(self) -> str:
        """Width and height of its pictures, as in "256x256"."""
        return self.coding.split()[1]


class Place(NamedTuple):
    """Where an episode is.

    Attributes:
        episode: its number.
        task: the number of its task.
        data_file, data_group: the file of its rows, and the row group in it.
        first_row: the number of its first row in the whole dataset.
        video_file, first_frame: its video, and the number of its first frame in that.
        meta_file: the file of the table of episodes that it has a row in.
        length: its number of frames.
    """

    episode: int
    task: int
    data_file: int
    data_group: int
    first_row: int
    video_file: int
    first_frame: int
    meta_file: int
    length: int


def place_episodes(
    episodes: Iterable[EpisodeFacts], row_bytes: int, *, is_packed: bool, tasks: dict[str, int]
) -> Iterator[Place]:
    """The place of each episode, in the order in which they stand. What comes later changes no place before.

    Args:
        row_bytes: of a frame's row.
        is_packed: whether files hold many episodes, and not one each.
        tasks: gets each task with its number, in the order in which episodes have them.
    """
    data_file = data_group = data_bytes = first_row = 0
    video_file = video_bytes = first_frame = 0
    before = None
    for number, (length, clip_bytes, task, coding) in enumerate(episodes):
        its_rows = length * row_bytes + _GROUP_BYTES
        if data_group and (not is_packed or data_bytes + its_rows > DATA_BYTES):
            data_file, data_group, data_bytes = data_file + 1, 0, 0
        is_other = before not in (None, coding)
        if first_frame and (not is_packed or is_other or video_bytes + clip_bytes > VIDEO_BYTES):
            video_file, first_frame, video_bytes = video_file + 1, 0, 0
        yield Place(
            number,
            tasks.setdefault(task, len(tasks)),
            data_file,
            data_group,
            first_row,
            video_file,
            first_frame,
            number // CHUNK,
            length,
        )
        data_group, data_bytes, first_row = data_group + 1, data_bytes + its_rows, first_row + length
        first_frame, video_bytes, before = first_frame + length, video_bytes + clip_bytes, coding
