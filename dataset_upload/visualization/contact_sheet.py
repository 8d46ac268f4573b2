"""The contact sheet: frames of one clip side by side, with skeletons, task and source."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from dataset_upload.stored_trajectory import StoredTrajectory, has_hands
from dataset_upload.visualization.overlay import overlays
from dataset_upload.visualization.skeleton import LEFT_RGB, RIGHT_RGB

_FRAMES, _COLUMNS, _CELL_HEIGHT, _GAP, _LINE = 12, 4, 270, 8, 32
_PAPER, _INK, _FAINT = (250, 250, 248), (24, 26, 32), (110, 114, 124)
_LETTER = 15  # pixels that a letter of the task takes at most, on average


def write_contact_sheet(trajectory: StoredTrajectory, path: Path) -> None:
    """A PNG of twelve evenly spaced frames, or of all if there are fewer, first and last included."""
    times = trajectory.times
    numbers = np.unique(np.linspace(0, len(times) - 1, _FRAMES, dtype=int)).tolist()
    pictures = list(overlays(trajectory, _CELL_HEIGHT, only=set(numbers)))
    width = pictures[0].width
    rows = -(-len(pictures) // _COLUMNS)
    task = textwrap.wrap(trajectory.task, _COLUMNS * width // _LETTER)
    top = _GAP + (len(task) + 1) * _LINE + _GAP
    sheet = Image.new("RGB", (_GAP + _COLUMNS * (width + _GAP), top + rows * (_CELL_HEIGHT + _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)

    bold, plain = _font("DejaVuSans-Bold.ttf", 20), _font("DejaVuSans.ttf", 17)
    for line, text in enumerate(task):
        draw.text((_GAP, _GAP + line * _LINE), text, _INK, bold)
    _draw_captions(draw, (_GAP, _GAP + len(task) * _LINE), _captions(trajectory), plain)
    for position, (number, picture) in enumerate(zip(numbers, pictures, strict=True)):
        row, column = divmod(position, _COLUMNS)
        corner = (_GAP + column * (width + _GAP), top + row * (_CELL_HEIGHT + _GAP))
        sheet.paste(picture, corner)
        draw.text(corner, f" {times[number]:.2f} s ", (255, 255, 255), plain, stroke_width=2, stroke_fill=(0, 0, 0))
    sheet.save(path)


def _captions(trajectory: StoredTrajectory) -> list[tuple[str, tuple[int, int, int]]]:
    row = trajectory.row
    num_frames = len(trajectory.times)
    facts = [trajectory.source, f"{num_frames} of {row.get('source_num_frames', num_frames)} frames"]
    if "part" in row:
        facts.insert(1, str(row["part"]))
    if row.get("task_certain") is False:
        facts.append("not certain that this text applies")
    hands = [("left hand", LEFT_RGB), ("right hand", RIGHT_RGB)] if has_hands(trajectory) else []
    return [*hands, ("  ·  ".join(facts), _FAINT)]


def _draw_captions(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    captions: list[tuple[str, tuple[int, int, int]]],
    font: ImageFont.FreeTypeFont,
) -> None:
    """Texts side by side, each in its colour; both hands' are the legend."""
    x, y = corner
    for text, rgb in captions:
        if rgb != _FAINT:
            draw.ellipse((x + 2, y + 4, x + 15, y + 17), fill=rgb)
            x += 22
        draw.text((x, y), text, _FAINT, font)
        x += round(font.getlength(text)) + 20


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font that comes with matplotlib: the same on every machine."""
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)
