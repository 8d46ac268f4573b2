"""Chunks of actions, as policies predict them: what is done in the next H steps, all in one frame of reference."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions import Representation
from dataset_upload.actions.columns import WIDTHS
from dataset_upload.actions.poses import Array, inverse
from dataset_upload.actions.rotations import from_matrix, to_matrix
from dataset_upload.errors import UsageError

# camera: the camera at the chunk's first step. world: the recording's world. stored: numbers as they are, of each
# action in its own frame (head12: of a chunk each in another; motions: always this one).
ChunkFrame = Literal["camera", "world", "stored"]
ChunkEnding = Literal["repeat", "cut"]


class Chunk(NamedTuple):
    """The actions of consecutive steps.

    Attributes:
        actions: (H, D) float32; fewer than H rows where a chunk is cut at the end of its episode.
        is_pad: (H,) whether a row repeats the episode's last action because there is none of its own.
    """

    actions: NDArray[np.float32]
    is_pad: NDArray[np.bool_]


def to_chunk(
    representation: Representation,
    actions: NDArray[np.float32],
    camera_to_world: NDArray[np.float32] | None,
    start: int,
    horizon: int,
    *,
    frame: ChunkFrame = "camera",
    ending: ChunkEnding = "repeat",
) -> Chunk:
    """The actions of the steps start to start + horizon - 1 of an episode, never of another one, nor of its beginning.

    Args:
        actions: (T, D) of the whole episode, as stored.
        camera_to_world: (T, 4, 4), or (T, 16) row by row, of the same steps; None will do where none is needed.
        start: the step that a policy acts at, 0 to T - 1.
        horizon: H, at least 1.
        frame: of reference of all of the chunk; positions and rotations are expressed in it, other numbers stay.
        ending: what comes after the episode's last action: this action again, or nothing.

    Raises:
        IndexError: the episode has no such step.
        ValueError: as `express`; or the horizon is below 1, or cameras and actions differ in number.
        UsageError: this representation's actions cannot be expressed in this frame, or not without cameras.
    """
    if not 0 <= start < len(actions):
        raise IndexError(f"step {start} of an episode of {len(actions)}")
    if horizon < 1:
        raise ValueError(f"a horizon of {horizon} steps")
    if camera_to_world is not None and len(camera_to_world) != len(actions):
        raise ValueError(f"{len(camera_to_world)} camera poses for {len(actions)} actions")
    steps = np.arange(start, start + horizon)
    if ending not in get_args(ChunkEnding):
        raise ValueError(f"ending {ending!r} is none of {', '.join(get_args(ChunkEnding))}")
    if ending == "cut":
        steps = steps[steps < len(actions)]
    is_pad = steps >= len(actions)
    steps = np.minimum(steps, len(actions) - 1)
    cameras = None if camera_to_world is None else camera_to_world[steps].reshape(-1, 4, 4)
    return Chunk(express(representation, actions[steps], cameras, frame), is_pad)


def express(
    representation: Representation,
    actions: NDArray[np.float32],
    camera_to_world: NDArray[np.float32] | None,
    frame: ChunkFrame,
) -> NDArray[np.float32]:
    """Chunks of stored actions in one frame each.

    Args:
        actions: (…, H, D) as stored.
        camera_to_world: (…, H, 4, 4) of the same steps. (…, 1, 4, 4) of the first one is enough for actions that are
            stored in the world; None where none is needed.

    Raises:
        ValueError: there is no such frame, or the actions have another number of columns than the representation.
        UsageError: as `to_chunk`.
    """
    if actions.shape[-1] != len(representation.action_names):
        expected = f"{len(representation.action_names)} columns of {representation.name}"
        raise ValueError(f"actions of shape {actions.shape}, not with the {expected}")
    if frame not in get_args(ChunkFrame):
        raise ValueError(f"frame {frame!r} is none of {', '.join(get_args(ChunkFrame))}")
    if frame == "stored":
        return actions
    if representation.stored_in == "none" or not representation.action_parts:
        raise UsageError(f"actions of {representation.name} have no {frame} to be expressed in; take `stored`", "frame")
    if frame == representation.stored_in == "world":
        return actions
    if camera_to_world is None:
        raise UsageError(f"{frame} needs camera poses for actions of {representation.name}", "frame")
    cameras = camera_to_world.astype(np.float64)
    if representation.stored_in == "world":
        return _moved(representation, actions, inverse(cameras[..., :1, :, :]))
    if cameras.shape[-3] != actions.shape[-2]:
        raise UsageError(f"{representation.name} needs the camera poses of all {actions.shape[-2]} steps", "frame")
    if frame == "camera":
        cameras = inverse(cameras[..., :1, :, :]) @ cameras
    return _moved(representation, actions, cameras)


def _moved(representation: Representation, actions: NDArray[np.float32], transforms: Array) -> NDArray[np.float32]:
    """Actions (…, H, D), positions and rotations moved by (…, H or 1, 4, 4)."""
    moved = actions.astype(np.float64)
    rotations, column = transforms[..., :3, :3], 0
    for part in representation.action_parts:
        columns = slice(column, column + WIDTHS[part.kind])
        column = columns.stop
        numbers = moved[..., columns]
        if part.kind == "xyz":
            moved[..., columns] = (rotations @ numbers[..., None])[..., 0] + transforms[..., :3, 3]
        elif part.kind != "number":
            moved[..., columns] = from_matrix(rotations @ to_matrix(numbers, part.kind), part.kind)
    return moved.astype(np.float32)
