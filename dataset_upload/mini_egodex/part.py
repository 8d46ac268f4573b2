"""A part folder of a small EgoDex of the real structure, drawn instead of filmed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from dataset_upload.console.progress import progress as show_progress
from dataset_upload.dataset_loaders.egodex.annotation import DRAWN_BY
from dataset_upload.mini_egodex.camera import Array, intrinsics, project
from dataset_upload.mini_egodex.canvas import Canvas
from dataset_upload.mini_egodex.frame_code import LARGEST, read_frame_number
from dataset_upload.mini_egodex.irregularities import IRREGULARITIES, NUMBERS_SKIPPED, ROWS_LOST
from dataset_upload.mini_egodex.motion import FRAMES_PER_SECOND, Performance, Poses, somewhere
from dataset_upload.mini_egodex.painting import (
    BACKGROUNDS,
    FINGERTIP_RGB,
    SKINS,
    SLEEVES,
    TABLES,
    Look,
    Painter,
)
from dataset_upload.mini_egodex.scenes import TASKS, Scene, set_scene
from dataset_upload.video.mpeg4_writing import mpeg4_writer

__all__ = [
    "FINGERTIP_RGB",
    "IRREGULARITIES",
    "TASKS",
    "EpisodeRecord",
    "intrinsics",
    "make_mini_egodex",
    "project",
    "read_frame_number",
    "write_episode",
]

GOP = 12
_BITS_A_PIXEL = 4_000_000 / (1920 * 1080)  # EgoDex's videos have about 4 Mbit/s
_LEAST_BITS = 600_000  # a second: keeps small pictures as clean as large ones
_COARSEST = 6  # quantiser: no frame, however much moves in it, looks worse
_BLOCK = 128  # frames whose poses are made at a time


@dataclass(frozen=True)
class EpisodeRecord:
    """One episode that was written."""

    key: str  # "<task>/<n>": its files are <key>.hdf5 and <key>.mp4 in OUT
    frames: int  # of the video
    pose_rows: int  # of the HDF5: fewer only with the irregularity frame_mismatch
    llm_type: str
    reverse: bool  # it shows the reverse task, which llm_description2 describes
    description: str  # the sentence that tells what is drawn, whatever a spoilt annotation says
    irregularity: str | None


class _Session(NamedTuple):
    """A recording session: one person at one table, in one ARKit world."""

    name: str
    collector: str
    look: Look
    table_height: float  # metres
    world: Array  # (4, 4) from the scene


def _generator(*key: int | str) -> np.random.Generator:
    """Random numbers of its own for everything that has a key, so that no episode depends on another."""
    return np.random.default_rng([part if isinstance(part, int) else zlib.crc32(part.encode()) for part in key])


def _session(seed: int, task: str, number: int) -> _Session:
    """The session of a task's episode: in some tasks two successive episodes share one."""
    rng = _generator(seed, task, "session", number // 2 if TASKS[task].shared_sessions else number)
    day = f"2025-{rng.integers(1, 5):02}-{rng.integers(1, 29):02}"
    clock = f"{rng.integers(9, 19):02}-{rng.integers(60):02}-{rng.integers(60):02}"
    sleeve, skin = SLEEVES[rng.integers(len(SLEEVES))], SKINS[rng.integers(len(SKINS))]
    look = Look(str(rng.choice(list(TABLES))), str(rng.choice(list(BACKGROUNDS))), sleeve, skin)
    return _Session(f"{day}_{clock}.mov", f"C{rng.integers(1, 13)}", look, rng.uniform(0.70, 0.78), somewhere(rng))


def _annotation(task: str, scene: Scene, session: _Session, reverse: bool) -> dict[str, object]:
    """The HDF5's attributes, with EgoDex's types; and one that says that the episode is drawn."""
    kind, words = TASKS[task], scene.words | {"table": TABLES[session.look.table][0]}
    text = h5py.string_dtype()
    attributes: dict[str, object] = {
        DRAWN_BY: "dataset_upload.make_mini_egodex",
        "annotated": np.bool_(True),
        "annotator_version": np.float64(0.3 if kind.newer else 0.2),
        "environment": f"{session.look.table}, position:sitting, background:{session.look.background}",
        "extra": session.collector,
        "llm_description": kind.forward.format_map(words),
        "llm_description2": kind.reverse.format_map(words),
        "llm_objects": np.array(kind.objects, dtype=text),
        "llm_type": kind.llm_type,
        "llm_verbs": np.array(kind.verbs, dtype=text),
        "object": f"object:{kind.objects[0]}, color:{scene.words['colour']}",
        "session_name": session.name,
        "task": kind.attribute,
    }
    if kind.newer:
        attributes["description"] = f"{' and '.join(kind.verbs).capitalize()} the {kind.objects[0]}."
        attributes["type"] = kind.llm_type
    if kind.llm_type == "reversible":
        attributes["which_llm_description"] = "2" if reverse else "1"
    return attributes


def _record_poses(file: h5py.File, poses: Poses, first: int, frames: int, world: Array) -> None:
    """Store the poses of the frames from `first` on, of `frames` in all, in the recording's world."""
    rows = slice(first, first + len(poses))
    for name, transforms in poses.transforms.items():
        stored = file.require_dataset(f"transforms/{name}", (frames, 4, 4), np.float32, track_times=False)
        stored[rows] = world @ transforms
    for name, confidence in poses.confidences.items():
        stored = file.require_dataset(f"confidences/{name}", (frames,), np.float32, track_times=False)
        stored[rows] = confidence


def write_episode(
    out: str | Path,
    task: str,
    number: int,
    *,
    frames: int = 90,
    size: tuple[int, int] = (1920, 1080),
    seed: int = 0,
    reverse: bool | None = None,
    look: Look | None = None,
    irregularity: str | None = None,
    frame_number: bool = True,
) -> EpisodeRecord:
    """Write one episode, `out`/`task`/`number`.hdf5 with its .mp4, over what may be there.

    `task` is one of TASKS; `frames` is the length at 30 frames a second; `size` is (width, height) in pixels,
    both even. `reverse` shows the reverse of a reversible task; by default, odd numbers do. `look` is how table,
    background and person look; by default, each session has a look of its own. `irregularity` is one of
    IRREGULARITIES. With `frame_number=False` the pictures lack the bar that `read_frame_number` reads: nothing in
    them tells the time. Raises ValueError for an argument that is not possible.
    """
    _check(size, [task], [irregularity] if irregularity else [])
    if not 1 <= frames <= LARGEST + 1:
        raise ValueError(f"an episode has 1 to {LARGEST + 1} frames, not {frames}")
    kind = TASKS[task]
    if reverse and kind.llm_type != "reversible":
        raise ValueError(f"{task} is {kind.llm_type}: it has no reverse")
    backwards = kind.llm_type == "reversible" and (number % 2 == 1 if reverse is None else reverse)
    rng, session = _generator(seed, task, "episode", number), _session(seed, task, number)
    session = session._replace(look=look or session.look)
    hand = 1 if rng.random() < 0.7 else -1
    scene = set_scene(task, rng, hand)
    performance = Performance(
        scene, rng, frames=frames, reverse=backwards, hand=hand, table_height=session.table_height
    )
    painter = Painter(scene, session.look, performance.workplace, Canvas(size))
    attributes = _annotation(task, scene, session, backwards)

    folder = Path(out) / task
    folder.mkdir(parents=True, exist_ok=True)
    hdf5, mp4 = folder / f"{number}.hdf5", folder / f"{number}.mp4"
    bit_rate = max(_LEAST_BITS, round(_BITS_A_PIXEL * size[0] * size[1]))
    video = mpeg4_writer(mp4, size, fps=FRAMES_PER_SECOND, gop=GOP, bit_rate=bit_rate, coarsest=_COARSEST)
    with h5py.File(hdf5, "w") as file, video as append:
        file.attrs.update(attributes)
        file.create_dataset("camera/intrinsic", data=intrinsics(size).astype(np.float32), track_times=False)
        for first in range(0, frames, _BLOCK):
            poses = performance.poses(first, min(first + _BLOCK, frames))
            _record_poses(file, poses, first, frames, session.world)
            for i in range(len(poses)):
                append(painter.paint(poses, i, first + i if frame_number else None))
    if irregularity:
        IRREGULARITIES[irregularity].spoil(hdf5, mp4)

    rows = max(frames - ROWS_LOST, 0) if irregularity == "frame_mismatch" else frames
    description = str(attributes["llm_description2" if backwards else "llm_description"])
    return EpisodeRecord(f"{task}/{number}", frames, rows, kind.llm_type, backwards, description, irregularity)


def make_mini_egodex(
    out: str | Path,
    *,
    episodes: int = 12,
    size: tuple[int, int] = (1920, 1080),
    frames: int | tuple[int, int] = (60, 150),
    seed: int = 0,
    tasks: Sequence[str] | None = None,
    irregularities: Sequence[str] = (),
    frame_number: bool = True,
    progress: bool = False,
) -> list[EpisodeRecord]:
    """Write a part folder `out` of `episodes` normal episodes; return what was written, in that order.

    The episodes go round the `tasks` (default: all of TASKS). Each has `frames` frames or, of a (shortest,
    longest) pair, a number in between drawn by seed. Each of `irregularities` (names of IRREGULARITIES) adds
    one episode that has it after the normal ones, which stay as they are. `write_episode` explains the rest;
    `progress` shows a bar on standard error. Raises FileExistsError when `out` is not empty, ValueError for
    an argument that is not possible.
    """
    tasks = list(TASKS) if tasks is None else list(tasks)
    _check(size, tasks, irregularities)
    shortest, longest = (frames, frames) if isinstance(frames, int) else frames
    if episodes < 0 or not 1 <= shortest <= longest <= LARGEST + 1:
        raise ValueError(
            f"episodes must be 0 or more, frames 1 to {LARGEST + 1}, shortest first: not {episodes}, {frames}"
        )
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: name a new folder, or empty this one first")
    out.mkdir(parents=True, exist_ok=True)

    records = []
    plan = list(_plan(episodes, tasks, irregularities))
    shown = show_progress(plan, "Drawing episodes", total=len(plan)) if progress else plan
    for task, number, irregularity in shown:
        length = int(_generator(seed, task, "frames", number).integers(shortest, longest + 1))
        record = write_episode(
            out,
            task,
            number,
            frames=length,
            size=size,
            seed=seed,
            irregularity=irregularity,
            frame_number=frame_number,
        )
        records.append(record)
    return records


def _plan(episodes: int, tasks: Sequence[str], irregularities: Sequence[str]) -> Iterator[tuple[str, int, str | None]]:
    """Task, number and irregularity of every episode."""
    following = dict.fromkeys(tasks, 0)
    for i in range(episodes):
        task = tasks[i % len(tasks)]
        yield task, following[task], None
        following[task] += 1
    for i, name in enumerate(dict.fromkeys(irregularities)):
        fitting = [task for task in tasks if IRREGULARITIES[name].llm_type in (None, TASKS[task].llm_type)]
        task = fitting[i % len(fitting)]
        following[task] += NUMBERS_SKIPPED if name == "number_gap" else 0
        yield task, following[task], name
        following[task] += 1


def _check(size: tuple[int, int], tasks: Sequence[str], irregularities: Sequence[str]) -> None:
    """Raise ValueError for what cannot be written, before anything is."""
    if min(size) < 64 or size[0] % 2 or size[1] % 2:
        raise ValueError(f"the size must be even numbers of pixels from 64 on, not {size[0]}x{size[1]}")
    for what, names, known in (("task", tasks, TASKS), ("irregularity", irregularities, IRREGULARITIES)):
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"no {what} is called {', '.join(unknown)}: choose from {', '.join(known)}")
    if not tasks:
        raise ValueError(f"name at least one task: choose from {', '.join(TASKS)}")
    for name in irregularities:
        needed = IRREGULARITIES[name].llm_type
        if needed and needed not in {TASKS[task].llm_type for task in tasks}:
            raise ValueError(f"{name} needs a {needed} task, which none of these is: {', '.join(tasks)}")
