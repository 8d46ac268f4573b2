"""An RFM dataset while a run writes it: pieces into their places, then tables, conversion.json, card."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dataset_upload.about import About
from dataset_upload.config import OutputConfig
from dataset_upload.dataset_folder import WORK
from dataset_upload.formats import DatasetWriter
from dataset_upload.formats.rfm import dataset_info
from dataset_upload.formats.rfm.card import update_card, write_dataset_card
from dataset_upload.formats.rfm.layout import RECORDS, clip_folders, clip_path, record_path
from dataset_upload.formats.rfm.schema import schemas
from dataset_upload.formats.rfm.tables import Tables
from dataset_upload.jobs import Job, Piece
from dataset_upload.ledger import DONE, Entry, Ledger
from dataset_upload.storage.placing import Placing


class RfmWriter(DatasetWriter):
    """Writes one dataset.

    Attributes:
        folder: `<output_dir>/<name>`.
        tables: its tables.

    Args:
        folder: as above, locked by this run.
        output: what clips look like.
        about: what the loader declares.
        source: what `conversion.json` says of where episodes come from and how they were made.
    """

    def __init__(self, folder: Path, output: OutputConfig, about: About, source: dict[str, Any]) -> None:
        super().__init__(folder)
        self._output = output
        self._about = about
        self._source = source
        self._work = folder / WORK
        self.tables = Tables(
            folder,
            self._work,
            schemas(about.columns, about.hand_joints, use_video=output.use_video),
            frames_video=output.frames_video,
        )

    def place(self, job: Job, piece: Piece) -> None:
        """Move a finished clip into its place, and its rows to where they wait for the next build."""
        super().place(job, piece)
        for table, content in piece.records.items():
            self.placing.put(content, f"{WORK}/{RECORDS}/{record_path(table, job.number)}")

    def recover(self) -> None:
        """Finish putting tables into their places, which an interrupted run had begun."""
        self.tables.recover()

    def lost(self, entries: Iterable[Entry]) -> list[str]:
        """The keys of those finished episodes whose row or clip is gone, deleted by hand say."""
        entries = list(entries)
        with_row = self.tables.present(entries)
        return [
            entry.key
            for entry in entries
            if entry.key not in with_row or not self._has_clip(entry.clip, entry.clip_bytes)
        ]

    def _has_clip(self, number: int, num_bytes: int | None) -> bool:
        """Whether a clip lies in its place, whole as far as its size tells."""
        # A Path for each clip would take longer than all else in a resumed run.
        path = f"{self.folder}/{clip_path(number, use_video=self._output.use_video)}"
        try:
            if self._output.use_video:
                return os.path.getsize(path) == num_bytes
            with os.scandir(path) as pictures:
                return sum(picture.stat().st_size for picture in pictures) == num_bytes
        except OSError:
            return False

    def finish(self, ledger: Ledger) -> None:
        """Bring tables, conversion.json and card up to what the ledger says."""
        done = list(ledger.with_status(DONE))
        description = dataset_info.describe(
            self.folder.name,
            source=self._source,
            about=self._about,
            ledger=ledger,
            rows_digest=ledger.rows_digest(),
            action_statistics=self.tables.build(done).summary(),
        )
        dataset_info.write(self.folder, description)
        self.clean_up(entry.clip for entry in done)
        write_dataset_card(self.folder)
        update_card(self.folder.parent)

    def clean_up(self, numbers: Iterable[int]) -> None:
        """After a build of the trajectories of these numbers: delete records, which are in the tables now, and clips
        that no row names; these can be left behind by a run that was killed, or by a source gone bad."""
        self.tables.delete_records()
        self.placing = Placing(self.folder)  # which knows nothing of folders that are gone
        clips = {clip_path(number, use_video=self._output.use_video) for number in numbers}
        for batch in clip_folders(self.folder):
            for name in os.listdir(batch):
                if name.startswith("trajectory_") and f"{batch.name}/{name}" not in clips:
                    clip = batch / name
                    shutil.rmtree(clip) if clip.is_dir() else clip.unlink()
