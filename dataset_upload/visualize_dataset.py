"""Draw a finished dataset: contact sheets, plots, overlay videos, a report to browse, a Rerun recording.

A Rerun recording can also be made of an episode of the source, before anything is converted.

    python -m dataset_upload.visualize_dataset egodex_dataset --max_samples 5     pictures of five trajectories
    python -m dataset_upload.visualize_dataset egodex_dataset --report            a page about the whole dataset
    python -m dataset_upload.visualize_dataset egodex_dataset --rerun one.rrd     one trajectory for the Rerun viewer
    python -m dataset_upload.visualize_dataset /path/to/egodex/test --episode add_remove_lid/0 --rerun one.rrd

Needs the extra `viz` (matplotlib, Pillow), for `--rerun` the extra `rerun`. Exit codes: 0 drawn, 1 a clip, a table or
the episode's files are missing or damaged, 2 wrong usage, 3 stopped, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dataset_upload.console.command import EXIT_DONE, EXIT_FAILED, command, exit_with
from dataset_upload.console.logs import log_to_terminal, say
from dataset_upload.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from dataset_upload.formats.finished_dataset import FinishedDataset
    from dataset_upload.stored_trajectory import ShownTrajectory, StoredTrajectory


@command("not everything is drawn")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(argv)
    log_to_terminal()
    if options.rerun is not None and options.rerun.exists() and not options.rerun.is_file():
        raise UsageError(f"--rerun: {options.rerun} is not a file; name one that may be written")
    if options.episode is not None:
        return draw_episode(options.folder, options.episode, options.rerun)
    from dataset_upload.formats.finished_dataset import open_dataset

    dataset = open_dataset(options.folder, options.name)
    out: Path = options.out or Path("visualization") / dataset.name
    try:
        if options.report:
            num_undrawn = draw_report(dataset, out, options.num_workers)
            return EXIT_FAILED if num_undrawn else EXIT_DONE
        if options.rerun is not None:
            draw_rerun(choose(dataset, options.source, 1)[0], options.rerun)
        else:
            action_names = dataset.description["action_names"]
            draw_samples(choose(dataset, options.source, options.max_samples), out, action_names)
    except (OSError, LookupError, ValueError) as error:  # whatever a damaged dataset may cause
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        say(f"Error: {dataset.folder} cannot be drawn ({reason}); validate_dataset says more", sys.stderr)
        return EXIT_FAILED
    return EXIT_DONE


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


def draw_samples(trajectories: Sequence[StoredTrajectory], out: Path, action_names: Sequence[str]) -> None:
    """For each trajectory a contact sheet, a plot and an overlay video."""
    from dataset_upload.visualization.contact_sheet import write_contact_sheet
    from dataset_upload.visualization.overlay import write_overlay
    from dataset_upload.visualization.plots import write_plot

    out.mkdir(parents=True, exist_ok=True)
    for trajectory in trajectories:
        name = trajectory.source.replace("/", "_")
        write_contact_sheet(trajectory, out / f"{name}_sheet.png")
        write_plot(trajectory, out / f"{name}_plot.png", action_names)
        write_overlay(trajectory, out / f"{name}_overlay.mp4")
        say(f"{trajectory.source}: {out / name}_sheet.png, _plot.png, _overlay.mp4", sys.stdout)


def draw_report(dataset: FinishedDataset, out: Path, num_workers: int) -> int:
    """The report of the whole dataset; returns how many trajectories could not be drawn."""
    from dataset_upload.visualization.report import build_report

    page, num_undrawn = build_report(dataset, out / "report", num_workers=num_workers)
    say(f"Open {page} in a browser", sys.stdout)
    return num_undrawn


def draw_rerun(trajectory: ShownTrajectory, path: Path) -> None:
    """One trajectory for the Rerun viewer."""
    from dataset_upload.visualization.rerun_export import write_rerun

    write_rerun(trajectory, path)
    say(f"{trajectory.source}: rerun {path}", sys.stdout)


def draw_episode(source: str, key: str, path: Path | None) -> int:
    """An episode of a source, as conversion takes it, for the Rerun viewer; returns the exit code."""
    from dataset_upload.config import DatasetConfig, GenerateConfig
    from dataset_upload.dataset_loaders import make_loader
    from dataset_upload.errors import EpisodeError
    from dataset_upload.visualization.source_trajectory import SourceTrajectory

    if path is None:
        raise UsageError("--episode: give --rerun=OUT.rrd with it")
    loader = make_loader(GenerateConfig(dataset=DatasetConfig(dataset_path=source)))
    try:
        if any(path.resolve().is_relative_to(local.resolve()) for local in loader.local_sources()):
            raise UsageError(f"--rerun: {path} lies in the source, where nothing is written; name a file elsewhere")
        episodes = loader.list_episodes()
    except UsageError as error:
        error.argument = error.argument and "FOLDER"  # which conversion calls dataset_path
        raise
    episode = next((each for each in episodes if each.key == key), None)
    if episode is None:
        raise UsageError(f"--episode: {key} is not in {source}; episodes look like {episodes[0].key}")
    try:
        draw_rerun(SourceTrajectory(loader.load(episode), loader.about), path)
    except (EpisodeError, OSError, ValueError) as error:
        say(f"Error: {key} cannot be drawn ({' '.join(str(error).split())})", sys.stderr)
        return EXIT_FAILED
    return EXIT_DONE


def _parse(argv: Sequence[str] | None) -> Namespace:
    from dataset_upload.console.parser import Parser, add_num_workers, number_from

    parser = Parser(
        "python -m dataset_upload.visualize_dataset",
        "Draw a finished dataset: a contact sheet, a plot and an overlay video of each sample.",
    )
    parser.add_argument(
        "folder", metavar="FOLDER", help="the output folder of a run, or a Hub repo OWNER/NAME; with --episode a source"
    )
    parser.add_argument("--name", help="which of the folder's datasets (default: the only one)")
    parser.add_argument(
        "--max_samples",
        metavar="N",
        type=number_from(1),
        default=3,
        help="trajectories to draw, evenly spaced (default: 3)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--source", metavar="TASK/N", help="draw the trajectory of this episode instead")
    which.add_argument(
        "--episode",
        metavar="TASK/N",
        help="FOLDER is a source (folder, zip or URL of an EgoDex part): write this episode of it to --rerun=OUT.rrd",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder to write (default: visualization/NAME)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--report", action="store_true", help="write a page about the whole dataset: DIR/report/index.html"
    )
    what.add_argument("--rerun", metavar="OUT.rrd", type=Path, help="write one trajectory for the Rerun viewer")
    add_num_workers(parser)
    return parser.parse(argv)


def script() -> NoReturn:
    """Run the command as a process: `egodex-visualize`."""
    exit_with(main())


if __name__ == "__main__":
    script()
