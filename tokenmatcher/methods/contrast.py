"""Each modality against its own clusters, and class tokens that differ: what stage 1 and the camera stage train, and
what stage 2 adds to.

Legend: N images of a modality, B images of it in the batch, K its clusters, T tokens, D token width, E pairs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import Modality, Neighbours, PseudoLabels
from tokenmatcher.distributed import ALONE, Team
from tokenmatcher.losses import cluster_contrast, token_diversity
from tokenmatcher.machine import to_device
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.methods.base import Views
from tokenmatcher.methods.numbers import LossConfig
from tokenmatcher.methods.targets import ContrastTargets
from tokenmatcher.mining.clusters import centroids


def contrast_targets(
    features: Mapping[Modality, Tensor], labels: dict[Modality, PseudoLabels], team: Team = ALONE
) -> ContrastTargets:
    """Targets of stage 1 from raw features (N, T*D)."""
    return ContrastTargets(labels, {m: team.broadcast(centroids(features[m], labels[m])) for m in features})


class ContrastObjective:
    """Stage 1 and the camera stage: each modality against its own clusters, and token diversity."""

    def __init__(self, targets: ContrastTargets, config: LossConfig) -> None:
        self.labels = {m: labels.labels for m, labels in targets.labels.items()}
        self.memories = {m: ClusterMemory(targets.centroids[m], config.momentum) for m in targets.centroids}
        self.config = config
        self.weights = own_weights(config)

    def all_memories(self) -> list[ClusterMemory]:
        return list(self.memories.values())

    def losses(self, views: Views) -> dict[str, Tensor]:
        return own_losses(views, self.labels, self.memories, self.config)

    def update(self, views: Views) -> None:
        for modality, view in views.items():
            self.memories[modality].update(view.features, self.labels[modality][view.index])


def own_weights(config: LossConfig) -> dict[str, float]:
    return {**{modality.value: 1.0 for modality in Modality}, "diversity": config.lambda_diversity}


def own_losses(
    views: Views, labels: dict[Modality, np.ndarray], memories: dict[Modality, ClusterMemory], config: LossConfig
) -> dict[str, Tensor]:
    terms = own_contrast(views, labels, memories, config.temperature)
    terms["diversity"] = torch.stack([token_diversity(view.tokens) for view in views.values()]).sum()
    return terms


def own_contrast(
    views: Views, labels: Mapping[Modality, np.ndarray], memories: Mapping[Modality, ClusterMemory], temperature: float
) -> dict[str, Tensor]:
    """By modality: its images against the memory of its own clusters."""
    return {
        modality.value: cluster_contrast(
            view.features,
            memories[modality].vectors,
            rows_on(labels[modality][view.index], view.features),
            temperature,
        )
        for modality, view in views.items()
    }


def batch_pairs(neighbours: Neighbours, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(E,) batch row and (E,) neighbour of every neighbour of the images `index` (B,)."""
    counts = neighbours.counts[index]
    rows = np.repeat(np.arange(len(index)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, neighbours.indices[neighbours.indptr[index][rows] + within]


def rows_on(values: np.ndarray, like: Tensor) -> Tensor:
    return to_device(values, like.device)
