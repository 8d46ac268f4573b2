"""The tasks of a mini EgoDex: what stands on the table, what moves along which path, told in which words.

Scene coordinates are metres about the middle of the workplace on the table top: x to the right, y up, z
towards the person. A task runs with its progress s from 0 to 1, its reverse from 1 to 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dataset_upload.mini_egodex.camera import Array

Rgb = tuple[int, int, int]
# From the progress (T,) to the moving piece's places (T, 3) and rotations (T, 3, 3).
Path = Callable[[Array], tuple[Array, Array]]

CORNERS = 12  # of every face: smaller ones repeat their last corner
COLOURS: dict[str, Rgb] = {
    "red": (188, 52, 44),
    "blue": (52, 92, 178),
    "green": (62, 142, 82),
    "orange": (208, 116, 40),
    "purple": (122, 70, 152),
}


@dataclass(frozen=True)
class Solid:
    """A convex prism: corners (V, 3), faces (F, CORNERS) of indices that turn left seen from outside."""

    corners: Array
    faces: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    rgb: Rgb
    moves: bool = False
    shown: Literal["outside", "inside"] = "outside"  # an open container is painted inside, contents, outside


@dataclass(frozen=True)
class Scene:
    """One episode's things on the table, in the order to paint them; at least one of them moves."""

    solids: tuple[Solid, ...]
    path: Path
    handle: Array  # (3,) where the moving piece is gripped, in its own coordinates
    steadied: Array | None  # (3,) what the other hand holds on to; None: it rests
    words: dict[str, str]  # fill the task's sentences


@dataclass(frozen=True, kw_only=True)
class Task:
    """A kind of episode: EgoDex's annotation for it, with the function that lays out a scene of it."""

    llm_type: Literal["reversible", "reset", "reset-free"]
    attribute: str  # what the `task` attribute says: not always the folder's name
    forward: str
    reverse: str = "None"  # a sentence only when reversible
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    newer: bool = False  # from annotator 0.3, which adds `description` and `type`
    shared_sessions: bool = False  # two successive episodes come from one recording session
    lay_out: Callable[[np.random.Generator, int], Scene]  # see `set_scene`


def _ring(width: float, depth: float, corners: int) -> Array:
    """Corners (n, 2) as x, z of a rectangle (4) or ellipse (more) of that width and depth."""
    angles = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    circle = np.stack([np.cos(angles), -np.sin(angles)], axis=1)
    ring: Array = circle / np.abs(circle).max() / 2 * [width, depth]
    return ring


def _at(x: float, z: float, y: float = 0.0) -> Array:
    """A place (3,), on the table unless y says otherwise."""
    return np.array([x, y, z])


def _prism(
    bottom: tuple[float, float],
    height: float,
    rgb: Rgb,
    *,
    top: tuple[float, float] | None = None,
    at: Array | None = None,
    corners: int = 4,
    moves: bool = False,
) -> Solid:
    """A box (4 corners) or tapered cylinder (more); (width, depth), height in metres; it stands on `at`."""
    low, high = _ring(*bottom, corners), _ring(*(top or bottom), corners)
    rings = [np.insert(ring, 1, y, axis=1) for ring, y in ((low, 0.0), (high, height))]
    lower = list(range(corners))
    upper, following = [corner + corners for corner in lower], [*lower[1:], 0]
    sides = [[i, j, j + corners, i + corners] for i, j in zip(lower, following, strict=True)]
    faces = [face + face[-1:] * (CORNERS - len(face)) for face in (lower[::-1], upper, *sides)]
    return Solid(np.concatenate(rings) + (0 if at is None else at), np.array(faces), rgb, moves)


def _opened(solid: Solid) -> tuple[Solid, Solid]:
    """The inside, then the outside of the solid without its top: paint what it contains in between."""
    walls = np.delete(solid.faces, 1, axis=0)
    return replace(solid, faces=walls, shown="inside"), replace(solid, faces=walls)


