"""Under which names, and in which form, a LeRobot dataset has camera and hands: `lerobot.keys`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_upload.actions.arkit import HAND_JOINTS, SIDES
from dataset_upload.actions.poses import inverse
from dataset_upload.actions.rotations import from_matrix, to_matrix
from dataset_upload.config import LerobotKeys
from dataset_upload.errors import UsageError
from dataset_upload.formats.lerobot.features import CONFIDENCE, UNKNOWN, Feature
from dataset_upload.stored_trajectory import Array
from dataset_upload.trajectory import Trajectory
from dataset_upload.video.geometry import Resize

Columns = Mapping[str, NDArray[Any]]  # by feature: (T, D) numbers

_CONFIDENCES = ("left_hand", "right_hand", "left_index_fingertip", "right_index_fingertip")
_K = tuple(f"K_{row}{column}" for row in range(3) for column in range(3))


class Keys:
    """Ours: the camera's pose as a matrix, positions of all joints in the world.

    Attributes:
        video: the name of the video.
        camera, intrinsics, hands: the names of the columns that have these.
        note: what a dataset's card says of them.
    """

    video = "observation.images.ego"
    camera: tuple[str, ...] = ("camera.pose",)
    intrinsics = "camera.intrinsics"
    hands: tuple[str, ...] = ("hands.xyz",)
    note = "`camera.pose` is camera to world, row by row."

    def check(self, hand_joints: Sequence[str]) -> None:
        """Raises UsageError where hands with these joints cannot be written so."""

    def features(self, hand_joints: Sequence[str], *, hands: bool) -> list[Feature]:
        """The features of camera and hands.

        Args:
            hand_joints: the points of a hand; none where trajectories have neither hands nor camera.
            hands: whether to keep all their positions.
        """
        if not hand_joints:
            return []
        confidences = Feature(CONFIDENCE, "float32", _CONFIDENCES)
        features = [*self._camera_features(), Feature(self.intrinsics, "float32", _K), confidences]
        return [*features, *self._hand_features(hand_joints)] if hands else features

    def values(self, trajectory: Trajectory, indices: NDArray[np.int64], resize: Resize) -> dict[str, NDArray[Any]]:
        """(n, D) numbers of these features at n of a trajectory's frames, as far as it has them.

        Args:
            resize: what was done to the frames.
        """
        count = len(indices)
        values: dict[str, NDArray[Any]] = {}
        if "intrinsics" in trajectory:
            matrix = resize.intrinsics(trajectory["intrinsics"])
            values[self.intrinsics] = np.tile(matrix.reshape(1, 9), (count, 1))
        confidences = trajectory.get("confidences")
        known = np.full((count, len(_CONFIDENCES)), np.nan) if confidences is None else confidences[indices]
        values[CONFIDENCE] = np.nan_to_num(known, nan=UNKNOWN).astype(np.float32)
        if "camera_to_world" in trajectory:
            values |= self._camera_values(trajectory["camera_to_world"][indices])
        if "hands" in trajectory:
            values |= self._hand_values(trajectory, indices)
        return values

    def camera_to_world(self, columns: Columns) -> Array:
        """(T, 4, 4) camera poses, of what is stored."""
        return columns[self.camera[0]].astype(np.float64).reshape(-1, 4, 4)

    def joints(self, columns: Columns) -> Array:
        """(2, T, J, 3) joints of the left and the right hand in the world, of what is stored; NaN: it is not stored."""
        joints = columns[self.hands[0]].astype(np.float64)
        return joints.reshape(len(joints), 2, -1, 3).swapaxes(0, 1)

    def _camera_features(self) -> list[Feature]:
        pose = tuple(f"camera_to_world_{row}{column}" for row in range(4) for column in range(4))
        return [Feature(self.camera[0], "float32", pose)]

    def _camera_values(self, poses: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        return {self.camera[0]: poses.reshape(len(poses), 16)}

    def _hand_features(self, hand_joints: Sequence[str]) -> list[Feature]:
        names = tuple(f"{side}{joint}_{axis}" for side in SIDES for joint in hand_joints for axis in "xyz")
        return [Feature(self.hands[0], "float32", names, is_bulky=True)]

    def _hand_values(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        hands = trajectory["hands"]
        both = np.stack([hands["left_hand"][indices], hands["right_hand"][indices]], 1)
        return {self.hands[0]: both.reshape(len(indices), -1)}


# Without the metacarpals of four fingers: the wrist is joint 0, fingertips are 4, 8, 12, 16 and 20.
_JOINTS = [number for number, name in enumerate(HAND_JOINTS) if not name.endswith("Metacarpal")]
_QUATERNION = ("qx", "qy", "qz", "qw")

# From a joint's axes in EgoDex (left fingers along +X, right ones along -X) to Mecka's: x out of the right palm, or of
# the back of the left hand, y from little finger to thumb, z towards the fingertip.
_LEFT = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
_TO_MECKA = {"left": _LEFT, "right": np.diag([-1.0, 1, -1]) @ _LEFT}


class MeckaKeys(Keys):
    """Mecka's, which Cosmos' reader of hand poses knows: the camera's position and rotation in the world, and 21 joints
    of each hand with their rotations, as the camera of the same frame sees them. Quaternions have the scalar last."""

    video = "observation.images.main"
    camera = ("observation.state.camera_position", "observation.state.camera_rotation")
    intrinsics = "intrinsics"
    hands = tuple(f"observation.state.hand_{side}_cam{what}" for side in SIDES for what in ("", "_rotation"))
    note = (
        "`observation.state.camera_position` and `camera_rotation` are camera to world, "
        "`observation.state.hand_left_cam` and its like 21 joints in the camera of the same frame; "
        "rotations are quaternions x, y, z, w."
    )

    def check(self, hand_joints: Sequence[str]) -> None:
        if tuple(hand_joints) != HAND_JOINTS:
            raise UsageError(f"mecka needs hands of ARKit's {len(HAND_JOINTS)} joints; leave it out", "keys")

    def camera_to_world(self, columns: Columns) -> Array:
        positions, rotations = (columns[name].astype(np.float64) for name in self.camera)
        poses = np.tile(np.eye(4), (len(positions), 1, 1))
        poses[:, :3, :3] = to_matrix(rotations, "quaternion_xyzw")
        poses[:, :3, 3] = positions
        return poses

    def joints(self, columns: Columns) -> Array:
        cameras = self.camera_to_world(columns)
        joints = np.full((2, len(cameras), len(HAND_JOINTS), 3), np.nan)
        for number, name in enumerate(self.hands[::2]):
            seen = columns[name].astype(np.float64).reshape(len(cameras), -1, 3)
            joints[number, :, _JOINTS] = _moved(cameras, seen).swapaxes(0, 1)
        return joints

    def _camera_features(self) -> list[Feature]:
        position, rotation = self.camera
        return [Feature(position, "float32", ("x", "y", "z")), Feature(rotation, "float32", _QUATERNION)]

    def _camera_values(self, poses: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        rotations = from_matrix(poses[:, :3, :3], "quaternion_xyzw").astype(np.float32)
        return dict(zip(self.camera, (poses[:, :3, 3], rotations), strict=True))

    def _hand_features(self, hand_joints: Sequence[str]) -> list[Feature]:
        joints = [hand_joints[number] for number in _JOINTS]
        features = []
        for side, position, rotation in zip(SIDES, self.hands[::2], self.hands[1::2], strict=True):
            for name, numbers in ((position, "xyz"), (rotation, _QUATERNION)):
                names = tuple(f"{side}{joint}_{number}" for joint in joints for number in numbers)
                features.append(Feature(name, "float32", names, is_bulky=True))
        return features

    def _hand_values(self, trajectory: Trajectory, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        to_camera = inverse(trajectory["camera_to_world"][indices].astype(np.float64))
        hands, values = trajectory["hands"], {}
        both = (hands["left_hand"], hands["right_hand"])
        for number, (side, joints) in enumerate(zip(SIDES, both, strict=True)):
            rotations = trajectory["joint_rotations"][indices, number][:, _JOINTS] @ _TO_MECKA[side]
            seen = from_matrix(to_camera[:, None, :3, :3] @ rotations, "quaternion_xyzw")
            blocks = (_moved(to_camera, joints[indices][:, _JOINTS]), seen)
            for name, block in zip(self.hands[2 * number : 2 * number + 2], blocks, strict=True):
                values[name] = block.reshape(len(indices), -1).astype(np.float32)
        return values


def _moved(transforms: Array, points: NDArray[Any]) -> Array:
    """(T, J, 3) points, moved by (T, 4, 4)."""
    moved: Array = points @ transforms[:, :3, :3].swapaxes(1, 2) + transforms[:, None, :3, 3]
    return moved


KEYS: dict[LerobotKeys, Keys] = {"default": Keys(), "mecka": MeckaKeys()}
