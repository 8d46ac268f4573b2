"""Checkpoints: folders that are whole or not there, with `last` and `best` as links to two of them.

    runs/egodex/checkpoints/
      step_00000300/
        model.safetensors      weights, with the statistics that inputs are standardised by
        optimizer.safetensors  AdamW's state of each weight
        rows.safetensors       which rows the run has seen, by digest, and on which side each was
        state.json             step, best score so far, configuration, fingerprints of encoder and dataset
      last -> step_00000300
      best -> step_00000200

Nothing in them can run code. Learning rate and samples are functions of the step, so the step is all that resuming
needs to know of them. Tensors are kept whole, whatever number of processes had shards of them, so any other number
can load them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import draccus
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.tensor import DTensor, distribute_tensor

from dataset_upload.errors import UsageError
from reward_model.config import TrainConfig, check_config
from reward_model.model import RewardModel
from reward_model.ranks import Ranks
from reward_model.splits import SIDES, SeenRows

Tensors = Mapping[str, torch.Tensor]

LAST, BEST = "last", "best"
MODEL, OPTIMIZER, ROWS, STATE = "model.safetensors", "optimizer.safetensors", "rows.safetensors", "state.json"
FORMAT = 2  # 1 was torch's own, which is read by unpickling: it can run code


@dataclass(frozen=True)
class State:
    """What state.json tells.

    Attributes:
        step: how many steps the model has learned.
        best: score of the best evaluation so far; -inf before the first.
        encoder: name of the encoder that saw the clips.
        fingerprints: of that "encoder", and of the "dataset", the rows with their clips.
        config: of the run.
    """

    step: int
    best: float
    encoder: str
    fingerprints: dict[str, str]
    config: TrainConfig


# Writing ---------------------------------------------------------------------------------------------------


def save_checkpoint(
    folder: Path,
    model: RewardModel,
    optimizer: torch.optim.Optimizer,
    state: State,
    seen: SeenRows,
    ranks: Ranks,
    *,
    is_best: bool,
) -> None:
    """Write a checkpoint together with the other ranks; it is `last` from now on, with `is_best` also `best`.

    Args:
        folder: of all checkpoints of the run.
        model, optimizer: whose state to keep.
        state, seen: what else to keep.
        ranks: that save; they leave only when it is there for all of them.
        is_best: whether the last evaluation is the best so far.

    Raises UsageError where it cannot be written.
    """
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)  # on the main rank; the others get nothing
    weights, optimizer_state = _states(model, optimizer, whole)
    with ranks.raise_on_all():
        if ranks.is_main:
            try:
                _delete_others(folder)  # what killed runs have left
                name = _write(folder, weights, _flat(optimizer_state), state, seen)
                for link in (BEST, LAST) if is_best else (LAST,):  # killed in between, a run repeats what led to best
                    _point(folder / link, name)
                _delete_others(folder)
            except OSError as error:
                reason = " ".join(str(error).split())
                raise UsageError(f"--training.output_dir: {folder} cannot be written ({reason})") from error


def _write(
    folder: Path,
    weights: Tensors,
    optimizer_state: Tensors,
    state: State,
    seen: SeenRows,
) -> str:
    """Write a checkpoint under a name that no other has; returns it."""
    name = f"step_{state.step:08d}"
    if (folder / name).exists():  # `best` points to it: the run was killed before `last` did
        name += "_again"
    temporary = folder / f"{name}.tmp"
    temporary.mkdir(parents=True)
    # Not by save_file, whose files nobody but their owner may read.
    (temporary / MODEL).write_bytes(safetensors.torch.save(dict(weights)))
    (temporary / OPTIMIZER).write_bytes(safetensors.torch.save(dict(optimizer_state)))
    (temporary / ROWS).write_bytes(safetensors.numpy.save(asdict(seen)))
    (temporary / STATE).write_text(json.dumps({"format": FORMAT, **asdict(state)}, indent=2) + "\n")
    for path in (*temporary.iterdir(), temporary):
        _flush(path)
    temporary.rename(folder / name)
    return name


def _flush(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(link: Path, name: str) -> None:
    temporary = link.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(name)
    os.replace(temporary, link)
    _flush(link.parent)


def _delete_others(folder: Path) -> None:
    kept = {link.resolve() for link in (folder / LAST, folder / BEST)}
    for step in folder.glob("step_*"):
        if step.resolve() not in kept:
            shutil.rmtree(step)


# Reading ---------------------------------------------------------------------------------------------------


def read_state(path: Path) -> State:
    """The checkpoint's state.json. Raises UsageError where there is none, or none that this version can read."""
    try:
        saved: Any = json.loads((path / STATE).read_text())
    except OSError as error:
        raise UsageError(f"{path}: no checkpoint is here; name one, like runs/egodex/checkpoints/best") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path / STATE, error) from error
    if not isinstance(saved, dict) or saved.pop("format", 1) != FORMAT:
        raise UsageError(
            f"{path}: a checkpoint of an earlier version, whose kind of files can run code when they are read; train "
            "anew, in another --training.output_dir"
        )
    try:
        state: State = draccus.decode(State, saved)
        check_config(replace(state.config, dataset=replace(state.config.dataset, encoder=state.encoder)))
        if (
            state.step < 0
            or state.fingerprints.keys() != {"encoder", "dataset"}
            or not isinstance(saved["config"], dict)
        ):
            raise ValueError("it is not as train.py writes it")
    except (draccus.utils.DraccusException, UsageError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(path / STATE, error) from error
    return state


def read_seen_rows(path: Path) -> SeenRows:
    """Which rows the checkpoint's run has seen. Raises UsageError where that is missing or damaged."""
    try:
        seen = SeenRows(**safetensors.numpy.load_file(path / ROWS))
        kinds = [(column.dtype, column.shape) for column in vars(seen).values()]
        if kinds != [(np.uint64, (len(seen.sides),))] * 3 + [(np.uint8, (len(seen.sides),))]:
            raise ValueError("its columns are not those of rows")
        if max(seen.sides, default=0) >= len(SIDES):
            raise ValueError("it names a side that does not exist")
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise _damaged(path / ROWS, error) from error
    return seen


def load_checkpoint(path: Path, model: RewardModel, optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's state into model and optimizer, of which every rank may have its shard.

    Raises UsageError where a file is missing, or holds other tensors than these.
    """
    weights, optimizer_state = _states(model, optimizer)
    saved, saved_state = _read(path / MODEL, weights), _read(path / OPTIMIZER, _flat(optimizer_state))
    for weight, here in weights.items():
        weights[weight] = _shard_like(here, saved[weight])
    for weight, values in optimizer_state["state"].items():
        for name, here in values.items():
            values[name] = _shard_like(here, saved_state[f"{weight}.{name}"])
    set_state_dict(model, optimizer, model_state_dict=dict(weights), optim_state_dict=optimizer_state)


def load_weights(path: Path, model: RewardModel) -> None:
    """Put a checkpoint's weights into a model that is not sharded. Raises UsageError as load_checkpoint does."""
    model.load_state_dict(_read(path / MODEL, model.state_dict()))


def _read(path: Path, expected: Tensors) -> dict[str, torch.Tensor]:
    """A file's tensors, whole; their names, shapes and types are the expected ones."""
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error
    if _kinds(tensors) != _kinds(expected):
        raise _damaged(path, "its tensors are not those of the model that state.json describes")
    return tensors


def _kinds(tensors: Tensors) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _states(
    model: RewardModel, optimizer: torch.optim.Optimizer, options: StateDictOptions | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """torch's get_state_dict, as it is for one model of tensors only with one optimizer."""
    weights: Any
    weights, optimizer_state = get_state_dict(model, optimizer, options=options)
    return weights, optimizer_state


def _flat(optimizer_state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The state of each weight as "<weight>.<name>". The options of its groups are the configuration's."""
    states = optimizer_state.get("state", {})
    return {f"{weight}.{name}": value for weight, values in states.items() for name, value in values.items()}


def _shard_like(here: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """This rank's shard of a tensor, as `here` is one; or all of it."""
    if isinstance(here, DTensor):  # every rank has read it: none needs to send anything
        return distribute_tensor(whole, here.device_mesh, here.placements, src_data_rank=None)
    return whole


def _damaged(path: Path, reason: object) -> UsageError:
    return UsageError(
        f"{path} is missing or damaged ({' '.join(str(reason).split())}); take another checkpoint, or train anew, in "
        "another --training.output_dir"
    )
