"""The processes that train together, as `accelerate launch` started them, and how they share one model.

accelerate only starts the processes: its own FSDP knows no CPU, on which it would fail or train unsharded duplicates.
Here torch's `fully_shard` shards on GPUs (NCCL) and on CPUs (gloo) alike, whenever there is more than one process.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard

from dataset_upload.errors import UsageError
from reward_model.model import RewardModel

logger = logging.getLogger("reward_model")


@dataclass(frozen=True)
class Ranks:
    """All processes of this run, seen from one of them.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        device: what this one computes on.
        bf16: whether matrices are multiplied in bfloat16.
    """

    rank: int
    size: int
    device: torch.device
    bf16: bool

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every rank is here."""
        if self.size > 1:
            dist.barrier()

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over ranks, on each of them."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def from_main(self, value: Any) -> Any:
        """What rank 0 passed in, on each rank."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    @contextmanager
    def raise_on_all(self) -> Iterator[None]:
        """Wait, at the block's end, until every rank is there; the first UsageError of one is raised on all of them.

        Nothing in the block may wait for other ranks.
        """
        error: UsageError | None = None
        try:
            yield
        except UsageError as mine:
            error = mine
        errors = [error] * self.size
        if self.size > 1:
            dist.all_gather_object(errors, error)
        for error in filter(None, errors):
            raise error

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of forward passes."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def shard(self, model: RewardModel) -> RewardModel:
        """Move the model to this rank's device; with several ranks, keep only this rank's share of each parameter."""
        total = sum(parameter.numel() for parameter in model.parameters())
        model.to(self.device)
        if self.size == 1:
            logger.info(f"Model: {total:,} parameters; one process, so nothing is sharded")
            return model
        for block in model.blocks:
            fully_shard(block)
        fully_shard(model)
        shares = [0.0] * self.size
        dist.all_gather_object(shares, num_parameters_here(model) / total)
        logger.info(
            f"Model: {total:,} parameters, with their gradients and optimiser state sharded by fully_shard over "
            f"{self.size} processes ({dist.get_backend()}), which hold {', '.join(f'{share:.0%}' for share in shares)}"
        )
        return model


def num_parameters_here(model: torch.nn.Module) -> int:
    """How many numbers of the model's parameters this rank holds."""
    return sum(
        (parameter.to_local() if hasattr(parameter, "to_local") else parameter).numel()
        for parameter in model.parameters()
    )


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Meet the other processes of this run, as its launcher's environment says.

    Raises UsageError for a precision that this cannot compute in.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", "bf16"):
        raise UsageError(f"mixed_precision of accelerate's configuration: {precision} must be bf16 or no")
    wants_cpu = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")
    if torch.cuda.is_available() and not wants_cpu:
        if local_size > torch.cuda.device_count():
            raise UsageError(
                f"--num_processes: {local_size} processes need as many GPUs, not {torch.cuda.device_count()}"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        backend, where = "nccl", f"{size} x {torch.cuda.get_device_name(device)}"
    else:
        device, backend = torch.device("cpu"), "gloo"
        threads = max(1, (os.cpu_count() or 1) // local_size)
        torch.set_num_threads(threads)  # accelerate sets OMP_NUM_THREADS to 1
        where = f"{size} CPU process(es) of {threads} thread(s)"
    bf16 = precision == "bf16" and device.type == "cuda"
    if rank == 0:
        without = " (bfloat16 is for GPUs)" if precision == "bf16" and not bf16 else ""
        logger.info(f"Computing on {where} in {'bfloat16' if bf16 else 'float32'}{without}")
    if size > 1:
        # One rank may be done with encoding hours before another; a rank that dies ends the rest without this.
        dist.init_process_group(backend, timeout=timedelta(days=1))
    try:
        yield Ranks(rank, size, device, bf16)
    finally:
        if size > 1:
            dist.destroy_process_group()
