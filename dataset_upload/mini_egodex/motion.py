"""How an episode unfolds: the person's and the moving piece's poses at any frame, in closed form.

Nothing is kept from frame to frame, so an episode of any length can be made a few frames at a time. Every
pace, pause, starting place and sway is drawn from the episode's own generator: the picture tells how far the
task is, never what time it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dataset_upload.mini_egodex import body
from dataset_upload.mini_egodex.camera import Array, look_at
from dataset_upload.mini_egodex.scenes import Scene, smooth

FRAMES_PER_SECOND = 30
_WORKPLACE_DEPTH = -0.39  # z of its middle, in metres: how far ahead of the person it is

Sway = Callable[[Array], Array]  # seconds (T,) -> (T, n) in about -1..1


@dataclass(frozen=True)
class Poses:
    """T successive frames, in metres: everything `painting` draws, everything the HDF5 stores."""

    transforms: dict[str, Array]  # the 69 names, camera included: (T, 4, 4) to the scene
    confidences: dict[str, Array]  # 68 names: (T,)
    piece_position: Array  # (T, 3)
    piece_rotation: Array  # (T, 3, 3)

    def __len__(self) -> int:
        return len(self.piece_position)


def _sway(rng: np.random.Generator, channels: int, slowest: float = 0.08, fastest: float = 0.35) -> Sway:
    """Three slow sine waves a channel, with frequencies in Hz between the two given."""
    hertz, phase = rng.uniform(slowest, fastest, (3, channels)), rng.uniform(0, 2 * np.pi, (3, channels))
    return lambda seconds: np.sin(2 * np.pi * hertz * seconds[:, None, None] + phase).mean(axis=1)


# How a hand is held: (forward, back), where +x means outwards on either side.
_WORKING = ((-0.30, -0.42, -0.86), (0.15, 1.00, -0.30))
_STEADYING = ((-0.75, -0.10, -0.65), (0.55, 0.55, 0.35))
_RESTING = ((-0.28, -0.10, -0.95), (0.18, 1.00, -0.25))


class Performance:
    """One person doing one scene's task once, in `frames` frames.

    `reverse` runs the motion backwards, `hand` (+1 right, -1 left) does the work; `table_height` is metres.
    """

    def __init__(
        self,
        scene: Scene,
        rng: np.random.Generator,
        *,
        frames: int,
        reverse: bool,
        hand: int,
        table_height: float,
    ) -> None:
        self.scene, self.frames, self.reverse = scene, frames, reverse
        self.worker, self.helper = ("right", "left") if hand > 0 else ("left", "right")
        self.workplace = np.array([0.0, table_height, _WORKPLACE_DEPTH])

        # Seconds, if there were time: wait, reach, grip, carry, break, carry on, let go, withdraw, wait.
        shortest = (0.2, 1.0, 0.3, 1.2, 0.0, 1.2, 0.3, 0.9, 0.2)
        longest = (1.2, 1.8, 0.6, 2.4, 1.2, 2.4, 0.6, 1.6, 1.2)
        pace = rng.uniform(shortest, longest)
        self._beats = np.cumsum(pace)[:-1] / pace.sum()
        self._first_carry = rng.uniform(0.3, 0.7)  # of the way

        self._rest = {side: rng.uniform((0.18, 0.03, 0.02), (0.26, 0.06, 0.10)) for side in body.SIDES}
        self._eye = self.workplace + rng.uniform((-0.03, 0.41, 0.27), (0.03, 0.47, 0.33))
        self._gaze = self.workplace + rng.uniform((-0.03, 0.0, -0.20), (0.03, 0.0, -0.14))
        self._head_sway = _sway(rng, 7)
        self._hand_sway = {side: _sway(rng, 3, slowest=0.2, fastest=0.9) for side in body.SIDES}
        self._confidence_sway = {side: _sway(rng, 1) for side in body.SIDES}

    def poses(self, first: int, last: int) -> Poses:
        """The frames `first` to `last`, exclusive."""
        index = np.arange(first, last, dtype=np.float64)
        seconds, elapsed = index / FRAMES_PER_SECOND, index / max(self.frames - 1, 1)
        away, closed, progress = self._timeline(elapsed)
        place, rotation = self.scene.path(1 - progress if self.reverse else progress)
        place = place + self.workplace
        held = place + rotation @ self.scene.handle

        camera = self._head(seconds, held, away)
        transforms = {"camera": camera} | body.pose_trunk(camera)
        transforms |= self._hand(self.worker, camera, held, _WORKING, away, closed, seconds)
        if self.scene.steadied is None:
            away = np.ones_like(away)
        else:
            held = np.broadcast_to(self.workplace + self.scene.steadied, place.shape)
        transforms |= self._hand(self.helper, camera, held, _STEADYING, away, np.full_like(away, 0.7), seconds)
        wobble = {side: self._confidence_sway[side](seconds)[:, 0] for side in body.SIDES}
        return Poses(transforms, body.confidences(wobble), place, rotation)

    def _timeline(self, elapsed: Array) -> tuple[Array, Array, Array]:
        """At `elapsed` (T,) of 0..1: how far off the hand is, how closed, how far along the piece is."""
        beats = self._beats

        def during(beat: int) -> Array:
            return smooth((elapsed - beats[beat]) / (beats[beat + 1] - beats[beat]))

        away = 1 - during(0) + during(6)
        closed = during(1) - during(5)
        progress = self._first_carry * during(2) + (1 - self._first_carry) * during(4)
        return away, closed, progress

    def _hand(
        self,
        side: str,
        camera: Array,
        held: Array,
        stance: tuple[tuple[float, float, float], ...],
        away: Array,
        closed: Array,
        seconds: Array,
    ) -> dict[str, Array]:
        """Transforms of the side's arm and hand, which hold `held` (T, 3) or, as far as `away`, rest."""
        outwards, far = np.array([1.0 if side == "right" else -1.0, 1.0, 1.0]), away[:, None]
        forward, back = outwards * ((1 - far) * np.array(stance)[:, None] + far * np.array(_RESTING)[:, None])
        axes = body.hand_axes(side, forward, back)
        rest = self.workplace + outwards * self._rest[side] + 0.006 * self._hand_sway[side](seconds)
        pinch = (1 - far) * held + far * rest
        pinch[:, 1] += 0.30 * away * (1 - away)  # reach from above
        wrist = pinch - axes @ body.PINCH
        grip = 0.45 * away + (1 - away) * closed
        return body.pose_arm(side, camera, wrist) | body.pose_hand(side, wrist, axes, grip)

    def _head(self, seconds: Array, held: Array, away: Array) -> Array:
        """Camera-to-world (T, 4, 4): it sways, and follows a little the piece in the hand."""
        sway = self._head_sway(seconds)
        eye = self._eye + 0.012 * sway[:, :3]
        gaze = self._gaze + 0.15 * (1 - away)[:, None] * (held - self.workplace) + 0.02 * sway[:, 3:6]
        return look_at(eye, gaze, roll=0.04 * sway[:, 6])


def somewhere(rng: np.random.Generator) -> Array:
    """A recording's own ARKit world: (4, 4) from the scene to a world with its origin near the feet."""
    yaw = rng.uniform(-0.3, 0.3)
    world = np.eye(4)
    world[:3, 0], world[:3, 2] = (np.cos(yaw), 0.0, -np.sin(yaw)), (np.sin(yaw), 0.0, np.cos(yaw))
    world[:3, 3] = rng.uniform((-0.2, -0.03, -0.2), (0.2, 0.03, 0.2))
    return world
