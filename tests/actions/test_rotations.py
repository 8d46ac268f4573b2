"""Every convention beside scipy's rotations, and there and back again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dataset_upload.actions.rotations import CONVENTIONS, RotationConvention, convert, from_matrix, to_matrix

Array = NDArray[np.float64]

BY_SCIPY: dict[RotationConvention, Callable[[Rotation], Array]] = {
    "matrix": lambda r: r.as_matrix().ravel(),
    "rot6d_columns": lambda r: np.array([r.as_matrix()[i, j] for j in (0, 1) for i in (0, 1, 2)]),
    "rot6d_rows": lambda r: np.array([r.as_matrix()[i, j] for i in (0, 1) for j in (0, 1, 2)]),
    "quaternion_xyzw": lambda r: r.as_quat(canonical=True),
    "quaternion_wxyz": lambda r: r.as_quat(canonical=True, scalar_first=True),
    "euler_zyx": lambda r: r.as_euler("ZYX"),
    "rotation_vector": lambda r: r.as_rotvec(),
}

# Four numbers that are not all near 0: a quaternion when scaled. Half turns, whose numbers are exact, are among them.
rotations = (
    st.lists(st.one_of(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), st.floats(-1, 1)), min_size=4, max_size=4)
    .filter(lambda numbers: np.linalg.norm(numbers) > 0.1)
    .map(Rotation.from_quat)
)


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(rotation=rotations)
def test_numbers_give_scipy_s_matrix(convention: RotationConvention, rotation: Rotation) -> None:
    if convention == "euler_zyx":
        angles = rotation.as_rotvec()  # any three angles
        expected = Rotation.from_euler("ZYX", angles).as_matrix()
        np.testing.assert_allclose(to_matrix(angles, convention), expected, atol=1e-9)
    else:
        numbers = BY_SCIPY[convention](rotation)
        np.testing.assert_allclose(to_matrix(numbers, convention), rotation.as_matrix(), atol=1e-9)


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(rotation=rotations)
def test_numbers_are_scipy_s(convention: RotationConvention, rotation: Rotation) -> None:
    found = from_matrix(rotation.as_matrix(), convention)
    np.testing.assert_allclose(to_matrix(found, convention), rotation.as_matrix(), atol=1e-7)
    is_angle = convention in ("euler_zyx", "rotation_vector")
    at_an_end = is_angle and (np.abs(found).max() > np.pi - 1e-3 or abs(rotation.as_matrix()[2, 0]) > 1 - 1e-6)
    if not at_an_end and rotation.magnitude() < np.pi - 1e-3:  # where the same rotation has several numbers
        np.testing.assert_allclose(found, BY_SCIPY[convention](rotation), atol=1e-6)


@pytest.mark.parametrize("target", CONVENTIONS)
@pytest.mark.parametrize("source", CONVENTIONS)
@settings(max_examples=20)
@given(rotation=rotations)
def test_there_and_back_is_the_same_rotation(
    source: RotationConvention, target: RotationConvention, rotation: Rotation
) -> None:
    numbers = from_matrix(rotation.as_matrix(), source)
    back = convert(convert(numbers, source, target), target, source)
    np.testing.assert_allclose(to_matrix(back, source), rotation.as_matrix(), atol=1e-7)


@pytest.mark.parametrize("pitch", [-np.pi / 2, np.pi / 2])
@pytest.mark.parametrize("yaw", [-3.0, 0.0, 1.0])
def test_where_yaw_and_roll_are_one_roll_is_0(pitch: float, yaw: float) -> None:
    matrix = Rotation.from_euler("ZYX", [yaw, pitch, 0.0]).as_matrix()
    np.testing.assert_allclose(from_matrix(matrix, "euler_zyx"), [yaw, pitch, 0], atol=1e-6)


def test_half_turns_and_none_have_finite_numbers() -> None:
    matrices = np.array([np.eye(3), *(np.diag(2 * np.eye(3)[axis] - 1) for axis in range(3))])
    for convention in CONVENTIONS:
        numbers = from_matrix(matrices, convention)
        assert np.isfinite(numbers).all()
        np.testing.assert_allclose(to_matrix(numbers, convention), matrices, atol=1e-12)


def test_rows_taken_for_columns_are_the_inverse() -> None:
    matrix = Rotation.from_euler("ZYX", [0.3, 0.2, 0.1]).as_matrix()
    np.testing.assert_allclose(to_matrix(from_matrix(matrix, "rot6d_rows"), "rot6d_columns"), matrix.T, atol=1e-12)


def test_a_network_s_six_numbers_become_a_rotation() -> None:
    matrix = to_matrix([2.0, 0.1, 0, 0.5, 3.0, 0.2], "rot6d_columns")
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    np.testing.assert_allclose(matrix[:, 0], np.array([2.0, 0.1, 0]) / np.linalg.norm([2.0, 0.1, 0]))


@pytest.mark.parametrize("shape", [(), (1,), (4, 5), (2, 3, 4)])
def test_any_number_of_axes_stands_before(shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape))
    matrices = Rotation.random(count, rng=np.random.default_rng(1)).as_matrix().reshape(*shape, 3, 3)
    for convention in CONVENTIONS:
        numbers = from_matrix(matrices, convention)
        assert numbers.shape[:-1] == shape
        np.testing.assert_allclose(to_matrix(numbers, convention), matrices, atol=1e-9)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_wrong_number_of_numbers_is_refused(convention: RotationConvention) -> None:
    with pytest.raises(ValueError, match=f"{convention} has . numbers"):
        to_matrix(np.zeros((3, 5)), convention)
