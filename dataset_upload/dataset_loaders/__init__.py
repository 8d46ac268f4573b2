"""Dataset loaders, found by dataset name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    def list_episodes(self) -> Sequence[Any]:
        """All episodes in natural order. Raises UsageError if there is none."""

    def source_state(self, episode: Any) -> tuple[int, tuple[int, ...]]:
        """(bytes, modification time in ns of each) of the episode's files: another state means that they changed."""

    def trajectory_id(self, episode: Any) -> str:
        """The id that the episode's trajectory has on every machine."""

    def load(self, episode: Any) -> Trajectory:
        """Read one episode. Raises EpisodeError if it cannot be used."""


def make_loader(config: GenerateConfig) -> DatasetLoader:
    """The loader for `dataset.dataset_name`.

    A new dataset joins here, by the prefix that its names have. EgoDex, the only one so far, also answers to every
    other name, so that a dataset may be called as its owner likes.
    """
    from dataset_upload.dataset_loaders.egodex import EgoDexLoader

    return EgoDexLoader(
        dataset_path=config.dataset.dataset_path,
        dataset_name=config.dataset.dataset_name,
        actions=tuple(config.output.actions),
        max_frame_mismatch=config.output.max_frame_mismatch,
    )
