"""Write a small EgoDex of the real structure, drawn instead of filmed, for machines that have no EgoDex.

    python -m dataset_upload.make_mini_egodex mini/test --episodes 12 --size 1920x1080

OUT becomes a part folder like EgoDex's `test`: OUT/<task>/<n>.hdf5 beside OUT/<task>/<n>.mp4. The same
arguments give the same bytes. Everything that goes wrong in the real dataset can be ordered by name: see
IRREGULARITIES.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dataset_upload.console.command import EXIT_DONE, command, exit_with

if TYPE_CHECKING:
    from argparse import Namespace


@command("not every episode is there")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(argv)
    from dataset_upload.errors import UsageError
    from dataset_upload.mini_egodex.part import IRREGULARITIES, make_mini_egodex

    try:
        records = make_mini_egodex(
            options.out,
            episodes=options.episodes,
            size=options.size,
            frames=options.frames,
            seed=options.seed,
            tasks=options.tasks,
            irregularities=list(IRREGULARITIES) if options.irregular == ["all"] else options.irregular,
            frame_number=options.frame_number,
            progress=True,
        )
    except (ValueError, FileExistsError, PermissionError) as error:
        raise UsageError(str(error)) from error
    print(f"Wrote {len(records)} episodes, {sum(record.frames for record in records)} frames, to {options.out}")
    return EXIT_DONE


def _parse(argv: Sequence[str] | None) -> Namespace:
    from pathlib import Path

    from dataset_upload.console.parser import Parser, number_from
    from dataset_upload.mini_egodex.irregularities import IRREGULARITIES

    parser = Parser(
        "python -m dataset_upload.make_mini_egodex",
        "Write a small EgoDex of the real structure, drawn instead of filmed.",
        epilog="irregularities:\n" + "\n".join(f"  {name:25}{each.what}" for name, each in IRREGULARITIES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the part folder to write; must be new or empty")
    parser.add_argument(
        "--episodes",
        metavar="N",
        type=number_from(0),
        default=12,
        help="normal episodes, spread over the tasks (default: 12)",
    )
    parser.add_argument(
        "--size",
        metavar="WxH",
        type=_size,
        default=(1920, 1080),
        help="video size in pixels (default: 1920x1080)",
    )
    parser.add_argument(
        "--frames",
        metavar="N|MIN-MAX",
        type=_frames,
        default=(60, 150),
        help="frames an episode at 30 a second (default: 60-150)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=number_from(0), default=0, help="another seed gives other episodes (default: 0)"
    )
    parser.add_argument(
        "--tasks", metavar="NAME,...", type=_names, help="the tasks to use; a wrong name lists them (default: all)"
    )
    parser.add_argument(
        "--irregular",
        metavar="NAME,...|all",
        type=_names,
        default=[],
        help="add, after the normal episodes, one with each of these irregularities (default: none)",
    )
    parser.add_argument(
        "--no_frame_number",
        dest="frame_number",
        action="store_false",
        help="leave the frame number out of the picture (default: drawn)",
    )
    return parser.parse(argv)


def _size(text: str) -> tuple[int, int]:
    if not (numbers := re.fullmatch(r"(\d+)x(\d+)", text)):
        raise argparse.ArgumentTypeError(f"a size is WIDTHxHEIGHT, as 320x180, not {text}")
    return int(numbers[1]), int(numbers[2])


def _frames(text: str) -> tuple[int, int]:
    if not (numbers := re.fullmatch(r"(\d+)(?:-(\d+))?", text)):
        raise argparse.ArgumentTypeError(f"frames are a number or a range, as 90 or 60-150, not {text}")
    return int(numbers[1]), int(numbers[2] or numbers[1])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    exit_with(main())
