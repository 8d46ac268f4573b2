"""The report: a folder with one HTML page about a whole dataset, opened from disk.

`index.html` carries its styles, scripts and numbers. Beside it lie `media/batch_0000/trajectory_0000` with the endings
`.jpg`, a thumbnail; `.mp4`, the clip; and `.js`, where the hands are in each frame. The page asks for these as they
come into view, by tags, for a page from disk may not fetch.
"""

from __future__ import annotations

import base64
import errno
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_upload.console.logs import logger
from dataset_upload.console.progress import progress
from dataset_upload.errors import one_line
from dataset_upload.formats.finished_dataset import FinishedDataset
from dataset_upload.ledger import DONE, FAILED, SKIPPED
from dataset_upload.quality import measures
from dataset_upload.storage.whole_file import write_whole
from dataset_upload.stored_trajectory import Array, StoredTrajectory, has_hands
from dataset_upload.video.encoding import write_rgb_mp4
from dataset_upload.video.projection import hand_pixels, true_aspect
from dataset_upload.visualization.overlay import draw_hands

_PAGE = Path(__file__).parent / "page"
_SCRIPTS = ("charts.js", "player.js", "report.js")

_THUMBNAIL_HEIGHT = 144
_THUMBNAIL_QUALITY = 80
_CURVE_POINTS = 64  # that the page has of a trajectory's curves, at most
_CRF = 18

NOT_DRAWN = "not drawn"  # beside the ledger's words for what was not converted


class Report(NamedTuple):
    """A report on disk."""

    page: Path
    num_undrawn: int  # trajectories that could not be drawn; each is named in a warning and on the page


def build_report(dataset: FinishedDataset, folder: Path) -> Report:
    """Write the report of a dataset into a folder, over an earlier one.

    Raises:
        OSError: conversion.json or a table is missing or damaged, or nothing can be written.
    """
    fps = dataset.description["settings"]["fps"]
    facts: list[dict[str, Any]] = []
    undrawn: list[dict[str, Any]] = []
    for trajectory in progress(dataset.trajectories(), "Drawing trajectories", total=len(dataset)):
        try:
            facts.append(_add_trajectory(trajectory, dataset, folder, fps))
        except Exception as error:  # whatever is odd about one trajectory, it costs no other one
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise
            reason = one_line(f"{type(error).__name__}: {error}")
            logger.warning(f"Warning: {one_line(trajectory.source)} cannot be drawn ({reason})")
            undrawn.append({"key": trajectory.source, "status": NOT_DRAWN, "reason": None, "message": reason})
    page = folder / "index.html"
    write_whole(page, render_page(describe(dataset, facts, undrawn)))
    return Report(page, len(undrawn))


def describe(
    dataset: FinishedDataset, facts: Sequence[dict[str, Any]], undrawn: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Everything that the page shows, but for thumbnails, clips and skeletons.

    Args:
        dataset: whose ledger tells which episodes were not converted; a copy has only their number by reason.
        facts: of every trajectory that could be drawn, with the same keys.
        undrawn: the key and the message of every other trajectory.
    """
    unconverted = [
        {key: getattr(entry, key) for key in ("key", "status", "reason", "message")}
        for entry in dataset.ledger.values()
        if entry.status != DONE
    ]
    texts = sorted({fact["task"] for fact in facts})
    folders = sorted({fact["folder"] for fact in facts})
    number_of_text = {text: number for number, text in enumerate(texts)}
    number_of_folder = {name: number for number, name in enumerate(folders)}
    numbered = [
        {**fact, "task": number_of_text[fact["task"]], "folder": number_of_folder[fact["folder"]]} for fact in facts
    ]
    return {
        "name": dataset.name,
        "settings": dataset.description["settings"],
        "actionNames": dataset.description["action_names"],
        "counts": {
            **{status: dataset.description["counts"][status] for status in (SKIPPED, FAILED)},
            NOT_DRAWN: {"": len(undrawn)} if undrawn else {},
        },
        "bytes": {
            **dataset.description["bytes"],
            "tables": sum(table.stat().st_size for table in dataset.table_files()),
        },
        "limits": {
            "jumpSpeed": measures.JUMP_SPEED,
            "stillRadius": measures.STILL_RADIUS,
            "leastInFrame": measures.LEAST_IN_FRAME,
        },
        "texts": texts,
        "folders": folders,
        # By column: a tenth of the letters that a list of objects would take.
        "trajectories": {key: [fact[key] for fact in numbered] for key in (numbered[0] if numbered else ())},
        # Names of files may hold bytes that are no text: as such they could not be written.
        "unconverted": [
            {name: None if text is None else one_line(text) for name, text in episode.items()}
            for episode in (*undrawn, *unconverted)
        ],
    }


def render_page(data: dict[str, Any]) -> str:
    """The page with everything inside."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    parts = {
        "title": data["name"].replace("&", "&amp;").replace("<", "&lt;"),
        "style": (_PAGE / "report.css").read_text(encoding="utf-8"),
        "script": "".join((_PAGE / name).read_text(encoding="utf-8") for name in _SCRIPTS),
        "data": text.replace("<", "\\u003c"),  # no text of the dataset ends the script element
    }
    before, *rest = (_PAGE / "report.html").read_text(encoding="utf-8").split("{{")
    filled = [parts[name] + after for name, after in (piece.split("}}", 1) for piece in rest)]
    return before + "".join(filled)


