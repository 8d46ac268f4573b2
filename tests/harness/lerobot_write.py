"""Writes a dataset with the installed lerobot and saves what its own reader gives, for the tests: runs in an
environment of `lerobot_readers`.

    python lerobot_write.py ROOT OUT CODEC

A robot arm's, two cameras of 64x64 pixels, 3 episodes of two tasks. OUT is an .npz: per frame `episode`, `task`,
`action`, `state`, and each camera's pictures, (frame, height, width, channel) from 0 to 255.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from lerobot.configs.video import RGBEncoderConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset

CAMERAS = ("observation.images.top", "observation.images.wrist")
FPS, LENGTHS = 30, (14, 20, 9)
PICTURE = {"dtype": "video", "shape": (64, 64, 3), "names": ["height", "width", "channels"]}


def main(root: str, out: str, codec: str) -> None:
    torch.set_num_threads(1)
    numbers = {"dtype": "float32", "shape": (2,), "names": ["reach", "gripper"]}
    features = {"action": numbers, "observation.state": numbers, **dict.fromkeys(CAMERAS, PICTURE)}
    coding = RGBEncoderConfig(vcodec=codec)
    dataset = LeRobotDataset.create("some/arm", FPS, features, root, robot_type="so101", rgb_encoder=coding)
    random = np.random.default_rng(0)
    for episode, length in enumerate(LENGTHS):
        for frame in range(length):
            y, x = np.mgrid[:64, :64]
            pictures = {}
            for number, camera in enumerate(CAMERAS):
                wave = 120 + 100 * np.sin((x * (episode + 1) + 9 * frame) / 9 + y / (7 + 5 * number))
                pictures[camera] = np.stack([wave, 255 - wave, wave / 2], axis=2).astype(np.uint8)
            values = {name: random.random(2).astype(np.float32) for name in ("action", "observation.state")}
            dataset.add_frame({**pictures, **values, "task": f"Press key {episode % 2}"})
        dataset.save_episode()
    dataset.finalize()

    items: list[dict[str, Any]] = [item for item in LeRobotDataset("some/arm", root=root, video_backend="pyav")]
    names = {"episode": "episode_index", "action": "action", "state": "observation.state"}
    arrays: dict[str, Any] = {name: np.stack([item[key].numpy() for item in items]) for name, key in names.items()}
    for camera in CAMERAS:
        arrays[camera] = np.stack([(item[camera] * 255).round().byte().permute(1, 2, 0).numpy() for item in items])
    np.savez(out, task=np.array([item["task"] for item in items]), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
