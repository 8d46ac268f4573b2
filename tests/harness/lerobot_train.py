"""Trains a tiny ACT on a dataset, for the tests: runs in an environment of `lerobot_readers`.

    python lerobot_train.py ROOT

Prints the loss of each step as JSON.
"""

from __future__ import annotations

import json
import sys

import torch
from lerobot.configs.types import FeatureType
from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.factory import make_pre_post_processors
from lerobot.utils.feature_utils import dataset_to_policy_features

STEPS = 20
HORIZON = 8


def main(root: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # more of them spin where the cores are busy
    metadata = LeRobotDatasetMetadata("tests/train", root=root)
    features = dataset_to_policy_features(metadata.features)
    outputs = {key: feature for key, feature in features.items() if feature.type is FeatureType.ACTION}
    config = ACTConfig(
        input_features={key: feature for key, feature in features.items() if key not in outputs},
        output_features=outputs,
        chunk_size=HORIZON,
        n_action_steps=HORIZON,
        dim_model=32,
        n_heads=2,
        dim_feedforward=64,
        n_encoder_layers=1,
        n_vae_encoder_layers=1,
        latent_dim=8,
        use_vae=False,
        pretrained_backbone_weights=None,
        device="cpu",
    )
    policy = ACTPolicy(config)
    prepare, _ = make_pre_post_processors(config, dataset_stats=metadata.stats)
    times = {"action": [step / metadata.fps for step in config.action_delta_indices]}
    dataset = LeRobotDataset("tests/train", root=root, delta_timestamps=times)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3)
    batches = torch.utils.data.DataLoader(
        dataset, batch_size=2, sampler=torch.utils.data.RandomSampler(dataset, num_samples=2 * STEPS)
    )
    losses = []
    for batch in batches:
        loss, _ = policy.forward(prepare(batch))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    print(json.dumps(losses))


if __name__ == "__main__":
    main(sys.argv[1])
