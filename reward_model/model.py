"""The reward model: a causal transformer over one text token and the frames' tokens.

    model = RewardModel("small", feature_dim=1280, progress_bins=21)
    judgement = model(batch.texts, batch.frames, batch.lengths)
    judgement.progress  # (B, T) in 0..1, after each frame

A frame sees the text and the frames before it, but is not told its number: whoever learns to count has learned nothing.
Padding comes after the real frames, where causality already hides it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from reward_model.config import TrainConfig

TEXT_DIM = 384
LEAST_TEXT_SCALE = 0.01  # a fifth of a component's: for training sets of one text
SIZES = {  # width, layers, heads
    "small": (128, 2, 4),
    "base": (384, 7, 6),
}


class Judgement(NamedTuple):
    """What the model says about B views of T frames; nothing that it says about padding means anything.

    Attributes:
        progress_logits: (B, T, bins) after each frame.
        success_logits: (B, T) after each frame.
        preference: (B,) after the last real frame: higher is better done.
    """

    progress_logits: torch.Tensor
    success_logits: torch.Tensor
    preference: torch.Tensor

    @property
    def progress(self) -> torch.Tensor:
        """(B, T) expected progress in 0..1."""
        bins = self.progress_logits.shape[-1]
        centres = torch.linspace(0, 1, bins, device=self.progress_logits.device)
        return self.progress_logits.float().softmax(-1) @ centres


class Block(nn.Module):
    """Causal attention, then a feed-forward net, each on what a layer norm gives it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.attention_out(seen.transpose(1, 2).flatten(2))
        return x + self.mlp(self.mlp_norm(x))  # type: ignore[no-any-return]


class RewardModel(nn.Module):
    """Judges views; see the module's docstring."""

    def __init__(self, size: str, *, feature_dim: int, progress_bins: int) -> None:
        super().__init__()
        width, layers, heads = SIZES[size]
        self.text_mean, self.text_scale = nn.Buffer(torch.zeros(TEXT_DIM)), nn.Buffer(torch.ones(1))
        self.feature_mean, self.feature_std = nn.Buffer(torch.zeros(feature_dim)), nn.Buffer(torch.ones(feature_dim))
        self.text_in = nn.Linear(TEXT_DIM, width)
        self.frame_in = nn.Sequential(nn.Linear(feature_dim, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.progress_head = nn.Linear(width, progress_bins)
        self.success_head = nn.Linear(width, 1)
        self.preference_head = nn.Linear(width, 1)

    def standardise(
        self, texts: NDArray[np.float32], feature_mean: NDArray[np.float32], feature_std: NDArray[np.float32]
    ) -> None:
        """See everything from now on as it differs from the training set's mean; checkpoints keep this.

        Sentence vectors hardly tell "open" from "close" until what all the sentences share is taken off.

        Args:
            texts: (N, 384) of the training set.
            feature_mean, feature_std: (D,) of its frames.
        """
        mean = texts.mean(0)
        self.text_mean.copy_(torch.from_numpy(mean))
        self.text_scale.fill_(max(float((texts - mean).std()), LEAST_TEXT_SCALE))
        self.feature_mean.copy_(torch.from_numpy(feature_mean))
        self.feature_std.copy_(torch.from_numpy(feature_std))

    def forward(self, texts: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> Judgement:
        """Judge (B, 384) texts beside (B, T, D) frames, of which (B,) are real."""
        text = self.text_in((texts - self.text_mean) / self.text_scale)
        x = torch.cat([text[:, None], self.frame_in((frames - self.feature_mean) / self.feature_std)], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        last_real = x[torch.arange(len(x), device=x.device), lengths]
        return Judgement(
            progress_logits=self.progress_head(x[:, 1:]),
            success_logits=self.success_head(x[:, 1:]).squeeze(-1),
            preference=self.preference_head(last_real).squeeze(-1),
        )


def make_model(config: TrainConfig, feature_dim: int) -> RewardModel:
    """The model that a TrainConfig describes, its weights drawn from the configuration's seed."""
    torch.manual_seed(config.training.seed)
    return RewardModel(config.model.size, feature_dim=feature_dim, progress_bins=config.model.progress_bins)
