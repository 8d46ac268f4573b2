"""Checkpoints: folders that are whole or not there, with `last` and `best` as links to two of them.

    runs/egodex/checkpoints/
      step_00000300/       the shards of weights and AdamW's state, as torch.distributed.checkpoint writes them
        state.json         step, best score so far, configuration, fingerprints of encoder and dataset
      last -> step_00000300
      best -> step_00000200

Learning rate and samples are functions of the step, so the step is all that resuming needs to know of them. Any number
of processes can load what any other number has saved.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from rfm.errors import UsageError
from rfm.model import RewardModel
from rfm.ranks import Ranks

LAST, BEST = "last", "best"


def save_checkpoint(
    folder: Path,
    model: RewardModel,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    ranks: Ranks,
    *,
    is_best: bool,
) -> None:
    """Write a checkpoint together with the other ranks; it is `last` from now on, with `best` also that.

    Args:
        folder: of all checkpoints of the run.
        model, optimizer: whose state to keep.
        state: for state.json; has "step".
        ranks: that save; they leave only when it is there for all of them.
        is_best: whether the last evaluation is the best so far.
    """
    name = f"step_{state['step']:08d}"
    temporary, finished = folder / f"{name}.tmp", folder / name
    if ranks.is_main:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    ranks.barrier()
    weights, optimizer_state = get_state_dict(model, optimizer)
    with _one_process_is_fine():
        save({"model": weights, "optimizer": optimizer_state}, checkpoint_id=temporary)
    if ranks.is_main:
        (temporary / "state.json").write_text(json.dumps(state, indent=2) + "\n")
        shutil.rmtree(finished, ignore_errors=True)
        temporary.rename(finished)
        for link in (BEST, LAST) if is_best else (LAST,):  # killed in between, a run repeats what led to the best
            _point(folder / link, name)
        _delete_others(folder)
    ranks.barrier()  # nobody loads before it is whole


def load_checkpoint(path: Path, model: RewardModel, optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's state into model and optimizer, together with the other ranks."""
    weights, optimizer_state = get_state_dict(model, optimizer)
    with _one_process_is_fine():
        load({"model": weights, "optimizer": optimizer_state}, checkpoint_id=path)
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=optimizer_state)


def load_weights(path: Path, model: RewardModel) -> None:
    """Put a checkpoint's weights into a model of this one process."""
    weights = get_model_state_dict(model)
    with _one_process_is_fine():
        load({"model": weights}, checkpoint_id=path)
    model.load_state_dict(weights)


def read_state(path: Path) -> dict[str, Any]:
    """The checkpoint's state.json. Raises UsageError where there is none."""
    try:
        state: dict[str, Any] = json.loads((path / "state.json").read_text())
    except OSError as error:
        raise UsageError(f"{path}: no checkpoint is here; name one, like runs/egodex/checkpoints/best") from error
    return state


@contextmanager
def _one_process_is_fine() -> Iterator[None]:
    """Without the warning that one process is only one process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is")
        yield


def _point(link: Path, name: str) -> None:
    temporary = link.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(name)
    os.replace(temporary, link)


def _delete_others(folder: Path) -> None:
    kept = {link.resolve() for link in (folder / LAST, folder / BEST)}
    for step in folder.glob("step_*"):
        if step.resolve() not in kept:
            shutil.rmtree(step)