def _add_trajectory(trajectory: StoredTrajectory, dataset: FinishedDataset, folder: Path, fps: int) -> dict[str, Any]:
    """Write a trajectory's files into the report; returns what the page says of it."""
    media = (
        folder
        / "media"
        / f"batch_{trajectory.clip_number // 1000:04d}"
        / f"trajectory_{trajectory.clip_number:04d}.mp4"
    )
    media.parent.mkdir(parents=True, exist_ok=True)
    middle = len(trajectory.times) // 2
    pixels = hand_pixels(trajectory)

    frame = next(itertools.islice(trajectory.frames(), middle, None))
    height, width = frame.shape[:2]
    thumbnail = draw_hands(frame, pixels[:, middle], trajectory.intrinsics, _THUMBNAIL_HEIGHT)
    thumbnail.save(media.with_suffix(".jpg"), quality=_THUMBNAIL_QUALITY)
    _put_clip(trajectory, media, fps=fps)
    with_hands = has_hands(trajectory)
    if with_hands:
        _write_skeletons(pixels, (width, height), trajectory.clip_number, media.with_suffix(".js"))

    found = measures.measure(trajectory, (width, height))
    row = trajectory.row
    return {
        "source": trajectory.source,
        "task": trajectory.task,
        "folder": row["task_name"],
        "certain": row.get("task_certain") is not False,
        "hasHands": with_hands,
        "clip": trajectory.clip_number,
        "frames": len(trajectory.times),
        "aspect": round(true_aspect(width, height, trajectory.intrinsics), 3),
        "duration": _number(float(trajectory.times[-1])),
        "seconds": _number(row["source_num_frames"] / row["source_fps"]),
        "clipBytes": sum(map(len, trajectory.clip_contents())),
        "convertSeconds": entry.seconds if (entry := dataset.ledger.get(trajectory.source)) else None,
        "paths": [_number(path) for path in found.paths],
        "topSpeeds": [_number(speed) for speed in found.top_speeds],
        "radii": [_number(radius) for radius in found.radii],
        "inFrame": [_number(share) for share in found.in_frame],
        "confidence": _number(found.confidence),
        "remarks": list(found.remarks),
        "curves": _curves(trajectory) if with_hands else None,
        "actions": None if with_hands else _action_curves(trajectory),
    }


def _put_clip(trajectory: StoredTrajectory, place: Path, *, fps: int) -> None:
    """Put a clip into the report without a second copy where the disk allows; JPEGs become an MP4."""
    place.unlink(missing_ok=True)
    if isinstance(trajectory.row["frames"], list):
        write_rgb_mp4(trajectory.frames(), place, fps=fps, crf=_CRF)
        return
    try:
        os.link(trajectory.clip[0].resolve(), place)
    except OSError:  # another disk, or no file at all but packed into the table
        (content,) = trajectory.clip_contents()
        place.write_bytes(content)


def _write_skeletons(pixels: Array, frame_size: tuple[int, int], clip_number: int, path: Path) -> None:
    """Both hands' (2, T, 25, 2) pixels as a script that hands them to the page, 1/16 pixel fine."""
    steps = np.nan_to_num(np.clip(np.round(16 * pixels), -32767, 32767), nan=-32768)
    width, height = frame_size
    path.write_text(f'receiveSkeletons({clip_number},{width},{height},"{_base64(steps.transpose(1, 0, 2, 3))}")\n')


def _curves(trajectory: StoredTrajectory) -> str:
    """Evenly spaced points of a trajectory's curves, each nine 16-bit numbers, little end first.

    These are: time, in 1/32767 of the last one; left x, y, z and right x, y, z, in millimetres from the mean of all
    wrist positions, y up; left and right confidence, in thousandths, or -1 where unknown.
    """
    points = np.unique(np.linspace(0, len(trajectory.times) - 1, _CURVE_POINTS, dtype=int))
    times = trajectory.times[points] / (trajectory.times[-1] or 1)
    wrists = trajectory.hands[:, :, 0]
    places = 1000 * (wrists - wrists.mean(axis=(0, 1)))[:, points]
    confidences = np.nan_to_num(1000 * trajectory.confidences[:, points], nan=-1)
    columns = [32767 * times, *places[0].T, *places[1].T, *confidences]
    return _base64(np.clip(np.round(np.stack(columns, axis=1)), -32767, 32767))


def _action_curves(trajectory: StoredTrajectory) -> list[list[float | None]]:
    """What to show of a trajectory without hands: evenly spaced times, then each action column at these."""
    points = np.unique(np.linspace(0, len(trajectory.times) - 1, _CURVE_POINTS, dtype=int))
    actions = trajectory.actions[points]
    return [[_number(float(value)) for value in curve] for curve in (trajectory.times[points], *actions.T)]


def _base64(numbers: Array) -> str:
    small: NDArray[np.int16] = numbers.astype("<i2")
    return base64.b64encode(small.tobytes()).decode()


def _number(value: float) -> float | None:
    """A number in four digits, which is finer than anything drawn; None if it is unknown."""
    return float(f"{value:.4g}") if np.isfinite(value) else None
