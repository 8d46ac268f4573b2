"""Formats: what comes out, and how it lies in a folder.

A format says which frames it wants of a trajectory, makes a piece of it in the worker, puts pieces into their places,
finishes the dataset, checks it, and knows what of it belongs on the Hub. A new one is a folder beside `rfm/`, with a
class that has what `Format` asks for, and a line in `FORMATS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dataset_upload.names import look_up
from dataset_upload.storage.placing import Placing

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    from dataset_upload.about import About
    from dataset_upload.config import GenerateConfig, HubConfig
    from dataset_upload.formats.checks import Checks
    from dataset_upload.formats.finished_dataset import FinishedDataset
    from dataset_upload.jobs import Job, Piece
    from dataset_upload.ledger import Entry, Ledger
    from dataset_upload.trajectory import Trajectory
    from dataset_upload.video.geometry import Resize

# Where each format's class is, by what `output.format` calls it.
FORMATS = {
    "rfm": "dataset_upload.formats.rfm.format:RfmFormat",
    "lerobot": "dataset_upload.formats.lerobot.format:LerobotFormat",
}


# By which a repo of the Hub, or a folder, is known for a LeRobot dataset, which begins at its root.
LEROBOT_INFO = "meta/info.json"


class WantedFrames(NamedTuple):
    """The frames that a format wants of a trajectory.

    Attributes:
        indices: which of its frames these are, as `frame_indices` gave them.
        resize: what is done to them, as `plan_resize` gave it.
        pictures: the frames themselves, resized; decoded as they are asked for.
        coded: gives so many of the trajectory's first frames as its file has them; see `OpenVideo.coded`.
    """

    indices: NDArray[np.int64]
    resize: Resize
    pictures: Iterator[av.VideoFrame]
    coded: Callable[[int], Iterator[av.Packet[Any]]]


class Encoder(Protocol):
    """What a worker does of a format. Picklable: each worker process uses a copy."""

    def frame_indices(self, num_frames: int, fps: float) -> NDArray[np.int64]:
        """Which of a trajectory's frames are wanted, ascending; `fps` is its frame rate, 0 if unknown.

        Raises EpisodeError: frames as they are wanted cannot be had of such a trajectory.
        """

    def plan_resize(self, source: tuple[int, int]) -> Resize:
        """What is to be done to frames of this (width, height)."""

    def encode(self, job: Job, trajectory: Trajectory, wanted: WantedFrames) -> Piece:
        """Make the piece.

        Raises:
            EpisodeError: why there cannot be one.
            OSError: it cannot be written.
        """


class DatasetWriter(ABC):
    """A dataset while a run writes it: what the pipeline's own process does of a format.

    Attributes:
        folder: of the dataset, locked by this run.
        placing: puts files into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.placing = Placing(folder)

    def place(self, job: Job, piece: Piece) -> None:
        """Put a piece into its place; several threads may. Nothing is computed here: this process feeds all others."""
        for path, content in piece.media.items():
            self.placing.put(content, path)

    def flush(self) -> None:
        """Make everything that was placed outlive a power cut."""
        self.placing.flush()

    def recover(self) -> None:  # noqa: B027
        """Finish what an interrupted run had begun to put into its place. Only for a run that has the dataset for
        itself; opening a dataset changes nothing."""

    @abstractmethod
    def lost(self, entries: Iterable[Entry]) -> list[str]:
        """The keys of those finished episodes of which something is gone, deleted by hand say."""

    @abstractmethod
    def finish(self, ledger: Ledger) -> None:
        """Bring the dataset up to what the ledger says. Raises StoppedError, OSError; the next call goes on."""


