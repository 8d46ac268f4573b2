"""What several measures of one episode are made of, each computed once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions.arkit import FINGERTIPS, HAND_JOINTS
from dataset_upload.trajectory import Tracking
from dataset_upload.video.projection import pixels_of, to_camera, within

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

WRIST = HAND_JOINTS.index("Hand")
TIPS = [HAND_JOINTS.index(tip) for tip in FINGERTIPS]
ENDS = [WRIST, *TIPS]  # the six points of a hand that tell how it moves

WINDOW_S = 0.5  # over which a hand's pace is taken, so that jitter does not count
STILL_SPEED = 0.03  # metres a second: in real episodes hands at rest stay below 0.01, at work above 0.05


JUMP_SPEED = 5.0  # metres a second, of a wrist or a fingertip
JUMP_TURN = 15.0  # radians a second, of a wrist; fingertips pass it when fingers are bent


class Derived:
    """An episode's tracking, and what is computed of it when it is first asked for.

    T frames, S = T - 1 steps from one to the next. Both hands come first, left then right.
    """

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking
        self.fps = tracking.fps

    @property
    def num_frames(self) -> int:
        return len(self.tracking.camera_to_world)

    @cached_property
    def hands(self) -> Array:
        """(2, T, 25, 3) metres, world frame."""
        return self.tracking.hands.astype(np.float64)

    @cached_property
    def wrists(self) -> Array:
        """(2, T, 3, 3) wrist axes to world."""
        return self.tracking.wrists.astype(np.float64)

    @cached_property
    def camera(self) -> Array:
        """(T, 4, 4) camera to world."""
        return self.tracking.camera_to_world.astype(np.float64)

    @cached_property
    def confidences(self) -> Array:
        """(2, T, 25), NaN where unknown."""
        known = self.tracking.confidences
        return np.full(self.hands.shape[:3], np.nan) if known is None else known.astype(np.float64)

    # Where hands appear

    @cached_property
    def intrinsics(self) -> Array:
        """(3, 3)."""
        return self.tracking.intrinsics.astype(np.float64)

    @cached_property
    def seen_hands(self) -> Array:
        """(2, T, 25, 3) metres, camera frame: x right, y down, z forward."""
        return to_camera(self.hands, self.camera)

    @cached_property
    def hand_pixels(self) -> Array:
        """(2, T, 25, 2); NaN behind the camera."""
        return pixels_of(self.seen_hands, self.intrinsics)

    @cached_property
    def inside(self) -> Flags:
        """(2, T, 25) whether a joint lies within the picture; one behind the camera does not."""
        return within(self.hand_pixels, self.tracking.frame_size)

    # How things move

    @cached_property
    def repeats(self) -> Flags:
        """(2, S) whether all joints of a hand are where they were a frame before, to the last bit."""
        repeats: Flags = (self.tracking.hands[:, 1:] == self.tracking.hands[:, :-1]).all(axis=(2, 3))
        return repeats

    @cached_property
    def jump_frames(self) -> list[NDArray[np.intp]]:
        """The frames at which jumps arrive, for each hand."""
        return [_jumps_of(*hand, self.fps) for hand in zip(self.hands, self.wrists, self.repeats, strict=True)]

    @cached_property
    def wrist_steps(self) -> Array:
        """(2, S) metres."""
        steps: Array = np.linalg.norm(np.diff(self.hands[:, :, WRIST], axis=1), axis=-1)
        return steps

    @cached_property
    def pace(self) -> Array:
        """(2, T) metres a second: how far wrist and fingertips are displaced, on average, within half a second.

        The half second lies around the frame; near the ends the frames that there are count.
        """
        half = max(1, round(WINDOW_S * self.fps / 2))
        frames = np.arange(self.num_frames)
        first, last = np.maximum(frames - half, 0), np.minimum(frames + half, self.num_frames - 1)
        ends = self.hands[:, :, ENDS]
        displaced = np.linalg.norm(ends[:, last] - ends[:, first], axis=-1).mean(axis=-1)
        pace: Array = displaced * self.fps / np.maximum(last - first, 1)
        return pace

    @cached_property
    def moving(self) -> Flags:
        """(2, T) whether a hand's pace is that of one at work."""
        return self.pace >= STILL_SPEED


def _jumps_of(hand: Array, wrist: Array, repeats: Flags, fps: float) -> NDArray[np.intp]:
    # A run of equal rows stands for its first, from which time runs on; at the very start for its last, as nothing is
    # known of before.
    rows = np.flatnonzero(np.append(True, ~repeats))
    rows[0] = rows[1] - 1 if len(rows) > 1 else 0
    seconds = np.diff(rows) / fps
    ends = hand[rows][:, ENDS]
    moved = np.linalg.norm(np.diff(ends, axis=0), axis=-1).max(axis=1, initial=0.0)
    angle = turned(wrist[rows[:-1]], wrist[rows[1:]])
    jumps: NDArray[np.intp] = rows[1:][(moved > JUMP_SPEED * seconds) | (angle > JUMP_TURN * seconds)]
    return jumps


def turned(before: Array, after: Array) -> Array:
    """(…, 3, 3), (…, 3, 3) -> (…) radians from one rotation to the other, exact also for small ones."""
    chord = np.linalg.norm(after - before, axis=(-1, -2)) / np.sqrt(8)
    angle: Array = 2 * np.arcsin(np.minimum(chord, 1))
    return angle
