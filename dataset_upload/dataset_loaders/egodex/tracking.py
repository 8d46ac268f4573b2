"""What an EgoDex annotation file says without its video: the poses of all frames, and texts."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

import numpy as np

from dataset_upload.actions.arkit import HAND_JOINTS, SIDES, of_hand
from dataset_upload.dataset_loaders.egodex.annotation import (
    DEFAULT_INTRINSICS_SIZE,
    DRAWN_BY,
    POSE_BYTES,
    open_annotation,
)
from dataset_upload.dataset_loaders.egodex.texts import read_texts, usable_task
from dataset_upload.errors import EpisodeError, Reason
from dataset_upload.trajectory import Tracking

_FPS = 30.0  # of every video of EgoDex; the annotation does not say
_FRAME_BYTES = 4096  # of an annotation file, at least: 4.7 kB, and 4.4 without confidences
_JOINTS = tuple(joint for side in SIDES for joint in of_hand(side))


def read_tracking(file: BinaryIO, name: str) -> Tracking:
    """Read one file.

    Args:
        file: seekable.
        name: what error messages call it.

    Raises:
        EpisodeError: it is damaged, or lacks a pose.
    """
    num_bytes = file.seek(0, 2)
    with open_annotation(file, name, num_frames=num_bytes // _FRAME_BYTES) as annotation:
        texts = read_texts(annotation)
        num_frames = annotation.num_poses(("camera", *_JOINTS))
        if num_frames * POSE_BYTES > num_bytes:
            what = f"{num_frames} poses in {num_bytes} bytes"
            raise EpisodeError(Reason.TOO_LARGE, f"Error loading trajectory {name}: {what}")
        hands = np.empty((len(SIDES), num_frames, len(HAND_JOINTS), 3), np.float32)
        wrists = np.empty((len(SIDES), num_frames, 3, 3), np.float32)
        for number, joint in enumerate(_JOINTS):
            side, column = divmod(number, len(HAND_JOINTS))
            pose = annotation.pose(joint, num_frames)
            hands[side, :, column] = pose[:, :3, 3]
            if HAND_JOINTS[column] == "Hand":
                wrists[side] = pose[:, :3, :3]
        confidences = annotation.confidences(_JOINTS, num_frames, num_frames)
        # Nothing says how large the frames are; the camera's principal point lies in their middle.
        intrinsics = annotation.intrinsics(DEFAULT_INTRINSICS_SIZE)
        width, height = (2 * intrinsics[:2, 2]).tolist()
        return Tracking(
            fps=_FPS,
            frame_size=(width, height),
            intrinsics=intrinsics,
            camera_to_world=annotation.pose("camera", num_frames),
            hands=hands,
            wrists=wrists,
            confidences=None if confidences is None else np.stack(np.split(confidences, len(SIDES), axis=1)),
            task=usable_task(texts),
            columns=cast(dict[str, Any], texts),
            is_drawn=annotation.text(DRAWN_BY) is not None,
        )
