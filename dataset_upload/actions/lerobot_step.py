"""`to_chunk` as a step of LeRobot's processors: a batch's chunks of actions, each in one frame of reference.

This is the one module that imports lerobot (0.6), and torch with it; neither is installed with dataset_upload,
and nothing here imports this module. A policy's own processors know nothing of cameras, so the step makes a pipeline
that a batch goes through before:

    from dataset_upload.actions.lerobot_step import chunk_pipeline

    to_chunks = chunk_pipeline("egodex48")
    for batch in loader:  # of a dataset with delta_timestamps for `action`, H of them
        loss, _ = policy.forward(preprocessor(to_chunks(batch)))

LeRobot itself repeats the last action at the end of an episode and marks it in `action_is_pad`, which stays. For
head12, whose every action is in another camera, the dataset's delta_timestamps must have the same H entries for
`camera.pose`. Statistics must be those of such chunks: the dataset's own are of stored actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lerobot.processor import (
    PolicyProcessorPipeline,
    ProcessorStep,
    ProcessorStepRegistry,
    TransitionKey,
    batch_to_transition,
    transition_to_batch,
)

from dataset_upload.actions import find_representation
from dataset_upload.actions.chunks import ChunkFrame, express

CAMERA = "camera.pose"  # camera-to-world, 16 numbers row by row; in a transition, among the complementary data


@ProcessorStepRegistry.register("dataset_upload_action_chunk")
@dataclass
class ActionChunkStep(ProcessorStep):  # type: ignore[misc]  # lerobot is not there where types are checked
    """Expresses the chunks of actions of a batch, (B, H, D), in one frame each.

    Attributes:
        action_representation: what the dataset was made with.
        frame: as in `chunks.to_chunk`.
        action_names: of the dataset's columns; guide15 needs them.
    """

    action_representation: str
    frame: ChunkFrame = "camera"
    action_names: Sequence[str] = ()

    def __call__(self, transition: Any) -> Any:
        """Raises KeyError: the transition has no camera poses. ValueError, UsageError: as `chunks.express`."""
        actions = transition[TransitionKey.ACTION]
        poses = transition[TransitionKey.COMPLEMENTARY_DATA][CAMERA]
        cameras = poses.cpu().numpy().reshape(len(poses), -1, 4, 4)
        representation = find_representation(self.action_representation, self.action_names)
        chunks = torch.from_numpy(express(representation, actions.cpu().numpy(), cameras, self.frame))
        return transition | {TransitionKey.ACTION: chunks.to(actions)}

    def transform_features(self, features: Any) -> Any:
        """The same: only numbers change."""
        return features

    def get_config(self) -> dict[str, Any]:
        return {
            "action_representation": self.action_representation,
            "frame": self.frame,
            "action_names": list(self.action_names),
        }


def with_camera(batch: dict[str, Any]) -> Any:
    """LeRobot's `batch_to_transition`, which would drop the camera's poses."""
    transition = batch_to_transition(batch)
    known = transition[TransitionKey.COMPLEMENTARY_DATA]
    return transition | {TransitionKey.COMPLEMENTARY_DATA: known | {CAMERA: batch[CAMERA]}}


def chunk_pipeline(
    action_representation: str, frame: ChunkFrame = "camera", action_names: Sequence[str] = ()
) -> PolicyProcessorPipeline:
    """From a batch to the same batch with its actions in one frame; arguments as those of `ActionChunkStep`."""
    return PolicyProcessorPipeline(
        steps=[ActionChunkStep(action_representation, frame, action_names)],
        name="action_chunks",
        to_transition=with_camera,
        to_output=transition_to_batch,
    )
