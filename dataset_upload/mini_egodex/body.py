"""The tracked body of EgoDex: its 68 joints, how they are placed, how sure the tracker is of them.

Everything is in metres, y up; T is the number of frames. A hand is posed in its own directions: forward,
where the fingers point; back, out of the back of the hand; thumbward, from little finger to index.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dataset_upload.mini_egodex.camera import Array, unit

SIDES = ("left", "right")
FINGERS = ("Thumb", "IndexFinger", "MiddleFinger", "RingFinger", "LittleFinger")
BONES = ("Metacarpal", "Knuckle", "IntermediateBase", "IntermediateTip", "Tip")

_SPINE = {f"spine{i + 1}": up for i, up in enumerate((0.0, 0.09, 0.18, 0.27, 0.36, 0.5, 0.67))}
_NECK = {f"neck{i + 1}": up for i, up in enumerate((0.84, 0.89, 0.94, 1.0))}
_UPPER_ARM, _FOREARM = 0.30, 0.27
CONFIDENCE_FLOOR = 0.0032

# Each finger: where its first joint lies from the wrist (forward, back, thumbward), how long its bones are,
# all in metres; how far it fans out, in degrees. Then how far each bone bends to the palm, open or gripping.
_FINGER_ROOTS = {
    "IndexFinger": ((0.030, 0.004, 0.015), (0.060, 0.042, 0.024, 0.022), 9),
    "MiddleFinger": ((0.031, 0.004, 0.003), (0.060, 0.046, 0.028, 0.023), 1),
    "RingFinger": ((0.030, 0.002, -0.008), (0.056, 0.042, 0.027, 0.022), -8),
    "LittleFinger": ((0.028, -0.002, -0.018), (0.049, 0.034, 0.021, 0.019), -17),
}
_BEND_OPEN, _BEND_GRIP = (0, 14, 30, 40), (0, 45, 85, 105)
_THUMB_ROOT, _THUMB_BONES = (0.020, -0.012, 0.026), (0.044, 0.032, 0.026)
_THUMB_OPEN = ((0.60, -0.40, 0.70), (0.78, -0.36, 0.50), (0.86, -0.32, 0.36))
_THUMB_GRIP = ((0.48, -0.80, 0.34), (0.50, -0.82, -0.26), (0.62, -0.72, -0.30))


def finger_joints(finger: str) -> list[str]:
    """The finger's joints from the wrist outwards, without their side; the thumb has no metacarpal."""
    return [finger + bone for bone in BONES if (finger, bone) != ("Thumb", "Metacarpal")]


HAND_JOINTS = ("Hand", *(joint for finger in FINGERS for joint in finger_joints(finger)))
ARM_JOINTS = ("Shoulder", "Arm", "Forearm")
JOINTS = ("hip", *_SPINE, *_NECK, *(side + joint for side in SIDES for joint in ARM_JOINTS + HAND_JOINTS))


def _finger_bends(spread: float, bends: tuple[int, ...]) -> Array:
    """Unit directions (k, 3) of a finger's bones, fanned out by `spread` and bent by `bends` degrees."""
    fan, bend = np.radians(spread), np.radians(np.array(bends))
    return np.stack([np.cos(bend) * np.cos(fan), -np.sin(bend), np.cos(bend) * np.sin(fan)], axis=1)


def _hand_tables() -> dict[str, tuple[Array, Array, Array, Array]]:
    """By finger: first joint (3,), bones' lengths (k,), their directions (k, 3) open, then gripping."""
    tables = {"Thumb": (np.array(_THUMB_ROOT), np.array(_THUMB_BONES), unit(_THUMB_OPEN), unit(_THUMB_GRIP))}
    for finger, (root, bones, spread) in _FINGER_ROOTS.items():
        opened, gripping = _finger_bends(spread, _BEND_OPEN), _finger_bends(spread / 2, _BEND_GRIP)
        gripping[0] = opened[0]  # the metacarpal stays
        tables[finger] = (np.array(root), np.array(bones), opened, gripping)
    return tables


