"""Dataset loaders, found by dataset name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from dataset_upload.config import GenerateConfig
    from dataset_upload.trajectory import Trajectory


class Episode(Protocol):
    """One episode as a loader lists it, before anything is opened; picklable."""

    @property
    def key(self) -> str:
        """Names the episode in every copy of the data: `<task>/<n>`."""

    @property
    def task_name(self) -> str:
        """Groups episodes of one task."""


class DatasetLoader(Protocol):
    """What conversion needs of a dataset; picklable, so that every worker process has its own."""

    @property
    def action_names(self) -> tuple[str, ...]:
        """The names of the action columns."""

    @property
    def hand_joints(self) -> tuple[str, ...]:
        """The names of a hand's points, in order."""

    def local_sources(self) -> Sequence[Path]:
        """The folders and archives on this machine that episodes are read from. Raises UsageError if there is none."""

    def list_episodes(self) -> Sequence[Any]:
        """All episodes in natural order. Raises UsageError if there is none."""

    def only_part(self, episodes: Sequence[Any]) -> str | None:
        """The part that all episodes are of, and that their keys do not carry; None where keys carry their part."""

    def source_state(self, episode: Any) -> tuple[int, tuple[int, ...]]:
        """(bytes, modification time in ns of each) of the episode's files: another state means that they changed."""

    def trajectory_id(self, episode: Any) -> str:
        """The id that the episode's trajectory has on every machine."""

    def remote_bytes(self, episodes: Iterable[Any]) -> int:
        """The size of the archives elsewhere that episodes lie in; 0 if all lie on this machine."""

    def take_fetched_bytes(self) -> int:
        """How many bytes this process has fetched from elsewhere since it was last asked."""

    def fetch(self, episode: Any) -> Any:
        """Get an episode's files ready for `load`; where they lie elsewhere, this is the part that waits for them.

        Raises:
            EpisodeError: it cannot be used.
            StoppedError: no more episodes can be read.
        """

    def load(self, episode: Any, files: Any = None) -> Trajectory:
        """Read one episode from what `fetch` returned; None: fetch it now. Raises as `fetch` does."""


def make_loader(config: GenerateConfig) -> DatasetLoader:
    """The loader for `dataset.dataset_name`.

    A new dataset joins here, by the prefix that its names have. EgoDex, the only one so far, also answers to every
    other name, so that a dataset may be called as its owner likes.
    """
    from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader

    path = config.dataset.dataset_path
    return EgoDexLoader(
        dataset_path=path if isinstance(path, str) else tuple(path),
        dataset_name=config.dataset.dataset_name,
        actions=tuple(config.output.actions),
        max_frame_mismatch=config.output.max_frame_mismatch,
    )
