"""Checkpoints stay whole and the best one stays known, wherever the process is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch

from rfm import checkpoints
from rfm.checkpoints import read_state, save_checkpoint
from rfm.model import RewardModel
from rfm.ranks import Ranks

ALONE = Ranks(rank=0, size=1, device=torch.device("cpu"), bf16=False)


def test_killed_between_its_links_a_best_checkpoint_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = RewardModel("small", feature_dim=4, progress_bins=5)
    optimizer = torch.optim.AdamW(model.parameters())
    save_checkpoint(tmp_path, model, optimizer, {"step": 1, "best": 0.1}, ALONE, is_best=True)
    point, pointed = checkpoints._point, list[str]()

    def killed_at_the_second(link: Path, name: str) -> None:
        if pointed:
            raise KeyboardInterrupt
        pointed.append(name)
        point(link, name)

    monkeypatch.setattr(checkpoints, "_point", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, model, optimizer, {"step": 2, "best": 0.2}, ALONE, is_best=True)

    # What a run that resumes at `last` takes for the best so far, `best` must be.
    assert read_state(tmp_path / "last")["best"] <= read_state(tmp_path / "best")["best"]
