"""The pictures of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reward_model.data import read_clip
from reward_model.evaluation import METRICS, Judge, Result, rewound_view
from reward_model.samples import Views, thin

MODEL_COLOUR, COUNTER_COLOUR, TRUTH_COLOUR = "#1f6f8b", "#c9c9c9", "#e07a1f"
FILM_FRAMES = 16


def draw_metrics(results: dict[str, dict[str, Result]], path: Path) -> None:
    """A bar for each metric of each split, with the frame counter's beside it."""
    figure = Figure(figsize=(9, 2.6 * len(results)), layout="constrained")
    places = np.arange(len(METRICS))
    for axes, (split, metrics) in zip(figure.subplots(len(results), squeeze=False)[:, 0], results.items(), strict=True):
        for offset, column, colour, label in (
            (-0.2, "value", MODEL_COLOUR, "model"),
            (0.2, "baseline", COUNTER_COLOUR, "frame counter"),
        ):
            values = [getattr(metrics[name], column) for name in METRICS]
            bars = axes.bar(places + offset, np.nan_to_num(values), 0.38, color=colour, label=label)
            axes.bar_label(bars, ["none" if np.isnan(value) else f"{value:.2f}" for value in values], fontsize=7)
        names = [f"{name}\n(lower is better)" if name == "mae" else name for name in METRICS]
        axes.set_xticks(places, names, fontsize=8)
        axes.set_title(split, loc="left", fontsize=10)
        axes.set_ylim(min(0, *axes.get_ylim()), 1.2)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(loc="upper right", ncols=2, fontsize=8, frameon=False)
    figure.savefig(path, dpi=120)


def draw_history(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """The losses, and how the evaluations went, over the steps of metrics.jsonl."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, title, names in (
        (left, "losses", ["progress_loss", "success_loss", "preference_loss"]),
        (right, "held-out episodes", [f"held-out episodes/{name}" for name in ("rewound", "shuffled", "preference")]),
    ):
        for name in names:
            points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
            axes.plot(*np.array(points or [(np.nan, np.nan)]).T, label=name.split("/")[-1])
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("step")
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def draw_trajectory(judge: Judge, views: Views, row: int, path: Path) -> None:
    """One clip, as it was filmed and rewound: its frames, and below them the predicted progress."""
    whole = views.view(row, thin(np.arange(views.num_frames(row)), views.max_frames))
    shown = {"as filmed": whole, "rewound": rewound_view(views, row, np.random.default_rng(row))}
    images = read_clip(views.rows.clip_files(row))
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    figure.suptitle(f"“{views.rows.texts[whole.text]}”", fontsize=11)
    panels = figure.subplots(4, 1, height_ratios=[1, 1.6, 1, 1.6])
    for (title, view), verdict, film, axes in zip(
        shown.items(), judge(list(shown.values())), panels[::2], panels[1::2], strict=True
    ):
        draw_film(film, images[view.frames])
        axes.plot(view.progress, "o-", color=TRUTH_COLOUR, markersize=3, label="true progress")
        axes.plot(verdict.progress, "o-", color=MODEL_COLOUR, markersize=3, label="predicted progress")
        axes.plot(np.flatnonzero(verdict.success), verdict.progress[verdict.success], "k*", label="says it is done")
        axes.set(xlim=(-0.5, len(view.frames) - 0.5), ylim=(-0.05, 1.05), ylabel=title)
        axes.set_xticks(range(len(view.frames)), [str(frame) for frame in view.frames], fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    panels[1].legend(fontsize=8, frameon=False, loc="upper left")
    panels[3].set_xlabel("frame of the clip")
    figure.savefig(path, dpi=120)


def draw_film(axes: Axes, frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> None:
    """Frames, or every few of them, each above its place on the axis below."""
    stride = -(-len(frames) // FILM_FRAMES)
    for place in range(0, len(frames), stride):
        left, right = place - 0.48 * stride, place + 0.48 * stride
        axes.imshow(frames[place], extent=(left, right, 0, 1), aspect="auto")
    axes.set(xlim=(-0.5, len(frames) - 0.5), ylim=(0, 1))
    axes.axis("off")
