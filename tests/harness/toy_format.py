"""A format as a newcomer would write it: a NumPy archive a trajectory, and one file that lists them.

NAME/index.json              {"name", "action_names", "trajectories": [{"source", "task", "file"}, …]}
NAME/arrays/0000.npz         frames (T, 32, 32, 3) uint8, actions (T, D), seconds (T,), task
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_upload.about import About
from dataset_upload.config import GenerateConfig, HubConfig
from dataset_upload.formats import DatasetWriter, Format, PushPlan, WantedFrames
from dataset_upload.formats.checks import Checks
from dataset_upload.formats.finished_dataset import FinishedDataset
from dataset_upload.jobs import Job, Piece
from dataset_upload.ledger import DONE, Entry, Ledger
from dataset_upload.storage.whole_file import write_whole
from dataset_upload.stored_trajectory import Array, StoredTrajectory
from dataset_upload.trajectory import Trajectory
from dataset_upload.video.geometry import Resize, plan_resize

INDEX, CARD, SIZE = "index.json", "README.md", 32


def arrays_path(number: int) -> str:
    return f"arrays/{number:04d}.npz"


class ToyEncoder:
    """What workers do."""

    def frame_indices(self, num_frames: int, fps: float) -> NDArray[np.int64]:
        return np.arange(0, num_frames, 10)

    def plan_resize(self, source: tuple[int, int]) -> Resize:
        return plan_resize(source, "stretch", SIZE)

    def encode(self, job: Job, trajectory: Trajectory, wanted: WantedFrames) -> Piece:
        content = io.BytesIO()
        np.savez(
            content,
            frames=np.stack([frame.to_ndarray(format="rgb24") for frame in wanted.pictures]),
            actions=trajectory["actions"][wanted.indices],
            seconds=trajectory["frames"].timestamps[wanted.indices],
            task=np.array(trajectory["task"]),
        )
        arrays = content.getvalue()
        return Piece({}, {arrays_path(job.number): arrays}, len(arrays), sha256(arrays).hexdigest())


class ToyWriter(DatasetWriter):
    """What the run's own process does."""

    def __init__(self, folder: Path, action_names: Sequence[str]) -> None:
        super().__init__(folder)
        self._action_names = action_names

    def lost(self, entries: Iterable[Entry]) -> list[str]:
        return [each.key for each in entries if not (self.folder / arrays_path(each.clip)).exists()]

    def finish(self, ledger: Ledger) -> None:
        rows = [self._row(entry) for entry in sorted(ledger.with_status(DONE))]
        index = {"name": self.folder.name, "action_names": list(self._action_names), "trajectories": rows}
        write_whole(self.folder / INDEX, json.dumps(index, indent=1))
        for path in (self.folder / "arrays").glob("*"):
            if f"{self.folder.name}/arrays/{path.name}" not in [row["file"] for row in rows]:
                path.unlink()
        names = sorted(path.parent.name for path in self.folder.parent.glob(f"*/{INDEX}"))
        write_whole(self.folder.parent / CARD, card_of(names))

    def _row(self, entry: Entry) -> dict[str, Any]:
        file = f"{self.folder.name}/{arrays_path(entry.clip)}"
        with np.load(self.folder.parent / file) as arrays:
            return {"source": entry.key, "task": str(arrays["task"]), "file": file}


def card_of(names: Iterable[str]) -> str:
    return "".join(["Toys\n", *(f"- {name}\n" for name in names)])


class ToyTrajectory(StoredTrajectory):
    """One archive. There are neither cameras nor hands."""

    @property
    def clip_number(self) -> int:
        return int(self.clip[0].stem)

    @property
    def clip(self) -> list[Path]:
        return [self.root / self.row["file"]]

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        return iter(self._arrays["frames"])

    @property
    def times(self) -> Array:
        return self._arrays["seconds"]

    @property
    def actions(self) -> Array:
        return self._arrays["actions"].astype(np.float64)

    @cached_property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        with np.load(self.clip[0]) as arrays:
            return dict(arrays)


class ToyDataset(FinishedDataset):
    """A finished dataset."""

    @property
    def description(self) -> dict[str, Any]:
        return json.loads((self.folder / INDEX).read_text())  # type: ignore[no-any-return]

    def table_files(self) -> list[Path]:
        return [self.folder / INDEX]

    def __len__(self) -> int:
        return len(self.description["trajectories"])

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.description["trajectories"]]

    def trajectories(self, numbers: Sequence[int] | None = None) -> Iterator[ToyTrajectory]:
        rows = self.description["trajectories"]
        for number in range(len(rows)) if numbers is None else numbers:
            yield ToyTrajectory(number, rows[number], self.root)


def frames_decode(case: tuple[ToyDataset, ToyTrajectory]) -> Iterator[str]:
    """Every trajectory has a frame for each of its times."""
    _, trajectory = case
    if len(list(trajectory.frames())) != len(trajectory.times):
        yield "frames and times differ in number"


class ToyPushPlan(PushPlan):
    """Everything but the ledger goes to the Hub."""

    def outdated_tables(self, remote: Iterable[str]) -> list[str]:
        return []  # there is only the index, which is written over

    def outdated_media(self, remote: Iterable[str]) -> list[str]:
        return [path for path in remote if path.startswith(f"{self.name}/arrays/") and path not in self.media]


class ToyCard:
    """README.md with a line for each dataset."""

    def listed(self, card: str) -> list[str]:
        return [line[2:] for line in card.splitlines() if line.startswith("- ")]

    def without_datasets(self, output_dir: Path) -> str:
        return card_of([])

    def description_path(self, name: str) -> str:
        return f"{name}/{INDEX}"

    def parse(self, content: bytes, name: str) -> dict[str, Any] | None:
        return json.loads(content)  # type: ignore[no-any-return]

    def render(
        self, existing: str, descriptions: Sequence[dict[str, Any]], *, gone: Iterable[str], location: str
    ) -> str:
        return card_of(sorted(description["name"] for description in descriptions))


class ToyFormat(Format):
    """All of it, put together."""

    name = "toy"
    card = ToyCard()

    def settings(self, config: GenerateConfig) -> dict[str, Any]:
        return {"output.actions": config.output.actions}

    def make_encoder(self, config: GenerateConfig, about: About, incoming: Path | None) -> ToyEncoder:
        return ToyEncoder()

    def open_writer(self, folder: Path, config: GenerateConfig, about: About, action_names: Sequence[str]) -> ToyWriter:
        return ToyWriter(folder, action_names)

    def recognises(self, folder: Path) -> bool:
        return (folder / INDEX).exists()

    def open(self, folder: Path) -> ToyDataset:
        return ToyDataset(folder)

    def checks(self) -> Checks:
        return Checks((), (frames_decode,), lambda dataset, trajectory: (dataset, trajectory), frozenset())

    def push_plan(self, folder: Path, repo_id: str, options: HubConfig, work: Path) -> ToyPushPlan:
        arrays = {f"{folder.name}/arrays/{file.name}": file for file in sorted((folder / "arrays").iterdir())}
        return ToyPushPlan(folder.name, arrays, {f"{folder.name}/{INDEX}": folder / INDEX})
