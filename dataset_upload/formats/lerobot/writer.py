"""A LeRobot dataset while a run writes it: pieces to where they wait, then files, statistics, card.

Episodes stand in the order of their clip numbers. What is added therefore follows what is there, unless an episode that
had failed before has become usable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_upload.about import About
from dataset_upload.actions import Representation
from dataset_upload.config import LerobotConfig
from dataset_upload.console.logs import logger
from dataset_upload.errors import Reason, StoppedError
from dataset_upload.formats import DatasetWriter
from dataset_upload.formats import description as descriptions
from dataset_upload.formats.lerobot import card, description
from dataset_upload.formats.lerobot.build import Build, finish_build, robot_type
from dataset_upload.formats.lerobot.features import frame_features
from dataset_upload.formats.lerobot.keys import KEYS
from dataset_upload.formats.lerobot.layout import CONVERSION, find_layout, waiting_path
from dataset_upload.formats.lerobot.stored import StoredEpisodes, WaitingPieces
from dataset_upload.formats.lerobot.swap import finish_swap
from dataset_upload.jobs import Job, Piece
from dataset_upload.ledger import DONE, FAILED, Entry, Ledger
from dataset_upload.storage.damage import DamagedFileError
from dataset_upload.storage.placing import Placing
from dataset_upload.storage.whole_file import write_whole

_MANY_FILES = 50_000  # that file systems and loaders begin to suffer from


class LerobotWriter(DatasetWriter):
    """Writes one dataset.

    Args:
        folder: `<output_dir>/<name>`, locked by this run.
        lerobot: how the dataset looks.
        about: what the loader declares.
        source: what meta/provenance.json says of where episodes come from and how they were made.
    """

    def __init__(
        self,
        folder: Path,
        lerobot: LerobotConfig,
        about: About,
        source: dict[str, Any],
    ) -> None:
        super().__init__(folder)
        self._lerobot = lerobot
        self._about = about
        self._source = source
        self._layout = find_layout(lerobot.version, lerobot.keys)
        self._representation: Representation = source["representation"]
        representation = self._representation
        self._features = frame_features(
            representation.names,
            representation.action_names,
            KEYS[lerobot.keys].features(about.hand_joints, hands=lerobot.hands),
        )

    def place(self, job: Job, piece: Piece) -> None:
        """Move a finished piece to where it waits for the next build."""
        super().place(job, piece)
        for kind, content in piece.records.items():
            self.placing.put(content, waiting_path(kind, job.number))

    def recover(self) -> None:
        """Finish putting files into their places, which an interrupted run had begun."""
        finish_swap(self.folder)

    def lost(self, entries: Iterable[Entry]) -> list[str]:
        """The keys of those finished episodes that neither wait nor are in files that are there."""
        stored, waiting, damaged = self._episodes().by_key, WaitingPieces(self.folder).numbers, self._damaged_files()
        layout = self._layout

        def is_stored(entry: Entry) -> bool:
            if (found := stored.get(entry.key)) is None or found.clip_sha256 != entry.clip_sha256:
                return False
            place = found.place
            paths = {layout.data_path(place.data_file), layout.video_path(place.video_file)}
            return damaged.isdisjoint(paths | {layout.episodes_path(place.meta_file)})

        return [entry.key for entry in entries if entry.clip not in waiting and not is_stored(entry)]

    def _episodes(self) -> StoredEpisodes:
        """What is in files; nothing where nobody can tell."""
        episodes = StoredEpisodes(self.folder, self._layout, sum(feature.num_bytes for feature in self._features))
        try:
            episodes.by_key  # noqa: B018  raises what is wrong
        except (pa.ArrowException, OSError, LookupError, TypeError) as error:
            logger.warning(
                f"Warning: The table of episodes of {self.folder} is damaged: {' '.join(str(error).split())}"
            )
            episodes.by_key = {}
        return episodes

    def _damaged_files(self) -> set[str]:
        """Which files of the dataset are gone, or have not the size that they should have."""
        stored = description.read(self.folder)
        sizes = {} if stored is None else stored["files"]

        def size(name: str) -> int:
            path = self.folder / name
            return path.stat().st_size if path.is_file() else -1

        return {name for name, expected in sizes.items() if size(name) != expected}

    def finish(self, ledger: Ledger) -> None:
        """Bring files, meta/provenance.json and card up to what the ledger says."""
        waiting = WaitingPieces(self.folder)
        try:
            self._fail_other_sizes(ledger, waiting)
            self._finish(ledger, ledger.rows_digest(), waiting)
        except DamagedFileError as error:
            raise StoppedError(f"{error.path} is damaged: delete it, then its episodes are converted again") from error

    def _fail_other_sizes(self, ledger: Ledger, waiting: WaitingPieces) -> None:
        """Enter as failed what waits with frames of another size than those in files or, before there are any, most."""
        done = sorted(ledger.with_status(DONE), key=lambda entry: entry.clip)
        sizes = {entry: waiting.facts(entry.clip).frame_size for entry in done if entry.clip in waiting.numbers}
        if not sizes:
            return
        if stored := next((entry for entry in done if entry not in sizes), None):
            size = self._episodes().by_key[stored.key].facts.frame_size
        else:
            ((size, _),) = Counter(sizes.values()).most_common(1)
        for entry, own in sizes.items():
            if own != size:
                message = (
                    f"Error: {entry.key} gives frames of {own}, others of {size}, and a LeRobot dataset has one size; "
                    "give --output.frame_size, or convert episodes of each size into a dataset of their own"
                )
                logger.error(message)
                ledger.append(entry._replace(status=FAILED, reason=Reason.FRAME_SIZE.value, message=message))

    def _finish(self, ledger: Ledger, digest: str, waiting: WaitingPieces) -> None:
        stored = description.read(self.folder)
        pieces = list(waiting.files())
        is_current = stored is not None and stored["rows"] == digest and _horizons(stored) == self._lerobot.horizons
        if stored is None or not is_current or pieces or self._damaged_files():
            self._build(ledger, digest, waiting, pieces)
        else:
            write_whole(self.folder / CONVERSION, description.text(self._describe(ledger, digest, stored["files"])))
        card.write(self.folder, self._describe(ledger, digest, {}))

    def _build(self, ledger: Ledger, digest: str, waiting: WaitingPieces, pieces: Sequence[Path]) -> None:
        done = sorted((entry.clip, entry.key) for entry in ledger.with_status(DONE))
        num_files = 2 * len(done)
        if not self._layout.is_packed and num_files > _MANY_FILES:
            logger.warning(
                f"Warning: v2.1 takes two files an episode, {num_files:,} here; --lerobot.version=v3.0 packs them"
            )
        build = Build(
            self.folder,
            self._layout,
            self._features,
            self._about.columns,
            self._lerobot.fps,
            robot_type(self._about),
            self._representation,
            self._lerobot.keys,
            self._lerobot.horizons,
            self._episodes(),
            waiting,
        )
        files = build.run([(key, number) for number, key in done])
        finish_build(self.folder, files, lambda sizes: self._describe(ledger, digest, sizes), pieces)
        self.placing = Placing(self.folder)  # which knows nothing of folders that are gone

    def _describe(self, ledger: Ledger, digest: str, sizes: dict[str, int]) -> dict[str, Any]:
        return descriptions.describe(
            self.folder.name,
            "lerobot",
            source=self._source,
            about=self._about,
            ledger=ledger,
            rows_digest=digest,
            own={"state_names": list(self._representation.names), "files": sizes},
        )


def _horizons(stored: dict[str, Any]) -> list[int]:
    """Of which chunks a dataset has statistics."""
    return list(stored["settings"].get("horizons", []))
