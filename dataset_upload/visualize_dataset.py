"""Draw a finished dataset: contact sheets, plots, overlay videos, a report to browse, a Rerun recording.

    python -m dataset_upload.visualize_dataset egodex_dataset --max_samples 5     pictures of five trajectories
    python -m dataset_upload.visualize_dataset egodex_dataset --report            a page about the whole dataset
    python -m dataset_upload.visualize_dataset egodex_dataset --rerun one.rrd     one trajectory for the Rerun viewer

Needs the extra `viz` (matplotlib, Pillow), for `--rerun` the extra `rerun`. Exit codes: 0 drawn, 1 a clip or a table
is missing or damaged, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dataset_upload.errors import UsageError, one_line
from dataset_upload.finished_dataset import FinishedDataset, StoredTrajectory, open_dataset
from dataset_upload.interrupts import interruptible

EXIT_FAILED, EXIT_USAGE = 1, 2


@interruptible("not everything is drawn")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(argv)
    try:
        dataset = open_dataset(options.folder, options.name)
    except UsageError as error:
        print(f"Error: {error}", file=sys.stderr)
        return EXIT_USAGE
    try:
        out: Path = options.out or Path("visualization") / dataset.name
        if options.report:
            draw_report(dataset, out)
        elif options.rerun:
            draw_rerun(choose(dataset, options.source, 1)[0], options.rerun)
        else:
            draw_samples(choose(dataset, options.source, options.max_samples), out)
    except ModuleNotFoundError as error:
        extra = "rerun" if error.name == "rerun" else "viz"
        print(f"Error: {error.name} is not installed; pip install 'dataset_upload[{extra}]'", file=sys.stderr)
        return EXIT_USAGE
    except UsageError as error:
        print(f"Error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except (OSError, LookupError, ValueError) as error:  # whatever a damaged dataset may cause
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"Error: {dataset.folder} cannot be drawn ({reason}); validate_dataset says more", file=sys.stderr)
        return EXIT_FAILED
    return 0


def choose(dataset: FinishedDataset, source: str | None, count: int) -> list[StoredTrajectory]:
    """The trajectory of an episode, or without one `count` evenly spaced ones. Raises UsageError if there is none."""
    numbers = dataset.spread(count)
    if source is not None:
        numbers = [number for number, each in enumerate(dataset.column("source")) if each == source]
        if not numbers:
            raise UsageError(f"--source: {source} has no row in {dataset.folder}; sources look like add_remove_lid/0")
    if not numbers:
        raise UsageError(f"{dataset.folder} has no trajectory to draw")
    return list(dataset.trajectories(numbers))


def draw_samples(trajectories: Sequence[StoredTrajectory], out: Path) -> None:
    """For each trajectory a contact sheet, a plot and an overlay video."""
    from dataset_upload.visualization.contact_sheet import write_contact_sheet
    from dataset_upload.visualization.overlay import write_overlay
    from dataset_upload.visualization.plots import write_plot

    out.mkdir(parents=True, exist_ok=True)
    for trajectory in trajectories:
        name = trajectory.source.replace("/", "_")
        write_contact_sheet(trajectory, out / f"{name}_sheet.png")
        write_plot(trajectory, out / f"{name}_plot.png")
        write_overlay(trajectory, out / f"{name}_overlay.mp4")
        print(one_line(f"{trajectory.source}: {out / name}_sheet.png, _plot.png, _overlay.mp4"))


def draw_report(dataset: FinishedDataset, out: Path) -> None:
    """The report of the whole dataset."""
    from dataset_upload.visualization.report import build_report

    print(f"Open {build_report(dataset, out / 'report')} in a browser")


def draw_rerun(trajectory: StoredTrajectory, path: Path) -> None:
    """One trajectory for the Rerun viewer."""
    from dataset_upload.visualization.rerun_export import write_rerun

    write_rerun(trajectory, path)
    print(one_line(f"{trajectory.source}: rerun {path}"))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, no usage, exit code 2."""
        self.exit(EXIT_USAGE, f"Error: {message}\n")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 1 on")
    return int(text)


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m dataset_upload.visualize_dataset",
        description="Draw a finished dataset: a contact sheet, a plot and an overlay video of each sample.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="the output folder of a run, or a Hub repo OWNER/NAME")
    parser.add_argument("--name", help="which of the folder's datasets (default: the only one)")
    parser.add_argument(
        "--max_samples", metavar="N", type=_count, default=3, help="trajectories to draw, evenly spaced (default: 3)"
    )
    parser.add_argument("--source", metavar="TASK/N", help="draw the trajectory of this episode instead")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder to write (default: visualization/NAME)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--report", action="store_true", help="write a page about the whole dataset: DIR/report/index.html"
    )
    what.add_argument("--rerun", metavar="OUT.rrd", type=Path, help="write one trajectory for the Rerun viewer")
    return parser


if __name__ == "__main__":
    sys.exit(main())
