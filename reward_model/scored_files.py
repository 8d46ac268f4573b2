"""What score.py writes: the video with the curve below it, a picture, or the numbers."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dataset_upload.errors import UsageError
from dataset_upload.video.encoding import write_rgb_mp4
from dataset_upload.video.plain_decoding import open_plainly
from reward_model.plots import MODEL_COLOUR, TRUTH_COLOUR, draw_film
from reward_model.scoring import RewardModel, Score, decoded

logger = logging.getLogger("reward_model")

LEAST_WIDTH = 480  # pixels of a scored video, that the curve can be read
PANEL_HEIGHT = 160  # pixels
DPI = 100
CRF = 20


def write_scored(checkpoint: Path, video: Path, task: str, out: Path) -> None:
    """Score a video and write what `out` ends in: .mp4, .png or .json; it is whole or not there.

    Raises UsageError as RewardModel does, for another ending, for the video itself, and where `out` cannot be written.
    """
    write = WRITERS.get(out.suffix.lower())
    if write is None:
        raise UsageError(f"--out: {out} must end in {', '.join(WRITERS)}")
    if out.resolve() == video.resolve():
        raise UsageError(f"--out: {out} is the video itself; choose another name")
    score = RewardModel.load(checkpoint).score(video, task)
    temporary = out.with_name(f".{out.stem}.{os.getpid()}{out.suffix}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write(score, video, task, temporary)
        temporary.replace(out)
    except OSError as error:
        raise UsageError(f"--out: {out} cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # it never came to be, mostly
            temporary.unlink()
    last, sure = score.progress[-1], score.success[-1]
    logger.info(f"{out}: progress {last:.2f} after the last of {len(score.progress)} frames, success {sure:.2f}")


def _write_json(score: Score, video: Path, task: str, path: Path) -> None:
    """The numbers; `judged` are the frames that the model has seen."""
    columns = {name: np.round(column, 4).tolist() for name, column in score._asdict().items()}
    with path.open("w", encoding="utf-8") as file:
        json.dump({"video": str(video), "task": task} | columns, file, ensure_ascii=False)
        file.write("\n")


def _write_png(score: Score, video: Path, task: str, path: Path) -> None:
    """The judged frames, and below them the curve."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    figure.suptitle(f"“{task}”", fontsize=11, parse_math=False)
    film, axes = figure.subplots(2, 1, height_ratios=[1, 1.6])
    draw_film(film, [frame for frame in decoded(video, score.judged) if frame is not None])
    _draw_curve(axes, np.arange(len(score.judged)), score.progress[score.judged], score.success[score.judged])
    axes.set_xticks(range(len(score.judged)), [str(frame) for frame in score.judged], fontsize=7)
    axes.set_xlim(-0.5, len(score.judged) - 0.5)
    axes.set_xlabel("frame of the video")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    figure.savefig(path, dpi=120, format="png")


def _write_mp4(score: Score, video: Path, task: str, path: Path) -> None:
    """Every frame, and below it the curve with a line where the frame stands."""
    with video.open("rb") as file, open_plainly(file) as opened:
        fps = max(1, round(opened.fps)) if opened.fps else 30
    write_rgb_mp4(_with_curve(score, video, task), path, fps=fps, crf=CRF)


def _with_curve(score: Score, video: Path, task: str) -> Iterator[NDArray[np.uint8]]:
    """The frames of a scored video: of even height and width, small ones enlarged by a whole number."""
    panel, columns = np.zeros(0, np.uint8), np.zeros(0, np.int64)
    for number, frame in enumerate(decoded(video, None)):
        assert frame is not None
        times = -(-LEAST_WIDTH // frame.shape[1])
        large = frame.repeat(times, 0).repeat(times, 1)
        large = large[: len(large) // 2 * 2, : large.shape[1] // 2 * 2]
        if number == 0:
            panel, columns = _panel(score, task, large.shape[1])
        below = panel.copy()
        below[:, columns[number] : columns[number] + 2] = (0, 0, 0)
        yield np.concatenate([large, below])


def _panel(score: Score, task: str, width: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The curve, (PANEL_HEIGHT, width, 3) RGB, and the column, (T,), at which each frame stands in it."""
    figure = Figure(figsize=(width / DPI, PANEL_HEIGHT / DPI), dpi=DPI, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    every = np.arange(len(score.progress))
    _draw_curve(axes, every, score.progress, score.success)
    axes.set_title(task, loc="left", fontsize=8, parse_math=False)
    axes.set_xlim(-0.5, len(every) - 0.5)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, frameon=False, loc="upper left")
    canvas.draw()  # type: ignore[no-untyped-call]
    places = axes.transData.transform(np.stack([every, np.zeros(len(every))], 1))[:, 0]
    rgb = np.asarray(canvas.buffer_rgba())[:PANEL_HEIGHT, :width, :3]  # type: ignore[no-untyped-call]
    return rgb, places.round().astype(np.int64)


def _draw_curve(axes: Axes, x: NDArray[np.int64], progress: NDArray[np.float32], success: NDArray[np.float32]) -> None:
    axes.plot(x, progress, color=MODEL_COLOUR, label="progress")
    axes.plot(x, success, "--", color=TRUTH_COLOUR, label="success")
    axes.set_ylim(-0.05, 1.05)
    axes.spines[["top", "right"]].set_visible(False)


WRITERS: dict[str, Callable[[Score, Path, str, Path], None]] = {
    ".mp4": _write_mp4,
    ".png": _write_png,
    ".json": _write_json,
}