_HAND = _hand_tables()


def hand_shape(grip: Array) -> tuple[Array, Array]:
    """Places (T, 25, 3) of the hand's joints from the wrist, unit directions (T, 25, 3) of their bones.

    Both are along (forward, back, thumbward). `grip` (T,) runs from 0, open, to 1, closed on 4 centimetres.
    """
    places, directions = [np.zeros((len(grip), 1, 3))], [np.tile([1.0, 0.0, 0.0], (len(grip), 1, 1))]
    for root, lengths, opened, gripping in _HAND.values():
        closing = grip[:, None, None]
        bones = unit((1 - closing) * opened + closing * gripping)
        ends = root + np.cumsum(lengths[:, None] * bones, axis=1)
        places += [np.broadcast_to(root, (len(grip), 1, 3)), ends]
        directions += [bones, bones[:, -1:]]
    return np.concatenate(places, axis=1), np.concatenate(directions, axis=1)


def _pinch() -> Array:
    """Where a gripping hand holds things, from the wrist: between the tips of its first three fingers."""
    tips = dict(zip(HAND_JOINTS, hand_shape(np.ones(1))[0][0], strict=True))
    middle: Array = tips["ThumbTip"] / 2 + (tips["IndexFingerTip"] + tips["MiddleFingerTip"]) / 4
    return middle


PINCH = _pinch()


def hand_axes(side: str, forward: Array, back: Array) -> Array:
    """The hand's directions as the columns of (T, 3, 3); `forward` is kept, `back` is made square to it."""
    forward = unit(forward)
    back = unit(back - np.sum(back * forward, axis=-1, keepdims=True) * forward)
    thumbward = np.cross(back, forward) if side == "right" else np.cross(forward, back)
    return np.stack([forward, back, thumbward], axis=-1)


def pose_hand(side: str, wrist: Array, axes: Array, grip: Array) -> dict[str, Array]:
    """Transforms (T, 4, 4) of the side's 25 hand joints: the wrist at (T, 3), the hand's axes (T, 3, 3).

    EgoDex mirrors the joints' own axes: on the left X runs along the bone and Z to the little finger, on the
    right X runs against the bone and Z to the index finger.
    """
    places, directions = hand_shape(grip)
    positions = wrist[:, None] + places @ np.swapaxes(axes, 1, 2)
    bones = directions @ np.swapaxes(axes, 1, 2)
    thumbward = np.broadcast_to(axes[:, None, :, 2], bones.shape)
    turns = _turn(side, bones, -thumbward)
    return {side + joint: _rigid(positions[:, i], turns[:, i]) for i, joint in enumerate(HAND_JOINTS)}


def pose_arm(side: str, camera: Array, wrist: Array) -> dict[str, Array]:
    """Transforms (T, 4, 4) of the side's arm between the head camera (T, 4, 4) and the wrist (T, 3)."""
    outwards = np.array([-1.0, 0.0, 0.0]) if side == "left" else np.array([1.0, 0.0, 0.0])
    base, _ = _head_and_hip(camera)
    collar = base + 0.035 * outwards + [0.0, -0.14, 0.01]
    shoulder = base + 0.18 * outwards + [0.0, -0.20, 0.0]
    elbow = _elbow(shoulder, wrist, pole=0.6 * outwards + [0.0, -0.8, 0.1])
    chain = (collar, shoulder, elbow, wrist)
    up = np.broadcast_to([0.0, 1.0, 0.0], wrist.shape)
    return {
        side + joint: _rigid(start, _turn(side, unit(end - start), up))
        for joint, start, end in zip(ARM_JOINTS, chain[:-1], chain[1:], strict=True)
    }


