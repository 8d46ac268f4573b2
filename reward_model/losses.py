"""What training minimises: three means over the real frames, and pairs, of a whole step on all ranks.

Each loss is a sum divided by a count. The counts are those of all ranks together, so that a rank whose views are
shorter does not weigh more per frame, and any number of ranks minimises the same thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from reward_model.model import Judgement
from reward_model.samples import Batch


class Losses(NamedTuple):
    """This rank's part of each loss; the ranks' parts add up to it."""

    progress: torch.Tensor
    success: torch.Tensor
    preference: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        return self.progress + self.success + self.preference


def two_hot(values: torch.Tensor, bins: int) -> torch.Tensor:
    """(...) in 0..1 -> (..., bins): each value's weight shared by the two bins beside it, whose mean it is."""
    place = values.clamp(0, 1) * (bins - 1)
    lower = place.floor().clamp(max=bins - 2)
    upper_share = (place - lower).unsqueeze(-1)
    lower_hot = F.one_hot(lower.long(), bins)
    return lower_hot * (1 - upper_share) + lower_hot.roll(1, -1) * upper_share


def compute_losses(
    judgement: Judgement, batch: Batch, sum_over_ranks: Callable[[torch.Tensor], torch.Tensor] = lambda counts: counts
) -> Losses:
    """The losses of a batch of pairs: the views at 2i and 2i+1 are the chosen and the rejected one of pair i.

    Progress: cross-entropy with the two-hot progress, a mean over real frames. Success: half the mean over frames that
    show it, half the mean over those that do not, so that rare ones count as much. Preference: Bradley-Terry, a mean
    over pairs.
    """
    real = batch.real
    done, not_done = batch.success * real, (1 - batch.success) * real
    chosen, rejected = judgement.preference.float().unflatten(0, (-1, 2)).unbind(1)
    counts = torch.stack([real.sum(), done.sum(), not_done.sum(), torch.tensor(len(chosen), device=real.device)])
    num_frames, num_done, num_not_done, num_pairs = sum_over_ranks(counts.float()).clamp(min=1).unbind()

    target = two_hot(batch.progress, judgement.progress_logits.shape[-1])
    progress = -(target * judgement.progress_logits.float().log_softmax(-1)).sum(-1)
    success = F.binary_cross_entropy_with_logits(judgement.success_logits.float(), batch.success, reduction="none")
    return Losses(
        progress=(progress * real).sum() / num_frames,
        success=(success * done).sum() / num_done / 2 + (success * not_done).sum() / num_not_done / 2,
        preference=F.softplus(rejected - chosen).sum() / num_pairs,
    )
