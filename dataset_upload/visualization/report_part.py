"""A part of a report: some trajectories, drawn by a worker, whose pictures and clips go into few files.

A page from disk may not fetch, nor read a part of a file: it asks for scripts, each of which hands over what it holds.
Base64 makes that a third larger than the bytes are; a file each would be a million files for all of EgoDex.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_upload.errors import StoppedError, one_line
from dataset_upload.formats.each_trajectory import ROWS_PER_PART
from dataset_upload.formats.finished_dataset import FinishedDataset
from dataset_upload.quality.clip import Measures, measure
from dataset_upload.stored_trajectory import Array, StoredTrajectory, has_hands
from dataset_upload.video.encoding import write_rgb_mp4
from dataset_upload.video.projection import hand_pixels, true_aspect
from dataset_upload.visualization.overlay import draw_hands

_THUMBNAIL_HEIGHT = 144
_THUMBNAIL_QUALITY = 80
_CURVE_POINTS = 64  # that the page has of a trajectory's curves, at most
_CRF = 18


class Fact(NamedTuple):
    """What the page knows of every trajectory, whether or not it is in view. Unknown numbers are NaN.

    Attributes:
        number: of the dataset's row.
        source, task, folder: the episode, the text, the folder of its task.
        has_hands: whether there is anything to say of hands.
        seconds: length of the source.
        clip_bytes: size of the clip.
        convert_seconds: that the conversion took.
        path: of both wrists together, metres.
        top_speed: of the faster wrist, metres a second.
        radius: that the stiller wrist stays within, metres.
        least_in_frame, mean_in_frame: share of the joints in the picture, of the hand that is seen less, and of both.
        confidence: mean of both hands.
        remarks: what is strange, in words.
    """

    number: int
    source: str
    task: str
    folder: str
    has_hands: bool
    seconds: float
    clip_bytes: int
    convert_seconds: float
    path: float
    top_speed: float
    radius: float
    least_in_frame: float
    mean_in_frame: float
    confidence: float
    remarks: tuple[str, ...]


class Undrawn(NamedTuple):
    """A trajectory that cannot be drawn, and why."""

    source: str
    reason: str


class _Drawn(NamedTuple):
    fact: Fact
    picture: str  # JPEG, base64
    clip: dict[str, Any]  # all that the player shows


@dataclass(frozen=True)
class DrawPart:
    """Draws some trajectories, and writes their files. Picklable: each worker process uses a copy.

    Attributes:
        folder: for the files.
        clips_per_file: which divides `ROWS_PER_PART`.
    """

    folder: Path
    clips_per_file: int

    def __call__(self, dataset: FinishedDataset, numbers: Sequence[int]) -> list[Fact | Undrawn]:
        """Write `pictures_….js` and `clips_….js` of these rows; each has null for rows that are not drawn.

        Raises:
            StoppedError: nothing can be written.
        """
        drawn = [_draw_or_say_why(trajectory, dataset) for trajectory in dataset.trajectories(numbers)]
        by_row = dict(zip(numbers, drawn, strict=True))
        first = numbers[0] // ROWS_PER_PART * ROWS_PER_PART
        slots = [by_row.get(row) for row in range(first, min(first + ROWS_PER_PART, numbers[-1] + 1))]
        shown = [each if isinstance(each, _Drawn) else None for each in slots]
        write_script(self.folder, "pictures", first // ROWS_PER_PART, [each and each.picture for each in shown])
        for start in range(0, len(shown), self.clips_per_file):
            clips = [each and each.clip for each in shown[start : start + self.clips_per_file]]
            write_script(self.folder, "clips", (first + start) // self.clips_per_file, clips)
        return [each.fact if isinstance(each, _Drawn) else each for each in drawn]


def write_script(folder: Path, kind: str, number: int, content: Any) -> None:
    """Write a file that hands `content` to the page. Raises StoppedError where that is not possible."""
    path = folder / f"{kind}_{number:05d}.js"
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)  # ASCII, so that nothing depends on encodings
    try:
        path.write_text(f"receive({text});\n", encoding="ascii")
    except OSError as error:
        raise StoppedError(f"Cannot write {path}: {error.strerror}") from error


def _draw_or_say_why(trajectory: StoredTrajectory, dataset: FinishedDataset) -> _Drawn | Undrawn:
    try:
        return _draw(trajectory, dataset)
    except MemoryError:
        raise
    except Exception as error:  # whatever is odd about one trajectory, it costs no other one
        return Undrawn(trajectory.source, one_line(f"{type(error).__name__}: {error}"))


def _draw(trajectory: StoredTrajectory, dataset: FinishedDataset) -> _Drawn:
    middle = len(trajectory.times) // 2
    pixels = hand_pixels(trajectory)
    frame = next(itertools.islice(trajectory.frames(), middle, None))
    height, width = frame.shape[:2]
    picture = io.BytesIO()
    thumbnail = draw_hands(frame, pixels[:, middle], trajectory.intrinsics, _THUMBNAIL_HEIGHT)
    thumbnail.save(picture, "JPEG", quality=_THUMBNAIL_QUALITY)
    found = measure(trajectory, (width, height))
    fact = _fact(trajectory, found, dataset)
    with_hands = fact.has_hands
    clip = {
        "certain": trajectory.row.get("task_certain") is not False,
        "hasHands": with_hands,
        "frames": len(trajectory.times),
        "aspect": round(true_aspect(width, height, trajectory.intrinsics), 3),
        "duration": _number(float(trajectory.times[-1])),
        "paths": [_number(path) for path in found.paths],
        "topSpeeds": [_number(speed) for speed in found.top_speeds],
        "radii": [_number(radius) for radius in found.radii],
        "inFrame": [_number(share) for share in found.in_frame],
        "curves": _curves(trajectory) if with_hands else None,
        "actions": None if with_hands else _action_curves(trajectory),
        "size": [width, height],
        "skeletons": _skeletons(pixels) if with_hands else None,
        "video": base64.b64encode(_video(trajectory, dataset.description["settings"]["fps"])).decode(),
    }
    return _Drawn(fact, base64.b64encode(picture.getvalue()).decode(), clip)


def _fact(trajectory: StoredTrajectory, found: Measures, dataset: FinishedDataset) -> Fact:
    row, entry = trajectory.row, dataset.ledger.get(trajectory.source)
    return Fact(
        number=trajectory.number,
        source=trajectory.source,
        task=trajectory.task,
        folder=str(row["task_name"]),
        has_hands=has_hands(trajectory),
        seconds=row["source_num_frames"] / row["source_fps"],
        clip_bytes=sum(map(len, trajectory.clip_contents())),
        convert_seconds=np.nan if entry is None or entry.seconds is None else entry.seconds,
        path=sum(found.paths),
        top_speed=max(found.top_speeds),
        radius=min(found.radii),
        least_in_frame=min(found.in_frame),
        mean_in_frame=sum(found.in_frame) / 2,
        confidence=found.confidence,
        remarks=found.remarks,
    )


def _video(trajectory: StoredTrajectory, fps: int) -> bytes:
    """The clip as it is; JPEGs, and what browsers do not play, become an MP4."""
    if not isinstance(trajectory.row["frames"], list) and trajectory.plays_in_browsers:
        (content,) = trajectory.clip_contents()
        return content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_rgb_mp4(trajectory.frames(), path, fps=fps, crf=_CRF)
        return path.read_bytes()


def _skeletons(pixels: Array) -> str:
    """Both hands' (2, T, 25, 2) pixels, 1/16 pixel fine, frame by frame."""
    steps = np.nan_to_num(np.clip(np.round(16 * pixels), -32767, 32767), nan=-32768)
    return _base64(steps.transpose(1, 0, 2, 3))


