"""Batches through `chunk_pipeline` beside `to_chunk`: runs where lerobot is, for tests/actions/test_lerobot_step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dataset_upload.actions import find_representation
from dataset_upload.actions.chunks import to_chunk
from dataset_upload.actions.lerobot_step import ActionChunkStep, chunk_pipeline
from dataset_upload.actions.rotations import to_matrix

T, H, STARTS = 9, 4, (0, 3, 7)

random = np.random.default_rng(0)
cameras = np.tile(np.eye(4, dtype=np.float32), (T, 1, 1))
cameras[:, :3, :3] = to_matrix(random.normal(size=(T, 4)), "quaternion_xyzw")
cameras[:, :3, 3] = random.normal(size=(T, 3))

for name in ("egodex48", "cosmos57", "groot29", "xvla20", "head12", "skeleton204"):
    representation = find_representation(name)
    actions = random.normal(size=(T, len(representation.action_names))).astype(np.float32)
    steps = [np.minimum(np.arange(start, start + H), T - 1) for start in STARTS]  # as LeRobot fills up
    batch: dict[str, Any] = {
        "action": torch.from_numpy(np.stack([actions[each] for each in steps])),
        "camera.pose": torch.from_numpy(np.stack([cameras[each].reshape(H, 16) for each in steps])),
        "action_is_pad": torch.zeros(len(STARTS), H, dtype=torch.bool),
        "observation.state": torch.ones(len(STARTS), 2),
        "task": ["stack", "press", "wipe"],
    }
    if representation.stored_in == "world":
        batch["camera.pose"] = batch["camera.pose"][:, 0]  # as without delta_timestamps
    result = chunk_pipeline(name)(dict(batch))
    for number, start in enumerate(STARTS):
        expected = to_chunk(representation, actions, cameras, start, H)
        np.testing.assert_allclose(result["action"][number].numpy(), expected.actions, atol=1e-5)
    assert batch.keys() <= result.keys(), batch.keys() - result.keys()
    assert result["task"] == batch["task"] and result["observation.state"] is batch["observation.state"]

step = ActionChunkStep("egodex48", "world")
assert ActionChunkStep(**step.get_config()).get_config() == step.get_config()
print("the same")
