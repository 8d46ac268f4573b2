"""The RFM format: what it asks of a run, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_upload.about import About
from dataset_upload.actions import find_representation
from dataset_upload.config import GenerateConfig, HubConfig
from dataset_upload.console.options import result_settings
from dataset_upload.formats import Format
from dataset_upload.formats.rfm import card
from dataset_upload.formats.rfm.layout import CONVERSION, is_dataset

if TYPE_CHECKING:
    from dataset_upload.formats.checks import Checks
    from dataset_upload.formats.rfm.encoder import RfmEncoder
    from dataset_upload.formats.rfm.finished_dataset import RfmDataset
    from dataset_upload.formats.rfm.push_plan import RfmPushPlan
    from dataset_upload.formats.rfm.writer import RfmWriter


class RfmFormat(Format):
    """Clips of a few frames with a table of one row a trajectory; see `formats.Format`."""

    name = "rfm"
    preload = ("dataset_upload.formats.rfm.encoder", "dataset_upload.formats.rfm.preload")
    card = card

    def settings(self, config: GenerateConfig) -> dict[str, Any]:
        """What decides the bytes of rows and clips, by the names of the options."""
        return {f"output.{name}": value for name, value in result_settings(config.output).items()}

    def check_place(self, folder: Path) -> None:
        """Raises UsageError where a README.md is not one of ours."""
        card.check_card(folder.parent)
        card.check_dataset_card(folder)

    def check_ready(self) -> None:
        """Raises UsageError where the sentence model's weights are not available."""
        from dataset_upload.language import check_model

        check_model()

    def make_encoder(self, config: GenerateConfig, about: About, incoming: Path | None) -> RfmEncoder:
        """What workers do."""
        from dataset_upload.formats.rfm.encoder import RfmEncoder

        return RfmEncoder(config.dataset.dataset_name, config.output, about, incoming)

    def open_writer(self, folder: Path, config: GenerateConfig, about: About, action_names: Sequence[str]) -> RfmWriter:
        """Open a dataset to write into."""
        from dataset_upload.formats.rfm.writer import RfmWriter

        output = config.output
        source = {
            "loader": config.dataset.loader,
            "settings": result_settings(output),
            "filters": config.quality.filters,
            "representation": find_representation(output.action_representation, action_names, output.wrist_axes),
        }
        return RfmWriter(folder, config.output, about, source)

    def loading(self, folder: Path) -> str:
        """The line of Python that loads a finished dataset."""
        return f'datasets.load_dataset("{folder.parent}", "{folder.name}", split="train")'

    def withdraw(self, folder: Path) -> None:
        """Take a dataset off the card."""
        (folder / CONVERSION).unlink(missing_ok=True)
        card.update_card(folder.parent)  # a card that names what is not there makes the other datasets unloadable, too

    def recognises(self, folder: Path) -> bool:
        """Whether a folder has a conversion.json, or tables."""
        return is_dataset(folder)

    def open(self, folder: Path) -> RfmDataset:
        """A finished dataset, to be looked into."""
        from dataset_upload.formats.rfm.finished_dataset import RfmDataset

        return RfmDataset(folder)

    def checks(self) -> Checks:
        """What holds for every sound dataset."""
        from dataset_upload.formats.checks import Checks
        from dataset_upload.formats.rfm import dataset_checks, trajectory_checks

        return Checks(
            dataset_checks.DATASET_CHECKS,
            trajectory_checks.TRAJECTORY_CHECKS,
            trajectory_checks.Case,
            frozenset(check.__name__ for check in (*dataset_checks.NEED_LEDGER, *trajectory_checks.NEED_LEDGER)),
        )

    def push_plan(self, folder: Path, repo_id: str, options: HubConfig, work: Path) -> RfmPushPlan:
        """What of a finished dataset belongs on the Hub. Raises UsageError."""
        from dataset_upload.formats.rfm.push_plan import plan_push

        return plan_push(folder, repo_id, options, work)