def _curves(trajectory: StoredTrajectory) -> str:
    """Evenly spaced points of a trajectory's curves, each nine 16-bit numbers, little end first.

    These are: time, in 1/32767 of the last one; left x, y, z and right x, y, z, in millimetres from the mean of all
    wrist positions, y up; left and right confidence, in thousandths, or -1 where unknown.
    """
    points = _curve_points(trajectory)
    times = trajectory.times[points] / (trajectory.times[-1] or 1)
    wrists = trajectory.hands[:, :, 0]
    places = 1000 * (wrists - wrists.mean(axis=(0, 1)))[:, points]
    confidences = np.nan_to_num(1000 * trajectory.confidences[:, points], nan=-1)
    columns = [32767 * times, *places[0].T, *places[1].T, *confidences]
    return _base64(np.clip(np.round(np.stack(columns, axis=1)), -32767, 32767))


def _action_curves(trajectory: StoredTrajectory) -> list[list[float | None]]:
    """What to show of a trajectory without hands: evenly spaced times, then each action column at these."""
    points = _curve_points(trajectory)
    actions = trajectory.actions[points]
    return [[_number(float(value)) for value in curve] for curve in (trajectory.times[points], *actions.T)]


def _curve_points(trajectory: StoredTrajectory) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, len(trajectory.times) - 1, _CURVE_POINTS, dtype=int))


def _base64(numbers: Array) -> str:
    small: NDArray[np.int16] = numbers.astype("<i2")
    return base64.b64encode(small.tobytes()).decode()


def _number(value: float) -> float | None:
    """A number in four digits, which is finer than anything drawn; None if it is unknown."""
    return float(f"{value:.4g}") if np.isfinite(value) else None
