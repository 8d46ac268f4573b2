"""The LeRobot format: what it asks of a run, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_upload.about import About
from dataset_upload.config import GenerateConfig, HubConfig
from dataset_upload.console.options import result_settings
from dataset_upload.errors import UsageError
from dataset_upload.formats import Format
from dataset_upload.formats.lerobot import card
from dataset_upload.formats.lerobot.layout import CONVERSION, INFO

if TYPE_CHECKING:
    from dataset_upload.actions import Representation
    from dataset_upload.formats.checks import Checks
    from dataset_upload.formats.lerobot.encoder import LerobotEncoder
    from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset
    from dataset_upload.formats.lerobot.push_plan import LerobotPushPlan
    from dataset_upload.formats.lerobot.writer import LerobotWriter

# What of the section `output` decides bytes of this format, too.
_OUTPUT = (
    "frame_size",
    "shortest_edge_size",
    "resize",
    "actions",
    "action_representation",
    "wrist_axes",
    "max_frame_mismatch",
)


def _representation(config: GenerateConfig, action_names: Sequence[str]) -> Representation:
    from dataset_upload.actions import find_representation

    output = config.output
    return find_representation(output.action_representation, action_names, output.wrist_axes)


class LerobotFormat(Format):
    """Every frame with its row, for policy learners; see `formats.Format`."""

    name = "lerobot"
    preload = ("dataset_upload.formats.lerobot.encoder",)
    card = card

    def settings(self, config: GenerateConfig) -> dict[str, Any]:
        """What decides the bytes of rows and videos, by the names of the options."""
        return {f"output.{name}": getattr(config.output, name) for name in _OUTPUT} | {
            f"lerobot.{name}": value for name, value in result_settings(config.lerobot).items()
        }

    def check_place(self, folder: Path) -> None:
        """Raises UsageError where a README.md is not one of ours."""
        card.check(folder)

    def check_source(self, config: GenerateConfig, about: About, action_names: Sequence[str]) -> None:
        """Raises UsageError where hands, statistics of chunks, or copies are asked for that there cannot be."""
        from dataset_upload.formats.lerobot.chunk_statistics import check_horizons
        from dataset_upload.formats.lerobot.keys import KEYS

        if config.lerobot.video == "copy" and about.fps not in (None, config.lerobot.fps):
            raise UsageError(
                f"{config.lerobot.fps} is not the rate of {about.name}, whose frames are copied one by one; give "
                f"{about.fps}, or --lerobot.video=encode",
                "lerobot.fps",
            )
        KEYS[config.lerobot.keys].check(about.hand_joints)
        representation = _representation(config, action_names)
        check_horizons(representation, config.lerobot.horizons, has_camera=bool(about.hand_joints))

    def check_ready(self) -> None:
        """Nothing is needed."""

    def make_encoder(self, config: GenerateConfig, about: About, incoming: Path | None) -> LerobotEncoder:
        """What workers do."""
        from dataset_upload.formats.lerobot.encoder import LerobotEncoder

        return LerobotEncoder(config.output, config.lerobot, about, incoming)

    def open_writer(
        self, folder: Path, config: GenerateConfig, about: About, action_names: Sequence[str]
    ) -> LerobotWriter:
        """Open a dataset to write into."""
        from dataset_upload.formats.lerobot.writer import LerobotWriter

        output = config.output
        source = {
            "loader": config.dataset.loader,
            "settings": {
                **{name: getattr(output, name) for name in _OUTPUT},
                **result_settings(config.lerobot),
                "horizons": config.lerobot.horizons,
                "max_frames": -1,
                "use_video": True,
            },
            "representation": _representation(config, action_names),
            "filters": config.quality.filters,
        }
        return LerobotWriter(folder, config.lerobot, about, source)

    def loading(self, folder: Path) -> str:
        """The line of Python that loads a finished dataset."""
        return f'lerobot.datasets.lerobot_dataset.LeRobotDataset("OWNER/NAME", root="{folder}")'

    def withdraw(self, folder: Path) -> None:
        """Take away what readers look for first."""
        (folder / INFO).unlink(missing_ok=True)

    def recognises(self, folder: Path) -> bool:
        """Whether a folder has a meta/provenance.json of ours, or a meta/info.json."""
        return (folder / CONVERSION).is_file() or (folder / INFO).is_file()

    def open(self, folder: Path) -> LerobotDataset:
        """A finished dataset, to be looked into."""
        from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset

        return LerobotDataset(folder)

    def checks(self) -> Checks:
        """What holds for every sound dataset."""
        from dataset_upload.formats.checks import Checks
        from dataset_upload.formats.lerobot import dataset_checks, episode_checks

        return Checks(
            dataset_checks.DATASET_CHECKS,
            episode_checks.EPISODE_CHECKS,
            episode_checks.Case,
            frozenset(check.__name__ for check in dataset_checks.NEED_LEDGER),
        )

    def push_plan(self, folder: Path, repo_id: str, options: HubConfig, work: Path) -> LerobotPushPlan:
        """What of a finished dataset belongs on the Hub. Raises UsageError."""
        from dataset_upload.formats.lerobot.push_plan import plan_push

        return plan_push(folder, options)