def smooth(x: Array) -> Array:
    """Ease (T,) from 0 to 1: at rest at both ends, clipped outside."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _rotations(axis: Literal["x", "y", "z"], angles: Array) -> Array:
    """Rotations (T, 3, 3) by `angles` (T,) radians about one axis."""
    turns = np.tile(np.eye(3), (len(angles), 1, 1))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    turns[:, i, i] = turns[:, j, j] = np.cos(angles)
    turns[:, j, i], turns[:, i, j] = np.sin(angles), -np.sin(angles)
    return turns


def _carry(start: Array, goal: Array, lift: float, yaw: tuple[float, float] = (0.0, 0.0)) -> Path:
    """Lift a piece, carry it over and set it down, turning it from yaw to yaw."""

    def path(s: Array) -> tuple[Array, Array]:
        over = smooth(s)
        positions = start + over[:, None] * (goal - start)
        positions[:, 1] += lift * (1 - (2 * s - 1) ** 4)
        return positions, _rotations("y", yaw[0] + over * (yaw[1] - yaw[0]))

    return path


def _pick_and_place(rng: np.random.Generator, hand: int) -> Scene:
    colour, tray = rng.choice(list(COLOURS), 2, replace=False)
    tray_at = _at(-hand * rng.uniform(0.03, 0.09), rng.uniform(-0.12, -0.05))
    start = _at(hand * rng.uniform(0.13, 0.22), rng.uniform(-0.06, 0.08))
    goal = tray_at + _at(rng.uniform(-0.05, 0.05), rng.uniform(-0.03, 0.03), 0.003)
    inside, outside = _opened(_prism((0.25, 0.18), 0.045, COLOURS[tray], top=(0.27, 0.20), at=tray_at))
    block = _prism((0.052, 0.052), 0.052, COLOURS[colour], moves=True)
    path = _carry(start, goal, rng.uniform(0.07, 0.11), (rng.uniform(-0.7, 0.7), rng.uniform(-0.7, 0.7)))
    words = {"colour": colour, "tray": tray}
    return Scene((inside, block, outside), path, handle=_at(0, 0, 0.040), steadied=None, words=words)


def _add_lid(rng: np.random.Generator, hand: int) -> Scene:
    colour = rng.choice(list(COLOURS))
    cup_at = _at(-hand * rng.uniform(0.0, 0.07), rng.uniform(-0.08, 0.0))
    start = _at(hand * rng.uniform(0.15, 0.22), rng.uniform(-0.06, 0.08))
    rim_at = cup_at + _at(0, 0, 0.105)
    cup = _prism((0.070, 0.070), 0.105, (176, 168, 152), top=(0.092, 0.092), at=cup_at, corners=CORNERS)
    coffee = _prism((0.082, 0.082), 0.001, (66, 50, 40), at=rim_at, corners=CORNERS)
    lid = _prism((0.100, 0.100), 0.016, COLOURS[colour], corners=CORNERS, moves=True)
    knob = _prism((0.030, 0.030), 0.022, COLOURS[colour], at=_at(0, 0, 0.016), corners=CORNERS, moves=True)
    path = _carry(start, rim_at + _at(0, 0, 0.001), rng.uniform(0.05, 0.09))
    held = cup_at + _at(-hand * 0.035, 0.01, 0.035)
    return Scene((cup, coffee, lid, knob), path, handle=_at(0, 0, 0.030), steadied=held, words={"colour": colour})


def _open_box(rng: np.random.Generator, hand: int) -> Scene:
    colour, angle = rng.choice(list(COLOURS)), np.radians(rng.uniform(95, 118))
    width, depth, height = rng.uniform([0.20, 0.13, 0.07], [0.25, 0.16, 0.10])
    box_at = _at(hand * rng.uniform(-0.02, 0.05), rng.uniform(-0.10, -0.02))
    hinge = box_at + _at(0, -depth / 2, height)
    inside, outside = _opened(_prism((width, depth), height, COLOURS[colour], at=box_at))
    lid = _prism((width, depth), 0.010, COLOURS[colour], at=_at(0, depth / 2), moves=True)

    def path(s: Array) -> tuple[Array, Array]:
        return np.tile(hinge, (len(s), 1)), _rotations("x", -angle * s)

    handle, held = (
        _at(hand * width * 0.3, depth, 0.012),
        box_at + _at(-hand * (width / 2 + 0.01), 0, height / 2),
    )
    return Scene((inside, outside, lid), path, handle=handle, steadied=held, words={"colour": colour})


def _insert_marker(rng: np.random.Generator, hand: int) -> Scene:
    colour = rng.choice(list(COLOURS))
    holder_at = _at(-hand * rng.uniform(0.0, 0.08), rng.uniform(-0.10, -0.02))
    start = _at(hand * rng.uniform(0.12, 0.18), rng.uniform(0.0, 0.08), 0.010)
    holder = _prism((0.075, 0.075), 0.080, (120, 112, 104), top=(0.085, 0.085), at=holder_at, corners=CORNERS)
    inside, outside = _opened(holder)
    barrel = _prism((0.020, 0.020), 0.105, (150, 148, 144), corners=8, moves=True)
    cap = _prism((0.023, 0.023), 0.045, COLOURS[colour], at=_at(0, 0, 0.105), corners=8, moves=True)
    carried = _carry(start, holder_at + _at(0, 0, 0.004), rng.uniform(0.11, 0.13))

    def path(s: Array) -> tuple[Array, Array]:
        return carried(s)[0], _rotations("z", hand * np.pi / 2 * (1 - smooth(s / 0.5)))  # upright from halfway on

    solids = (inside, barrel, cap, outside)
    return Scene(solids, path, handle=_at(0, 0, 0.115), steadied=None, words={"colour": colour})


def _stack_blocks(rng: np.random.Generator, hand: int) -> Scene:
    colour, lower, middle = rng.choice(list(COLOURS), 3, replace=False)
    stack_at = _at(-hand * rng.uniform(0.0, 0.08), rng.uniform(-0.10, -0.02))
    start = _at(hand * rng.uniform(0.13, 0.20), rng.uniform(-0.06, 0.08))
    blocks = (
        _prism((0.062, 0.062), 0.055, COLOURS[lower], at=stack_at),
        _prism((0.058, 0.058), 0.055, COLOURS[middle], at=stack_at + _at(0, 0, 0.055)),
        _prism((0.054, 0.054), 0.050, COLOURS[colour], moves=True),
    )
    path = _carry(start, stack_at + _at(0, 0, 0.110), rng.uniform(0.04, 0.07), (rng.uniform(-0.7, 0.7), 0.0))
    words = {"colour": colour, "lower": lower, "middle": middle}
    return Scene(blocks, path, handle=_at(0, 0, 0.040), steadied=None, words=words)


def _wipe(rng: np.random.Generator, hand: int) -> Scene:
    colour, strokes = rng.choice(list(COLOURS)), rng.integers(2, 5)
    start = _at(hand * rng.uniform(0.12, 0.18), rng.uniform(0.02, 0.08))
    sweep, advance = hand * rng.uniform(0.20, 0.28), rng.uniform(0.10, 0.16)
    sponge = _prism((0.075, 0.105), 0.032, COLOURS[colour], moves=True)

    def path(s: Array) -> tuple[Array, Array]:
        swing = (1 - np.cos(2 * np.pi * strokes * s)) / 2
        positions = start + np.stack([-sweep * swing, 0 * s, -advance * s], axis=1)
        return positions, _rotations("y", -0.5 * hand * swing)

    return Scene((sponge,), path, handle=_at(0, 0, 0.030), steadied=None, words={"colour": colour})


def _clutter(rng: np.random.Generator) -> tuple[Solid, ...]:
    """What lies about at the back of the table, out of the hands' way: a book and a bowl."""
    side = rng.choice([-1, 1])
    book_at = _at(side * rng.uniform(0.30, 0.45), rng.uniform(-0.38, -0.28))
    bowl_at = _at(-side * rng.uniform(0.28, 0.45), rng.uniform(-0.40, -0.28))
    book = _prism((0.17, 0.12), rng.uniform(0.015, 0.04), (82, 96, 108), at=book_at)
    return book, *_opened(_prism((0.09, 0.09), 0.05, (150, 146, 138), top=(0.14, 0.14), at=bowl_at, corners=CORNERS))