@dataclass(frozen=True)
class PushPlan(ABC):
    """A dataset as it belongs on the Hub.

    Attributes:
        name: of the dataset.
        media: by path in the repo, the local file of exactly these bytes: what tables name, and is sent before them.
        tables: likewise, all else.
        tag: what readers of the format look a repo's current state up by; None: they take the latest.
        fewer_files: what to do where these are more files than the Hub takes.
    """

    name: str
    media: dict[str, Path]
    tables: dict[str, Path]
    tag: str | None = None
    fewer_files: str = "give --hub.packed=true, which puts the clips into the tables"

    @abstractmethod
    def outdated_tables(self, remote: Iterable[str]) -> list[str]:
        """What of the tables in the repo an earlier push of this dataset has left there."""

    @abstractmethod
    def outdated_media(self, remote: Iterable[str]) -> list[str]:
        """Likewise, of the media."""

    def obstacle(self, remote: Collection[str], read: Callable[[str], bytes | None]) -> str | None:
        """Why a dataset cannot be pushed beside what is in the repo; None: it can.

        Args:
            remote: the files of the repo.
            read: gives the content of one of them, None where there is none.
        """
        if LEROBOT_INFO in remote:
            return "it holds a LeRobot dataset, which takes a repo of its own"
        return None

    def removals(self, remote: Iterable[str]) -> list[str]:
        """The outdated media; a format that has folders of them may name those whole ("NAME/batch_0000/")."""
        return self.outdated_media(remote)


class Format(Protocol):
    """One way to lay out a dataset; its class inherits what it need not say from here. It has no state of its own."""

    name: str
    preload: tuple[str, ...] = ()  # modules that a process imports before it forks workers: what takes long to load
    card: Card  # of datasets that share a folder or a repo

    def settings(self, config: GenerateConfig) -> dict[str, Any]:
        """What decides the bytes of rows and media, by the names of the options."""

    def check_place(self, folder: Path) -> None:
        """Raises UsageError where something lies in a dataset's place that must not be touched."""

    def check_source(self, config: GenerateConfig, about: About, action_names: Sequence[str]) -> None:
        """Raises UsageError where options ask for what cannot be made of a loader's trajectories.

        Args:
            about: what the loader declares.
            action_names: of the columns of its own actions.
        """

    def check_ready(self) -> None:
        """Raises UsageError where something is missing that encoders need."""

    def make_encoder(self, config: GenerateConfig, about: About, incoming: Path | None) -> Encoder:
        """What workers do.

        Args:
            incoming: an empty folder on the dataset's disk for files that are being written; deleted after the run.
                None: workers are elsewhere, and pieces hold bytes.
        """

    def open_writer(
        self, folder: Path, config: GenerateConfig, about: About, action_names: Sequence[str]
    ) -> DatasetWriter:
        """Open a dataset, which this run has locked, to write into."""

    def loading(self, folder: Path) -> str:
        """The line of Python that loads a finished dataset."""
        return f'dataset_upload.formats.finished_dataset.open_dataset("{folder}")'

    def withdraw(self, folder: Path) -> None:
        """Tell nobody of a dataset any more: its files are going to be deleted."""

    def recognises(self, folder: Path) -> bool:
        """Whether a folder is that of a finished dataset of this format."""

    def open(self, folder: Path) -> FinishedDataset:
        """A finished dataset, to be looked into. Nothing is read before it is asked for."""

    def checks(self) -> Checks:
        """What holds for every sound dataset."""

    def push_plan(self, folder: Path, repo_id: str, options: HubConfig, work: Path) -> PushPlan:
        """What of a finished dataset belongs on the Hub.

        Args:
            work: a folder for what is made for the Hub; it must stay as long as the plan is in use. It may hold what an
                earlier push has left, which did not complete.

        Raises:
            UsageError: the dataset is not finished, a file is missing, or the options do not fit.
        """


class Card(Protocol):
    """README.md of datasets that share a folder or a repo."""

    def listed(self, card: str) -> list[str]:
        """The names of the datasets that a card makes loadable."""

    def without_datasets(self, output_dir: Path) -> str:
        """A folder's card, but that it lists none of its datasets. Raises UsageError where it cannot be read."""

    def description_path(self, name: str) -> str:
        """Where in a repo it stands what a dataset is."""

    def parse(self, content: bytes, name: str) -> dict[str, Any] | None:
        """What it says there; None where it is damaged, or another's."""

    def render(
        self, existing: str, descriptions: Sequence[dict[str, Any]], *, gone: Iterable[str], location: str
    ) -> str:
        """The card of these datasets, which keeps what others wrote into the existing one."""


def find_format(name: str) -> Format:
    """The format that `output.format` names. Raises UsageError where there is none of that name."""
    made: Format = look_up(name, FORMATS, "format")()
    return made


def format_of(folder: Path) -> Format | None:
    """The format of a finished dataset by what its folder holds; None: it is no dataset."""
    return next((each for each in map(find_format, FORMATS) if each.recognises(folder)), None)