def pose_trunk(camera: Array) -> dict[str, Array]:
    """Transforms (T, 4, 4) of hip, spine and neck of somebody sitting behind the head camera (T, 4, 4)."""
    head, hip = _head_and_hip(camera)
    along = unit(head - hip)
    leftwards = np.broadcast_to([-1.0, 0.0, 0.0], head.shape)
    spine = _turn("left", along, leftwards)
    places = {
        joint: hip + up * (head - hip) + [0.0, 0.0, 0.04 * np.sin(np.pi * up)] for joint, up in (_SPINE | _NECK).items()
    }
    facing_back = _turn("left", leftwards, np.broadcast_to([0.0, 0.0, -1.0], head.shape))
    return {"hip": _rigid(hip, facing_back)} | {joint: _rigid(place, spine) for joint, place in places.items()}


def confidences(wobble: Mapping[str, Array]) -> dict[str, Array]:
    """The tracker's confidence (T,), 0 to 1, in each joint; by side, `wobble` (T,) in -1..1 moves it.

    As in the real files: fixed along the trunk, high at the wrists, falling towards the fingertips and the
    little finger, at the floor for the metacarpals.
    """
    trunk = {"hip": 1.0} | dict(zip(_SPINE, (0.9, 0.8, 0.7, 0.55, 0.7, 0.85, 1.0), strict=True))
    trunk |= dict(zip(_NECK, (0.9, 0.8, 0.7, 0.85), strict=True))
    fixed = trunk | {
        side + joint: level for side in SIDES for joint, level in zip(ARM_JOINTS, (0.89, 1.0, 0.97), strict=True)
    }
    table = {joint: np.full_like(wobble["left"], level) for joint, level in fixed.items()}
    for side in SIDES:
        wrist = 0.95 + 0.04 * wobble[side]
        table[side + "Hand"] = wrist
        for sure, finger in zip((0.95, 0.9, 0.85, 0.8, 0.7), FINGERS, strict=True):
            for bone, outwards in zip(BONES, (0.0, 0.8, 0.6, 0.45, 0.3), strict=True):
                if (finger, bone) != ("Thumb", "Metacarpal"):
                    table[side + finger + bone] = wrist * sure * outwards * (1 + 0.15 * wobble[side])
    return {joint: np.clip(values, CONFIDENCE_FLOOR, 1.0) for joint, values in table.items()}


def _head_and_hip(camera: Array) -> tuple[Array, Array]:
    """The top of the neck (T, 3), behind the eyes, and the hip (T, 3), which moves less."""
    head = camera[:, :3, 3] + [0.0, -0.01, 0.15]
    return head, head * [0.5, 1.0, 0.6] + [0.0, -0.65, 0.10]


def _elbow(shoulder: Array, wrist: Array, pole: Array) -> Array:
    """The elbow (T, 3), bent towards `pole` (3,); a wrist out of reach stretches the forearm."""
    reach = np.linalg.norm(wrist - shoulder, axis=1, keepdims=True)
    along = (wrist - shoulder) / reach
    foot = np.minimum((_UPPER_ARM**2 - _FOREARM**2 + reach**2) / (2 * reach), _UPPER_ARM)
    aside = unit(pole - np.sum(along * pole, axis=1, keepdims=True) * along)
    elbow: Array = shoulder + foot * along + np.sqrt(np.maximum(_UPPER_ARM**2 - foot**2, 0)) * aside
    return elbow


def _turn(side: str, along: Array, z_hint: Array) -> Array:
    """Rotations (..., 3, 3): X along `along`, of length one, Z towards `z_hint`; on the right reversed."""
    z = unit(z_hint - np.sum(z_hint * along, axis=-1, keepdims=True) * along)
    x, z = (along, z) if side == "left" else (-along, -z)
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _rigid(positions: Array, rotations: Array) -> Array:
    """Transforms (T, 4, 4) from (T, 3) and (T, 3, 3)."""
    transforms = np.tile(np.eye(4), (len(positions), 1, 1))
    transforms[:, :3, :3] = rotations
    transforms[:, :3, 3] = positions
    return transforms