def set_scene(task: str, rng: np.random.Generator, hand: int) -> Scene:
    """The task's things in places of their own, for the `hand` (+1 right, -1 left) that will do the work."""
    scene = TASKS[task].lay_out(rng, hand)
    return replace(scene, solids=_clutter(rng) + scene.solids)


TASKS: dict[str, Task] = {
    "basic_pick_and_place": Task(
        llm_type="reset",
        attribute="basic_pick_place",
        forward="Pick up the {colour} block from the {table} and place it in the {tray} tray.",
        verbs=("pick", "place"),
        objects=("block",),
        newer=True,
        lay_out=_pick_and_place,
    ),
    "add_remove_lid": Task(
        llm_type="reversible",
        attribute="Add Remove Lid",
        forward="Place the {colour} lid onto the cup on the {table}.",
        reverse="Remove the {colour} lid from the cup on the {table}.",
        verbs=("add", "remove"),
        objects=("cup", "lid"),
        shared_sessions=True,
        lay_out=_add_lid,
    ),
    "open_close_box": Task(
        llm_type="reversible",
        attribute="open_close_box",
        forward="Open the lid of the {colour} box on the {table}.",
        reverse="Close the lid of the {colour} box on the {table}.",
        verbs=("open", "close"),
        objects=("box",),
        newer=True,
        lay_out=_open_box,
    ),
    "insert_remove_marker": Task(
        llm_type="reversible",
        attribute="insert_remove_marker",
        forward="Insert the {colour} marker into the holder on the {table}.",
        reverse="Remove the {colour} marker from the holder and lay it on the {table}.",
        verbs=("insert", "remove"),
        objects=("marker", "holder"),
        newer=True,
        shared_sessions=True,
        lay_out=_insert_marker,
    ),
    "stack_unstack_blocks": Task(
        llm_type="reversible",
        attribute="stack_unstack_blocks",
        forward="Stack the {colour} block on top of the {middle} and {lower} ones on the {table}.",
        reverse="Unstack the {colour} block from the {middle} and {lower} ones and put it on the {table}.",
        verbs=("stack", "unstack"),
        objects=("block",),
        lay_out=_stack_blocks,
    ),
    "wipe_kitchen_surfaces": Task(
        llm_type="reset-free",
        attribute="wipe_kitchen_surfaces",
        forward="Wipe the {table} with the {colour} sponge.",
        verbs=("wipe",),
        objects=("table", "sponge"),
        newer=True,
        shared_sessions=True,
        lay_out=_wipe,
    ),
}
