"""One run over several processes: who does which part, and how the parts come together.

Every process draws the same plans and the same augmentation for the whole batch and works on its part of the rows.
Features are gathered before the losses, so each process computes the loss of the whole batch and writes the same
memories; what a process cannot know alone (labels, centroids) the first one decides. The result does not depend on
the number of processes but for the rounding of sums.

Started by torchrun, which sets RANK, WORLD_SIZE and LOCAL_RANK. Legend: W processes, N rows.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tokenmatcher.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The processes of a run; the default is one that is alone."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self.rank == 0

    def shard(self, count: int) -> slice:
        """This process's rows of `count`."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def all_gather(self, rows: Tensor, count: int) -> Tensor:
        """(N, ...) all rows in order, from each process's `shard`; no gradient."""
        if self.size == 1:
            return rows
        sizes = [count * (rank + 1) // self.size - count * rank // self.size for rank in range(self.size)]
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def all_gather_rows(self, rows: Tensor) -> Tensor:
        """(W * B, ...) the rows (B, ...) of all processes in order; the gradient flows back to one's own."""
        return rows if self.size == 1 else _GatherRows.apply(rows.contiguous(), self)

    def all_gather_object(self, item: T) -> list[T]:
        """Everybody's `item`, in order of rank."""
        items: list[Any] = [item]
        if self.size > 1:
            items = [None] * self.size
            dist.all_gather_object(items, item)
        return items

    def decide(self, function: Callable[[], T]) -> T:
        """`function()` as the first process computes it, also where it raises a UserError."""
        if self.size == 1:
            return function()
        answer: list[Any] = [None]
        if self.leads:
            try:
                answer = [("value", function())]
            except UserError as error:
                answer = [("error", error)]
        dist.broadcast_object_list(answer, src=0)
        kind, value = answer[0]
        if kind == "error":
            raise value
        return value

    def broadcast(self, tensor: Tensor) -> Tensor:
        """The first process's values, in place: sums on a GPU may differ in their last bit."""
        if self.size > 1:
            dist.broadcast(tensor, src=0)
        return tensor

    @contextmanager
    def first_on_each_machine(self) -> Iterator[None]:
        """The body is run by one process of each machine first, for files that it makes and the others read."""
        if self.size > 1 and self.local_rank != 0:
            dist.barrier()
        yield
        if self.size > 1 and self.local_rank == 0:
            dist.barrier()

    def trained(self, model: nn.Module) -> nn.Module:
        """`model` as the steps call it: with gradients averaged over all processes."""
        if self.size == 1:
            return model
        # One stem has no gradient while a single camera is trained on.
        with warnings.catch_warnings():
            # broadcast_buffers has another name from PyTorch 2.14 on, and the old one warns there.
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(model, broadcast_buffers=False, find_unused_parameters=True)


ALONE = Team()


@contextmanager
def started_team(device: str) -> Iterator[Team]:
    """The team that torchrun started this process in, or `ALONE`.

    Raises:
        UserError: the processes cannot reach each other, or are not numbered as torchrun does it.
    """
    if "RANK" not in os.environ or os.environ.get("WORLD_SIZE", "1").strip() == "1":
        yield ALONE
        return
    rank, size, local = (_number(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        if local >= torch.cuda.device_count():
            raise UserError(
                f"process {local} of this machine has no GPU of its own, {torch.cuda.device_count()} found: start fewer"
            )
        torch.cuda.set_device(local)
    try:
        dist.init_process_group("nccl" if gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the processes of torchrun cannot reach each other: {error}") from None
    try:
        yield Team(rank, size, local)
    finally:
        dist.destroy_process_group()


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    if not (text.isascii() and text.isdigit()):
        shown = f"is {text[:40]!r}" if text else "is not set"
        raise UserError(f"RANK is set, as for several processes, and {name} {shown}: start them by torchrun")
    return int(text)


class _GatherRows(torch.autograd.Function):
    """All processes compute the same loss from the joined rows, and their gradients are averaged afterwards:
    each hands back the gradient of its own rows, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, team: Team) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(team.size)]
        dist.all_gather(parts, rows)
        ctx.team, ctx.count = team, len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        start = ctx.team.rank * ctx.count
        return gradient[start : start + ctx.count] * ctx.team.size, None
