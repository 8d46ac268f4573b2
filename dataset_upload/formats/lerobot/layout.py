"""Where everything of a LeRobot dataset lies, in its folder as in its repo on the Hub, whose root that folder is.

README.md                                         the card
meta/provenance.json                              how it was made
meta/info.json                                    features, counts, where the files lie
meta/stats.json                                   statistics of every feature
meta/chunk_stats.json                             of chunks of actions, where they are asked for
data/chunk-000/file-000.parquet                   a row a frame, a row group an episode
videos/observation.images.ego/chunk-000/file-000.mp4   or as `lerobot.keys` has it
meta/tasks.parquet                                row i is task i
meta/episodes/chunk-000/file-000.parquet          row i is episode i

In v2.1 each episode has files of its own, and there is JSON beside our table of episodes, which readers pass over:

data/chunk-000/episode_000000.parquet
videos/chunk-000/observation.images.ego/episode_000000.mp4
meta/tasks.jsonl, episodes.jsonl, episodes_stats.jsonl, modality.json

.work/waiting/{videos,frames,episodes}/0000/0000  pieces that are not in a file of the dataset yet, by clip number
.work/swap/…                                      finished files that are being put into their places
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dataset_upload.config import LerobotKeys, LerobotVersion
from dataset_upload.dataset_folder import WORK
from dataset_upload.formats import LEROBOT_INFO
from dataset_upload.formats.lerobot.keys import KEYS

CARD = "README.md"
CONVERSION = "meta/provenance.json"
INFO = LEROBOT_INFO
STATS, CHUNK_STATS = "meta/stats.json", "meta/chunk_stats.json"
TASKS = "meta/tasks.parquet"
MODALITY = "meta/modality.json"
SWAP, NEW = f"{WORK}/swap", f"{WORK}/new"

CHUNK = 1000  # files a folder
_PER_FOLDER = 1000  # waiting pieces


@dataclass(frozen=True)
class Layout:
    """What a version of the format is like on disk.

    Attributes:
        version: as `codebase_version` has it.
        data, video: patterns of paths, as info.json has them.
        camera: the name of the video.
        is_packed: whether files hold many episodes, and not one each.
    """

    version: LerobotVersion
    data: str
    video: str
    is_packed: bool
    camera: str = "observation.images.ego"

    def data_path(self, number: int) -> str:
        """Where a file of rows lies."""
        return self._path(self.data, number)

    def video_path(self, number: int) -> str:
        """Where a video lies."""
        return self._path(self.video, number)

    def _path(self, pattern: str, number: int) -> str:
        chunk, within = divmod(number, CHUNK)
        # info.json's patterns know these names; of a version's two, only its own stand in them.
        return pattern.format(
            video_key=self.camera, chunk_index=chunk, file_index=within, episode_chunk=chunk, episode_index=number
        )

    def episodes_path(self, number: int) -> str:
        """Where a file of the table of episodes lies."""
        return f"meta/episodes/chunk-{number // CHUNK:03d}/file-{number % CHUNK:03d}.parquet"


LAYOUTS: dict[LerobotVersion, Layout] = {
    "v3.0": Layout(
        "v3.0",
        "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        is_packed=True,
    ),
    "v2.1": Layout(
        "v2.1",
        "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        is_packed=False,
    ),
}


def find_layout(version: LerobotVersion, keys: LerobotKeys) -> Layout:
    """What a dataset of these options is like on disk."""
    return replace(LAYOUTS[version], camera=KEYS[keys].video)


def waiting_path(kind: str, number: int) -> str:
    """Where a part of a piece waits for the next build: of its "videos", "frames" or "episodes"."""
    return f"{WORK}/waiting/{kind}/{number // _PER_FOLDER:04d}/{number:04d}"


def waiting_numbers(folder: Path, kind: str) -> set[int]:
    """The clip numbers of the pieces that wait in a dataset's folder."""
    return {int(path.name) for path in (folder / waiting_path(kind, 0)).parents[1].glob("*/*") if path.name.isdigit()}
