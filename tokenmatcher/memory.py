"""Cluster memories: unit vectors that the losses read and that are written by explicit calls.

Legend: B batch, D feature width, K clusters.
"""

from __future__ import annotations

from copy import copy
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tokenmatcher.machine import to_device


def occurrence_rounds(targets: np.ndarray) -> list[np.ndarray]:
    """Positions of `targets` (B,) by how often their value came before: within a round every value is distinct."""
    order = np.argsort(targets, kind="stable")
    starts = np.flatnonzero(np.diff(targets[order], prepend=targets[order][:1] - 1))
    rank = np.empty(len(targets), dtype=np.int64)
    rank[order] = np.arange(len(targets)) - np.repeat(starts, np.diff(starts, append=len(targets)))
    return [np.flatnonzero(rank == step) for step in range(int(rank.max(initial=-1)) + 1)]


class Memory:
    """Vectors that steps write.

    Attributes:
        vectors: (K, D), without gradient.
    """

    vectors: Tensor

    def __len__(self) -> int:
        return len(self.vectors)


M = TypeVar("M", bound=Memory)


def copied(memory: M) -> M:
    """One that is written apart from this one."""
    other = copy(memory)
    other.vectors = memory.vectors.clone()
    return other


class ClusterMemory(Memory):
    """One unit vector per cluster.

    Args:
        unit: make the vectors unit; if not, each is as given until its first update.

    Attributes:
        vectors: (K, D), without gradient.
        momentum: share of the old vector kept at an update, 0..1.
    """

    def __init__(self, centroids: Tensor, momentum: float, *, unit: bool = True) -> None:
        self.vectors = F.normalize(centroids.detach(), dim=1) if unit else centroids.detach().clone()
        self.momentum = momentum

    @torch.no_grad()
    def update(self, features: Tensor, targets: np.ndarray) -> None:
        """For each sample in order: m_y <- L2(momentum m_y + (1 - momentum) L2(x)).

        Samples of different clusters do not meet, so each round takes the next sample of every cluster at once.

        Args:
            features: (B, D).
            targets: (B,) cluster of each sample, on the host.
        """
        unit = F.normalize(features.detach(), dim=1).to(self.vectors.dtype)
        rounds = occurrence_rounds(targets)
        if not rounds:
            return
        order, sizes = np.concatenate(rounds), [len(positions) for positions in rounds]
        where, rows = to_device(order, unit.device), to_device(targets[order], unit.device)
        for positions, clusters in zip(where.split(sizes), rows.split(sizes), strict=True):
            self._write(unit, positions, clusters)

    @torch.no_grad()
    def update_hardest(self, features: Tensor, targets: np.ndarray) -> None:
        """Once per cluster of the batch, with its sample least similar to the old vector, the first of equals.

        Arguments as `update`.
        """
        unit = F.normalize(features.detach(), dim=1).to(self.vectors.dtype)
        rows = to_device(targets, unit.device)
        order = (unit * self.vectors[rows]).sum(1).argsort(stable=True)
        order = order[rows[order].argsort(stable=True)]  # cluster by cluster, the least similar of each first
        clusters, firsts = np.unique(np.sort(targets), return_index=True)
        self._write(unit, order[to_device(firsts, unit.device)], to_device(clusters, unit.device))

    def _write(self, unit: Tensor, positions: Tensor, clusters: Tensor) -> None:
        mixed = self.momentum * self.vectors[clusters] + (1 - self.momentum) * unit[positions]
        self.vectors[clusters] = F.normalize(mixed, dim=1)


class InstanceMemory(Memory):
    """One unit vector per image of a modality.

    Attributes:
        vectors: (N, D), without gradient.
        momentum: share of the old vector kept at an update, 0..1.
    """

    def __init__(self, unit: Tensor, momentum: float) -> None:
        self.vectors = unit.detach().clone()
        self.momentum = momentum

    @torch.no_grad()
    def update(self, features: Tensor, index: np.ndarray, *, unit: bool = False) -> None:
        """For each sample in order: m_i <- L2(momentum m_i + (1 - momentum) x), so one that stands in the batch twice
        is written twice.

        Args:
            features: (B, D), of any length.
            index: (B,) image of each sample, on the host.
            unit: make x unit first.
        """
        values = features.detach().to(self.vectors.dtype)
        if unit:
            values = F.normalize(values, dim=1)
        for positions in occurrence_rounds(index):
            where, rows = to_device(positions, values.device), to_device(index[positions], values.device)
            mixed = self.momentum * self.vectors[rows] + (1 - self.momentum) * values[where]
            self.vectors[rows] = F.normalize(mixed, dim=1)
