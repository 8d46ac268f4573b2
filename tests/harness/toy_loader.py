"""A loader that is not EgoDex: a robot arm's episodes, without hands, without a camera's pose.

ROOT/<task>/<n>/video.mp4       640x480, say
ROOT/<task>/<n>/episode.json    {"instruction", "succeeded", "operator", "grip_forces", "states": T rows of 7}
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dataset_upload.about import About, columns
from dataset_upload.config import GenerateConfig
from dataset_upload.dataset_loaders import DatasetLoader
from dataset_upload.errors import EpisodeError, Reason, UsageError
from dataset_upload.jobs import SourceState
from dataset_upload.natural_order import natural_key
from dataset_upload.trajectory import Trajectory
from dataset_upload.video.encoding import write_rgb_mp4
from dataset_upload.video.frames import VideoFrames

ARM = About(
    name="Toy Arm",
    url="https://example.org/toy-arm",
    summary="A robot arm at a table, seen from the side",
    licence="cc-by-4.0",
    licence_note="Toy Arm is licensed CC-BY 4.0: name its makers wherever you publish what is made of it.",
    tags=("toy-arm", "robot-arm"),
    citation="@misc{toy2026arm,\n  title={Toy Arm},\n  year={2026}\n}",
    actions="joint angles in radians, and how far the gripper is open, 0 to 1",
    columns=(
        *columns("who held the remote control", operator="string"),
        *columns(
            "the largest force at the gripper {N}; the tools in reach", grip_force="float64", tools="list<string>"
        ),
    ),
)

_ID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, ARM.url)


class ToyTrajectory(Trajectory):
    """A trajectory with the columns that the loader declares."""

    operator: str | None
    grip_force: float | None
    tools: list[str]


@dataclass(frozen=True)
class ToyEpisode:
    """The folder of one episode."""

    folder: Path

    @property
    def key(self) -> str:
        return f"{self.task_name}/{self.folder.name}"

    @property
    def task_name(self) -> str:
        return self.folder.parent.name

    def __str__(self) -> str:
        return str(self.folder)


@dataclass(frozen=True)
class ToyLoader(DatasetLoader):
    """Lists and reads the episodes below a folder."""

    root: Path
    dataset_name: str

    about: ClassVar[About] = ARM
    action_names: ClassVar[tuple[str, ...]] = (*(f"joint_{number}" for number in range(1, 7)), "gripper")

    @classmethod
    def from_config(cls, config: GenerateConfig) -> ToyLoader:
        path = config.dataset.dataset_path
        if not isinstance(path, str):
            raise UsageError("give a single folder", "--dataset.dataset_path")
        return cls(Path(path), config.dataset.dataset_name)

    def local_sources(self) -> list[Path]:
        return [self.root]

    def list_episodes(self) -> list[ToyEpisode]:
        found = [ToyEpisode(folder) for folder in self.root.glob("*/*") if folder.is_dir()]
        if not found:
            raise UsageError(f"{self.root} has no folder <task>/<n>", "--dataset.dataset_path")
        return sorted(found, key=lambda episode: natural_key(episode.key))

    def source_state(self, episode: ToyEpisode) -> SourceState:
        states = [file.stat() for file in sorted(episode.folder.iterdir())]
        return sum(state.st_size for state in states), tuple(state.st_mtime_ns for state in states)

    def load(self, episode: ToyEpisode, files: None = None) -> ToyTrajectory:
        try:
            told: dict[str, Any] = json.loads((episode.folder / "episode.json").read_bytes())
            states = np.array(told["states"], np.float32)
            instruction, succeeded = str(told["instruction"]), bool(told["succeeded"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise EpisodeError(Reason.UNREADABLE_SOURCE, f"Error loading trajectory {episode}: {error}") from error
        video = episode.folder / "video.mp4"
        if not video.exists():
            raise EpisodeError(Reason.MISSING_MP4, f"Warning: Missing MP4 file in {episode}")
        frames = VideoFrames(lambda: video.open("rb"), str(video))
        if len(states) != len(frames):
            difference = f"{len(states)} states for {len(frames)} video frames"
            raise EpisodeError(Reason.FRAME_COUNT_MISMATCH, f"Error loading trajectory {episode}: {difference}")
        return ToyTrajectory(
            frames=frames,
            actions=states,
            action_names=self.action_names,
            task=instruction,
            task_name=episode.task_name,
            id=str(uuid.uuid5(_ID_NAMESPACE, f"{self.dataset_name}/{episode.key}")),
            is_robot=True,
            quality_label="successful" if succeeded else "failure",
            partial_success=None,
            data_source=self.dataset_name,
            source=episode.key,
            part=self.root.name,
            is_drawn=False,
            note=None,
            operator=told.get("operator"),
            grip_force=max(told.get("grip_forces", []), default=None),
            tools=told.get("tools", []),
        )


# What it reads, made for the tests -------------------------------------------------------------------------

TASKS = {
    "stack_cups": "Stack the red cup on the blue one",
    "press_key": "Press the key",
    "wipe_table": "Wipe the table",
}


def write_toy_arm(root: Path, *, episodes: int = 2, frames: int = 12, size: tuple[int, int] = (80, 60)) -> Path:
    """Some episodes of each of the `TASKS`, of one or two frames more each; returns the folder."""
    for task, instruction in TASKS.items():
        for number in range(episodes):
            write_toy_episode(root / task / str(number), instruction, frames + number, size)
    return root


def write_toy_episode(folder: Path, instruction: str, num_frames: int, size: tuple[int, int] = (80, 60)) -> None:
    """An arm that swings from left to right while its gripper closes."""
    folder.mkdir(parents=True)
    width, height = size
    time = np.linspace(0, 1, num_frames)
    states = np.stack([np.sin(time * 3 + joint) for joint in range(6)] + [1 - time], axis=1)
    told = {"instruction": instruction, "succeeded": folder.name != "1", "operator": "ann"}
    told |= {"grip_forces": [2.5, 4.0], "tools": ["cup", "cloth"], "states": states.round(4).tolist()}
    (folder / "episode.json").write_text(json.dumps(told))
    y, x = np.mgrid[:height, :width] / height
    bent = [np.abs(x - 0.1 - 0.9 * now - 0.2 * np.sin(4 * y)) < 0.06 for now in time]
    table = np.where((y > 0.8)[..., None], (150, 110, 70), (205, 215, 225)).astype(np.uint8)
    pictures = [np.where(arm[..., None], (70, 70, 90), table).astype(np.uint8) for arm in bent]
    write_rgb_mp4(pictures, folder / "video.mp4", fps=15, crf=18)
