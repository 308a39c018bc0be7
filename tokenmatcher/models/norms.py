"""Batch norm over groups of a batch.

The published runs divide a batch over four GPUs: each modality's rows are cut into G equal, contiguous groups, group
g of both modalities is normalised together and apart from the others, and running statistics come from group 0
alone. Here the groups are a number of the network, whatever the processes are: a process holds whole groups, or
several processes hold one and share its statistics.

Legend: B rows, C channels, G groups, W processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from tokenmatcher.distributed import Team


class GroupedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm of (B, C, ...) whose G contiguous groups of rows do not see each other while training.

    In inference mode, and with one group, it is PyTorch's. Keys of its state are PyTorch's, too.

    Attributes:
        groups: of the rows that this process holds.
        partners: the processes that hold one group together; None: this one alone.
    """

    partners: dist.ProcessGroup | None = None

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__(channels)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape.

        Raises:
            ValueError: in training mode, B is not a multiple of the groups.
        """
        if not self.training:
            return super().forward(x)
        if self.partners is not None:
            return self._shared(x, self.partners)
        if self.groups == 1:
            return super().forward(x)
        if len(x) % self.groups:
            raise ValueError(f"{len(x)} rows do not divide into {self.groups} batch norm groups")
        first, *others = x.chunk(self.groups)
        parts = [super().forward(first)]
        parts += [F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps) for x in others]
        return torch.cat(parts)

    def _shared(self, x: Tensor, partners: dist.ProcessGroup) -> Tensor:
        """Statistics over the rows of all partners; PyTorch's own, `nn.SyncBatchNorm`, knows no CPU."""
        kind, x = x.dtype, x.float()  # sums over halves would not be worth sharing
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        count = _sum(x.new_tensor(x.numel() / x.shape[1]), partners)
        mean = _sum(x.sum(axes), partners) / count
        centred = x - mean.view(shape)
        variance = _sum(centred.square().sum(axes), partners) / count
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        scaled = centred * (variance + self.eps).rsqrt().view(shape)
        return (scaled * self.weight.view(shape) + self.bias.view(shape)).to(kind)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected rows and channels, got {input.ndim} dimensions")

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, groups={self.groups}"


def gather_groups(values: Tensor, counts: list[int], groups: int) -> Tensor:
    """(B, ...) rows of several modalities, one after the other, `counts` of each -> the rows of group 0 of all
    modalities, then those of group 1, and so on.

    Raises:
        ValueError: a modality's rows do not divide into the groups.
    """
    if wrong := [count for count in counts if count % groups]:
        raise ValueError(f"{wrong[0]} images of a modality do not divide into {groups} batch norm groups")
    return torch.cat([part.unflatten(0, (groups, -1)) for part in values.split(counts)], dim=1).flatten(0, 1)


def scatter_groups(values: Tensor, counts: list[int], groups: int) -> Tensor:
    """The inverse of `gather_groups`."""
    shares = [count // groups for count in counts]
    return torch.cat([part.flatten(0, 1) for part in values.unflatten(0, (groups, -1)).split(shares, dim=1)])


def divides(groups: int, processes: int) -> bool:
    """Whether groups can be laid over processes: each holds as many whole ones, or as many hold each."""
    return groups % processes == 0 or processes % groups == 0


def spread_groups(model: nn.Module, groups: int, team: Team) -> None:
    """Lay the batch's groups over the team's processes, which hold contiguous parts of each modality's rows.

    Only the first process's running statistics are of group 0 afterwards; see `same_statistics`.

    Raises:
        ValueError: neither number divides the other.
    """
    if team.size == 1:
        return
    if not divides(groups, team.size):
        raise ValueError(f"{groups} groups cannot be laid over {team.size} processes")
    norms = [module for module in model.modules() if isinstance(module, GroupedBatchNorm)]
    if groups % team.size == 0:
        for norm in norms:
            norm.groups = groups // team.size
        return
    width = team.size // groups
    # Every process has to take part in making every group of processes.
    made = [dist.new_group(list(range(first, first + width))) for first in range(0, team.size, width)]
    partners = made[team.rank // width]
    assert isinstance(partners, dist.ProcessGroup)  # this process is one of them
    if next(model.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(model, partners)
        return
    for norm in norms:
        norm.groups, norm.partners = 1, partners


def same_statistics(model: nn.Module, team: Team) -> None:
    """Give all processes the first one's running statistics."""
    if team.size > 1:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for buffer in module.buffers(recurse=False):
                    team.broadcast(buffer)


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Passes in here leave no trace in running statistics: of those that gradient checkpointing does again."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.get_buffer("num_batches_tracked").clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.get_buffer("num_batches_tracked").copy_(counted)


class _Sum(torch.autograd.Function):
    """The sum over some processes, forward and backward."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, partners: dist.ProcessGroup) -> Tensor:
        ctx.partners = partners
        total = values.clone()
        dist.all_reduce(total, group=partners)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total, group=ctx.partners)
        return total, None


def _sum(values: Tensor, partners: dist.ProcessGroup) -> Tensor:
    return _Sum.apply(values, partners)
