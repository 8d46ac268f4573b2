"""Conventions of rotations, spelled out, with conversions between all of them.

A rotation matrix R takes coordinates along a body's axes into the outer frame: its columns are the body's axes. As
numbers a rotation is, by convention:

matrix           9: R row by row.
rot6d_columns    6: R's first two columns, one after the other: r00 r10 r20 r01 r11 r21.
rot6d_rows       6: R's first two rows, one after the other: r00 r01 r02 r10 r11 r12. Not the same six numbers: taking
                 one for the other gives another rotation, about the inverse.
quaternion_xyzw  4: unit quaternion, scalar last; the one of both with w >= 0.
quaternion_wxyz  4: the same, scalar first.
euler_zyx        3: yaw, pitch, roll in radians, intrinsic z-y-x: R = Rz(yaw) Ry(pitch) Rx(roll). Yaw and roll are in
                 -pi to pi, pitch is in -pi/2 to pi/2; where it is at an end, only yaw and roll together are
                 determined, and roll is 0.
rotation_vector  3: axis times angle in radians, the angle in 0 to pi.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

RotationConvention = Literal[
    "matrix", "rot6d_columns", "rot6d_rows", "quaternion_xyzw", "quaternion_wxyz", "euler_zyx", "rotation_vector"
]
CONVENTIONS: tuple[RotationConvention, ...] = get_args(RotationConvention)

Array = NDArray[np.float64]

_GIMBAL_LOCK = 1e-9  # cosine of a pitch so near the end that yaw and roll cannot be told apart


def convert(values: ArrayLike, source: RotationConvention, target: RotationConvention) -> Array:
    """(…, n) numbers of one convention as (…, m) numbers of another. Raises ValueError as `to_matrix`."""
    return from_matrix(to_matrix(values, source), target)


def to_matrix(values: ArrayLike, convention: RotationConvention) -> Array:
    """(…, n) numbers of a convention as (…, 3, 3) rotation matrices.

    Six numbers need not be those of a rotation, as a network's are not: the second axis is made orthogonal to the
    first, both unit length. Quaternions need not be of unit length.

    Raises:
        ValueError: the convention has another number of numbers.
    """
    numbers: Any = np.asarray(values, np.float64)
    width = _WIDTHS[convention]
    if numbers.shape[-1:] != (width,):
        raise ValueError(f"{convention} has {width} numbers in the last axis, not the shape {numbers.shape}")
    if convention == "matrix":
        return np.reshape(numbers, (*numbers.shape[:-1], 3, 3))
    if convention == "rot6d_columns":
        return _orthonormal_columns(numbers)
    if convention == "rot6d_rows":
        return np.swapaxes(_orthonormal_columns(numbers), -1, -2)
    if convention == "euler_zyx":
        return _matrix_of_euler(numbers)
    if convention == "rotation_vector":
        half = np.linalg.norm(numbers, axis=-1, keepdims=True) / 2
        # sin(half) / (2 half), also at 0
        return _matrix_of_quaternion(np.concatenate([np.cos(half), numbers * np.sinc(half / np.pi) / 2], axis=-1))
    return _matrix_of_quaternion(np.roll(numbers, 1, -1) if convention == "quaternion_xyzw" else numbers)


def from_matrix(matrices: ArrayLike, convention: RotationConvention) -> Array:
    """(…, 3, 3) rotation matrices as (…, n) numbers of a convention."""
    m: Any = np.asarray(matrices, np.float64)
    if convention == "matrix":
        return np.reshape(m, (*m.shape[:-2], 9))
    if convention == "rot6d_columns":
        return np.concatenate([m[..., :, 0], m[..., :, 1]], axis=-1)
    if convention == "rot6d_rows":
        return np.concatenate([m[..., 0, :], m[..., 1, :]], axis=-1)
    if convention == "euler_zyx":
        return _euler_of_matrix(m)
    quaternions = _quaternion_of_matrix(m)
    if convention == "quaternion_wxyz":
        return quaternions
    if convention == "quaternion_xyzw":
        return np.roll(quaternions, -1, -1)
    length = np.linalg.norm(quaternions[..., 1:], axis=-1, keepdims=True)  # sine of half the angle
    angle = 2 * np.arctan2(length, quaternions[..., :1])
    safe = np.where(length == 0, 1, length)
    return quaternions[..., 1:] * np.where(length == 0, 2, angle / safe)


_WIDTHS: dict[RotationConvention, int] = {
    "matrix": 9,
    "rot6d_columns": 6,
    "rot6d_rows": 6,
    "quaternion_xyzw": 4,
    "quaternion_wxyz": 4,
    "euler_zyx": 3,
    "rotation_vector": 3,
}


def _orthonormal_columns(numbers: Any) -> Array:
    """Matrices of these first two columns, made orthogonal and of unit length."""
    first, second = numbers[..., :3], numbers[..., 3:]
    first = first / np.linalg.norm(first, axis=-1, keepdims=True)
    second = second - np.sum(first * second, axis=-1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _matrix_of_euler(angles: Any) -> Array:
    (sy, sp, sr), (cy, cp, cr) = np.moveaxis(np.sin(angles), -1, 0), np.moveaxis(np.cos(angles), -1, 0)
    return _matrix(
        (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        (-sp, cp * sr, cp * cr),
    )


def _euler_of_matrix(m: Any) -> Array:
    cosine = np.hypot(m[..., 0, 0], m[..., 1, 0])
    locked = cosine < _GIMBAL_LOCK
    yaw = np.where(locked, np.arctan2(-m[..., 0, 1], m[..., 1, 1]), np.arctan2(m[..., 1, 0], m[..., 0, 0]))
    roll = np.where(locked, 0, np.arctan2(m[..., 2, 1], m[..., 2, 2]))
    return np.stack([yaw, np.arctan2(-m[..., 2, 0], cosine), roll], axis=-1)


def _matrix_of_quaternion(quaternions: Any) -> Array:
    """Of w, x, y, z."""
    w, x, y, z = np.moveaxis(quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), -1, 0)
    return _matrix(
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )


def _quaternion_of_matrix(m: Any) -> Array:
    """w, x, y, z, w >= 0.

    4 q q^T is linear in the matrix; each of its rows is a multiple of q, and the one with the largest diagonal entry
    is far from 0.
    """
    (a, b, c), (d, e, f), (g, h, i) = np.moveaxis(m, (-2, -1), (0, 1))
    products = np.stack(
        [
            np.stack([1 + a + e + i, h - f, c - g, d - b], axis=-1),
            np.stack([h - f, 1 + a - e - i, b + d, c + g], axis=-1),
            np.stack([c - g, b + d, 1 - a + e - i, f + h], axis=-1),
            np.stack([d - b, c + g, f + h, 1 - a - e + i], axis=-1),
        ],
        axis=-2,
    )
    largest = np.argmax(np.diagonal(products, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(products, largest[..., None, None], axis=-2)[..., 0, :]
    return q / np.linalg.norm(q, axis=-1, keepdims=True) * np.where(q[..., :1] < 0, -1, 1)  # type: ignore[no-any-return]


def _matrix(*rows: tuple[Any, Any, Any]) -> Array:
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
