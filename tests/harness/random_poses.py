"""An episode of random poses: whatever takes a row for a column, or an inverse for a pose, gives other numbers."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dataset_upload.trajectory import Trajectory

Transforms = dict[str, NDArray[np.float32]]  # (T, 4, 4) of each of EgoDex's 69 names

FINGERS = ("Thumb", "IndexFinger", "MiddleFinger", "RingFinger", "LittleFinger")
BONES = ("Metacarpal", "Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
HAND = ["Hand", *(f + b for f in FINGERS for b in BONES if (f, b) != ("Thumb", "Metacarpal"))]
BODY = ["hip", *(f"spine{n}" for n in range(1, 8)), *(f"neck{n}" for n in range(1, 5))]
JOINTS = [*BODY, *(side + joint for side in ("left", "right") for joint in ("Shoulder", "Arm", "Forearm", *HAND))]


def random_transforms(num_frames: int = 6, seed: int = 0) -> Transforms:
    """Poses as an HDF5 file's group `transforms` has them; fingers are within 10 cm of each other."""
    rng = np.random.default_rng(seed)
    transforms = {}
    for name in ("camera", *JOINTS):
        poses = np.tile(np.eye(4, dtype=np.float32), (num_frames, 1, 1))
        poses[:, :3, :3] = Rotation.random(num_frames, rng=rng).as_matrix()
        is_finger = any(finger in name for finger in FINGERS)
        poses[:, :3, 3] = (
            rng.uniform(-0.05, 0.05, (num_frames, 3)) if is_finger else rng.uniform(-1, 1, (num_frames, 3))
        )
        transforms[name] = poses
    return transforms


def as_trajectory(transforms: Transforms, **changes: Any) -> Trajectory:
    """What a loader makes of these poses, without a video; a change to None leaves the key out."""

    def positions(names: list[str]) -> NDArray[np.float32]:
        return np.stack([transforms[name][:, :3, 3] for name in names], axis=1)

    trajectory = {
        "source": "fold/0",
        "camera_to_world": transforms["camera"],
        "hands": {
            "left_hand": positions([f"left{joint}" for joint in HAND]),
            "right_hand": positions([f"right{joint}" for joint in HAND]),
            "left_wrist_rotation": transforms["leftHand"][:, :3, :3],
            "right_wrist_rotation": transforms["rightHand"][:, :3, :3],
        },
        "skeleton": positions(JOINTS),
        "actions": positions(["leftHand", "camera"]).reshape(len(transforms["camera"]), 6),
    }
    return cast(Trajectory, {key: value for key, value in (trajectory | changes).items() if value is not None})
