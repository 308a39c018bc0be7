"""What a step minimises, and what it writes into the memories afterwards.

An objective is made from an epoch's targets. `losses` reads the memories as they are; the weighted
sum of its terms is minimised; `update` writes the memories and is called after the backward pass,
so no term's gradient sees another's update.

Legend: B images of a modality in the batch, T tokens, D token width, E pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import Modality, Neighbours
from tokenmatcher.losses import cluster_contrast, neighbour_contrast, token_diversity
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.recipe import LossConfig
from tokenmatcher.runtime import to_device
from tokenmatcher.training.targets import ContrastTargets, JointTargets


@dataclass(frozen=True, eq=False)
class View:
    """One modality's part of a step: features (B, T*D), tokens (B, T, D), index (B,) of the images."""

    features: Tensor
    tokens: Tensor
    index: np.ndarray


Views = dict[Modality, View]


class Objective(Protocol):
    """weights: by name, the weight of each term that `losses` may return."""

    weights: dict[str, float]

    def all_memories(self) -> list[ClusterMemory]:
        """Everything that `update` writes, in an order that stays."""

    def losses(self, views: Views) -> dict[str, Tensor]:
        """The terms by name, scalars, not yet weighted; a term without any sample is left out."""

    def update(self, views: Views) -> None:
        """Write the memories with this step's features."""


def _rows(values: np.ndarray, like: Tensor) -> Tensor:
    return to_device(values, like.device)


class ContrastObjective:
    """Stage 1 and the camera stage: each modality against its own clusters, and token diversity."""

    def __init__(self, targets: ContrastTargets, config: LossConfig) -> None:
        self.labels = {m: labels.labels for m, labels in targets.labels.items()}
        self.memories = {m: ClusterMemory(targets.centroids[m], config.momentum) for m in targets.centroids}
        self.config = config
        self.weights = _own_weights(config)

    def all_memories(self) -> list[ClusterMemory]:
        return list(self.memories.values())

    def losses(self, views: Views) -> dict[str, Tensor]:
        return _own_losses(views, self.labels, self.memories, self.config)

    def update(self, views: Views) -> None:
        for modality, view in views.items():
            self.memories[modality].update(view.features, self.labels[modality][view.index])


def _own_weights(config: LossConfig) -> dict[str, float]:
    return {**{modality.value: 1.0 for modality in Modality}, "diversity": config.lambda_diversity}


def _own_losses(
    views: Views, labels: dict[Modality, np.ndarray], memories: dict[Modality, ClusterMemory], config: LossConfig
) -> dict[str, Tensor]:
    terms = {
        modality.value: cluster_contrast(
            view.features,
            memories[modality].vectors,
            _rows(labels[modality][view.index], view.features),
            config.temperature,
        )
        for modality, view in views.items()
    }
    terms["diversity"] = torch.stack([token_diversity(view.tokens) for view in views.values()]).sum()
    return terms


def batch_pairs(neighbours: Neighbours, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(E,) batch row and (E,) neighbour of every neighbour of the images `index` (B,)."""
    counts = neighbours.counts[index]
    rows = np.repeat(np.arange(len(index)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, neighbours.indices[neighbours.indptr[index][rows] + within]


class JointObjective:
    """Stage 2: mixed memories, cross-modality matches, diverse-token neighbours, homogeneous fusion.

    Args:
        epoch: counted from 0; its parity says which way neighbours and fusion pull.
    """

    def __init__(self, targets: JointTargets, config: LossConfig, epoch: int) -> None:
        self.config = config
        self.labels = {m: labels.labels for m, labels in targets.labels.items()}
        self.mixed = {m: ClusterMemory(targets.mixed[m], config.mixed_momentum) for m in Modality}
        self.partner = {m: targets.match.first_match(m) for m in Modality}
        self.instances = targets.instances
        across = (Modality.VISIBLE, Modality.INFRARED)
        ways = [(m, m) for m in Modality] + [across if epoch % 2 == 0 else across[::-1]]
        self.neighbours = {way: targets.neighbours[way] for way in ways}
        self.fused_modality = targets.match.row_modality
        self.fusion_memory = ClusterMemory(targets.centroids[self.fused_modality], config.fusion_momentum)
        pairs = targets.match.fused_pairs() if epoch % 2 == 0 else targets.match.fused_pairs()[:, ::-1]
        self.fused_with = np.full(len(self.fusion_memory), -1)
        self.fused_with[pairs[:, 0]] = pairs[:, 1]
        self.weights = {
            **_own_weights(config),
            "neighbour": config.lambda_neighbour,
            "cross": config.lambda_cross,
            "fusion": config.lambda_fusion_late if epoch > config.fusion_late_epoch else config.lambda_fusion,
        }

    def all_memories(self) -> list[ClusterMemory]:
        return [*self.mixed.values(), self.fusion_memory]

    def losses(self, views: Views) -> dict[str, Tensor]:
        config = self.config
        terms = _own_losses(views, self.labels, self.mixed, config)
        terms["neighbour"] = self._neighbour_loss(views)
        cross = [
            cluster_contrast(
                view.features,
                self.mixed[m.other].vectors,
                _rows(self._partners(m, view), view.features),
                config.temperature,
            )
            for m, view in views.items()
        ]
        terms["cross"] = torch.stack(cross).sum()
        view = views[self.fused_modality]
        chosen, towards = self._fusion(view)
        if len(chosen):
            terms["fusion"] = cluster_contrast(
                view.features[_rows(chosen, view.features)],
                self.fusion_memory.vectors,
                _rows(towards, view.features),
                config.temperature,
            )
        return terms

    def update(self, views: Views) -> None:
        view = views[self.fused_modality]
        chosen, towards = self._fusion(view)
        self.fusion_memory.update(view.features[_rows(chosen, view.features)], towards)
        for modality, view in views.items():
            self.mixed[modality.other].update(view.features, self._partners(modality, view))
        for modality, view in views.items():
            self.mixed[modality].update(view.features, self.labels[modality][view.index])

    def _partners(self, modality: Modality, view: View) -> np.ndarray:
        return self.partner[modality][self.labels[modality][view.index]]

    def _fusion(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Batch rows that fusion pulls, and the cluster each is pulled to."""
        towards = self.fused_with[self.labels[self.fused_modality][view.index]]
        chosen = np.flatnonzero(towards >= 0)
        return chosen, towards[chosen]

    def _neighbour_loss(self, views: Views) -> Tensor:
        terms = []
        for (anchor, target), neighbours in self.neighbours.items():
            view = views[anchor]
            rows, found = batch_pairs(neighbours, view.index)
            terms.append(
                neighbour_contrast(
                    view.features,
                    self.instances[target],
                    _rows(rows, view.features),
                    _rows(found, view.features),
                    self.config.temperature,
                )
            )
        return torch.stack(terms).sum()
