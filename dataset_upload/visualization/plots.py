"""The plot of one trajectory: where the hands go, how fast, how sure the tracker is; its actions if it has no hands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dataset_upload.quality.clip import speeds
from dataset_upload.stored_trajectory import SIDES, StoredTrajectory, has_hands
from dataset_upload.visualization.skeleton import LEFT_RGB, RIGHT_RGB

_COLOURS = [tuple(value / 255 for value in rgb) for rgb in (LEFT_RGB, RIGHT_RGB)]
_PLOTS_A_ROW = 4  # of action columns
_UNSURE = 0.35  # opacity of the shading where confidence is 0


def write_plot(trajectory: StoredTrajectory, path: Path, action_names: Sequence[str]) -> None:
    """A PNG of the hands' paths; of a trajectory without hands, of its action columns, which have these names."""
    if has_hands(trajectory):
        _plot_hands(trajectory, path)
    else:
        _plot_actions(trajectory, path, action_names)


def _plot_hands(trajectory: StoredTrajectory, path: Path) -> None:
    """The wrists' paths from above, their heights and speeds over time.

    The world frame has y up. Grey behind the curves is doubt: the upper half for the left hand, the lower half for
    the right one, darker where the tracker's confidence is lower.
    """
    figure = Figure(figsize=(12, 5), layout="constrained")
    above, height, speed = figure.subplot_mosaic(
        [["above", "height"], ["above", "speed"]], width_ratios=[2, 3]
    ).values()
    figure.suptitle(f"{trajectory.source}: {trajectory.task}", fontsize=11, wrap=True)
    _draw_paths(above, trajectory)
    for wrist, side, colour in zip(trajectory.hands[:, :, 0], SIDES, _COLOURS, strict=True):
        height.plot(trajectory.times, 100 * wrist[:, 1], color=colour, label=f"{side} hand")
    middles = (trajectory.times[1:] + trajectory.times[:-1]) / 2
    for pace, colour in zip(speeds(trajectory), _COLOURS, strict=True):
        speed.plot(middles, pace, color=colour, marker=".", markersize=4)
    height.set(ylabel="height, cm", xticklabels=[])
    speed.set(ylabel="speed, m/s", xlabel="time, s", ylim=(0, None))
    height.legend(loc="upper right", ncols=2, frameon=False)
    for axes in (height, speed):
        _shade_doubt(axes, trajectory)
        axes.margins(x=0)
        axes.grid(alpha=0.25)
    if np.isnan(trajectory.confidences).all():
        speed.set_title("confidences unknown", fontsize=9, loc="right")
    else:
        shades = [Patch(color="0.3", alpha=_UNSURE * (1 - sure), label=f"{sure:g}") for sure in (1, 0.5, 0)]
        title = "confidence, left above, right below:"
        legend = figure.legend(
            handles=shades, title=title, loc="outside lower right", ncols=3, frameon=False, fontsize=9
        )
        legend.get_title().set_fontsize(9)
    _save(figure, path)


def _plot_actions(trajectory: StoredTrajectory, path: Path, names: Sequence[str]) -> None:
    """Each action column over time, in a plot of its own."""
    curves = dict(zip(names, trajectory.actions.T, strict=True))
    num_rows = -(-len(curves) // _PLOTS_A_ROW)
    figure = Figure(figsize=(12, 1 + 1.7 * num_rows), layout="constrained")
    figure.suptitle(f"{trajectory.source}: {trajectory.task}", fontsize=11, wrap=True)
    plots = list(figure.subplots(num_rows, _PLOTS_A_ROW, squeeze=False).flat)
    for axes, (name, curve) in zip(plots, curves.items(), strict=False):
        axes.plot(trajectory.times, curve, color=_COLOURS[0], marker=".", markersize=4)
        axes.set_title(name, fontsize=9)
        axes.margins(x=0)
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=8)
    for axes in plots[len(curves) :]:
        axes.set_visible(False)
    figure.supxlabel("time, s", fontsize=9)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw_paths(axes: Axes, trajectory: StoredTrajectory) -> None:
    """Both wrists' ways and the camera's from straight above; a dot where each begins, a ring where it ends."""
    camera = trajectory.camera_to_world[:, :3, 3]
    is_known = np.isfinite(camera).all()
    cameras = [(camera, "0.6")] if is_known else []
    for way, colour in [*cameras, *zip(trajectory.hands[:, :, 0], _COLOURS, strict=True)]:
        x, z = 100 * way[:, 0], 100 * way[:, 2]
        axes.plot(x, z, color=colour, linewidth=1.4)
        axes.plot(x[0], z[0], "o", color=colour)
        axes.plot(x[-1], z[-1], "o", color=colour, markerfacecolor="white")
    if is_known:
        start = (100 * camera[0, 0], 100 * camera[0, 2])
        axes.annotate("camera", start, (6, 6), textcoords="offset points", color="0.5")
    axes.set(title="from above: dot to ring", xlabel="x, cm", ylabel="z, cm", aspect="equal", adjustable="datalim")
    axes.invert_yaxis()  # x to the right, z towards the viewer, y up: what a bird sees
    axes.grid(alpha=0.25)


def _shade_doubt(axes: Axes, trajectory: StoredTrajectory) -> None:
    times, confidences = trajectory.times, np.nan_to_num(trajectory.confidences, nan=1.0)
    edges = np.concatenate([times[:1], (times[1:] + times[:-1]) / 2, times[-1:]])
    for confidence, (bottom, top) in zip(confidences, ((0.5, 1.0), (0.0, 0.5)), strict=True):
        for start, end, sure in zip(edges[:-1], edges[1:], confidence, strict=True):
            opacity = _UNSURE * (1 - np.clip(sure, 0, 1))
            axes.axvspan(start, end, bottom, top, color="0.3", alpha=opacity, linewidth=0, zorder=0)
