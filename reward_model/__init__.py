"""A reward model that learns from an RFM dataset how far a task has come, and trains on one machine or many.

from reward_model import RewardModel

score = RewardModel.load("runs/egodex").score("video.mp4", "Open the box")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reward_model.scoring import RewardModel as RewardModel

# Where other programs share the cores, torch's threads that spin while they wait make a step 25 times slower. torch's
# OpenMP reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def __getattr__(name: str) -> Any:
    if name == "RewardModel":  # only when asked for: the commands' --help need not wait for torch
        from reward_model.scoring import RewardModel

        return RewardModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
