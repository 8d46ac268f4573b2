"""Dataset loaders: which episodes there are, and how one is read.

A new one is a folder beside `egodex/`, with a class that has what `DatasetLoader` asks for, and a line in `LOADERS`.
What episodes of other people's data look like is free: a robot's have no hands, and many have no camera.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from dataset_upload.actions import find_representation
from dataset_upload.errors import StoppedError, UsageError
from dataset_upload.names import look_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from dataset_upload.about import About
    from dataset_upload.actions import Poses
    from dataset_upload.config import GenerateConfig
    from dataset_upload.jobs import SourceState
    from dataset_upload.trajectory import Episode, Tracking, Trajectory

# Where each loader's class is, by what `dataset.loader` calls it.
LOADERS = {
    "egodex": "dataset_upload.dataset_loaders.egodex.loader:EgoDexLoader",
    "lerobot": "dataset_upload.dataset_loaders.lerobot.loader:LerobotLoader",
}


class DatasetLoader(Protocol):
    """What conversion needs of a dataset; picklable, so that every worker process has its own.

    Its class has `from_config(config: GenerateConfig)`, which makes one and opens nothing. Raises UsageError.
    A class that derives from this one leaves out what has a body here, if its files lie on this machine.
    """

    @property
    def about(self) -> About:
        """The source: licence, citation, and which columns and joints its trajectories have."""

    @property
    def preload(self) -> tuple[str, ...]:
        """Modules that a process imports before it forks workers: what takes long to load."""
        return ()

    @property
    def poses(self) -> frozenset[Poses]:
        """What its trajectories have poses of, or may have: an action representation that needs more is refused."""
        return frozenset()

    @property
    def action_names(self) -> tuple[str, ...]:
        """The names of the action columns."""

    def local_sources(self) -> Sequence[Path]:
        """The folders and archives on this machine that episodes are read from. Raises UsageError if there is none."""

    def list_episodes(self) -> Sequence[Episode]:
        """All episodes in natural order. Raises UsageError if there is none."""

    def only_part(self, episodes: Sequence[Any]) -> str | None:
        """The part that all episodes are of, and that their keys do not carry; None where keys carry their part."""
        return None

    def source_state(self, episode: Any) -> SourceState:
        """(bytes, version of each) of the episode's files: another state means that they changed."""

    def remote_bytes(self, episodes: Iterable[Any]) -> int:
        """The size of the archives elsewhere that episodes lie in; 0 if all lie on this machine."""
        return 0

    def take_fetched_bytes(self) -> int:
        """How many bytes this process has fetched from elsewhere since it was last asked."""
        return 0

    def fetch(self, episode: Any) -> Any:
        """Get an episode's files ready for `load`; where they lie elsewhere, this is the part that waits for them.

        Raises:
            EpisodeError: it cannot be used.
            StoppedError: no more episodes can be read.
        """
        return None

    def load(self, episode: Any, files: Any = None) -> Trajectory:
        """Read one episode from what `fetch` returned; None: fetch it now. Raises as `fetch` does.

        The trajectory's `source` is the episode's key, its `task_name` the episode's.
        """

    def fetch_tracking(self, episode: Any) -> Any:
        """Get ready what `load_tracking` needs: nothing of the video. Raises as `fetch` does."""
        return None

    def load_tracking(self, episode: Any, files: Any = None) -> Tracking:
        """Read what can be known of one episode without its video, from what `fetch_tracking` returned.

        Raises:
            EpisodeError: it cannot be used; the message names it by its key, wherever it lies.
            StoppedError: no more episodes can be read, or this loader reads none without their video.
        """
        raise StoppedError(f"{self.about.name} is read only with its videos, of which a catalogue opens none")

    def lacks_video(self, episode: Any) -> bool:
        """Whether it is known that there is no video, so that the episode cannot be converted."""
        return False


def check_sources(loader: DatasetLoader) -> None:
    """See that this machine has the source of a loader that was made on another. Raises UsageError."""
    for source in loader.local_sources():
        if not source.exists():
            raise UsageError(f"{source} is not there; put the source where every machine sees it by this path")


def make_loader(config: GenerateConfig) -> DatasetLoader:
    """The loader that `dataset.loader` names, for the source that the other options name.

    Raises:
        UsageError: there is none, its options are wrong, or it lacks what the wanted actions are made of.
    """
    loader: DatasetLoader = look_up(config.dataset.loader, LOADERS, "loader").from_config(config)
    wanted = find_representation(config.output.action_representation, wrist_axes=config.output.wrist_axes)
    missing = sorted(wanted.needs - loader.poses)
    if missing:
        raise UsageError(
            f"{wanted.name} is made of poses of {' and '.join(missing)}, which {loader.about.name} has not; leave it "
            "out to take its own actions",
            "action_representation",
        )
    return loader
