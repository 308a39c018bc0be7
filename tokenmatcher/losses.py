"""The loss terms, as pure functions.

Legend: B batch, T tokens, D feature width, K clusters, N images of a modality, E pairs.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def cluster_contrast(features: Tensor, memory: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of an image against all cluster centroids (ClusterNCE, Dai et al., ACCV 2022).

    Args:
        features: (B, D), normalised here.
        memory: (K, D) unit rows, constant.
        targets: (B,) int64 cluster of each image.
        temperature: divisor of the cosine similarities.

    Returns:
        Scalar, mean over the batch.
    """
    return F.cross_entropy(F.normalize(features, dim=1) @ memory.T / temperature, targets)


def token_diversity(tokens: Tensor) -> Tensor:
    """How alike an image's class tokens are (DC-Former, Li et al., AAAI 2023): to be made small.

    |cos| of each of the T(T-1)/2 pairs, weighted by its softmax over the pairs, summed; mean over the batch.

    Args:
        tokens: (B, T, D), T >= 2.
    """
    unit = F.normalize(tokens, dim=2)
    first, second = torch.triu_indices(tokens.shape[1], tokens.shape[1], offset=1, device=tokens.device)
    alike = (unit @ unit.transpose(1, 2))[:, first, second].abs()
    return (alike.softmax(1) * alike).sum(1).mean()


def neighbour_contrast(
    features: Tensor, instances: Tensor, anchors: Tensor, neighbours: Tensor, temperature: float
) -> Tensor:
    """Mean of -log p(neighbour | anchor) over (anchor, neighbour) pairs, p a softmax over all instances.

    Args:
        features: (B, D), normalised here.
        instances: (N, D) unit rows, constant.
        anchors: (E,) int64 row of `features` of each pair.
        neighbours: (E,) int64 row of `instances` of each pair.

    Returns:
        Scalar; 0 (with a graph) where there is no pair.
    """
    scores = F.normalize(features, dim=1) @ instances.T / temperature
    if len(anchors) == 0:
        return scores.sum() * 0
    return (scores.logsumexp(1)[anchors] - scores[anchors, neighbours]).mean()


def similarities(features: Tensor, memory: Tensor, moved: Tensor | None = None) -> Tensor:
    """(B, K) cosine similarities of features (B, D), normalised here, to the unit rows of a memory (K, D).

    Args:
        moved: (K, D), the memory whose vectors the gradient takes; None: the same one.
    """
    unit = F.normalize(features, dim=1)
    return unit @ memory.T if moved is None else _MovedProduct.apply(unit, memory, moved)


class _MovedProduct(torch.autograd.Function):
    """The product with a memory that is another one by the time of the backward pass."""

    @staticmethod
    def forward(ctx: Any, unit: Tensor, memory: Tensor, moved: Tensor) -> Tensor:
        ctx.save_for_backward(moved)
        return unit @ memory.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (moved,) = ctx.saved_tensors
        return gradients[0] @ moved, None, None


def neighbourhood_contrast(
    features: Tensor, instances: Tensor, chosen: Tensor, temperature: float, *, moved: Tensor | None = None
) -> Tensor:
    """Mean over all anchors of sum of -log max(p, 1e-8) over their n neighbours / (n + 1) (SDCL, CVPR 2024).

    p is a softmax over all instances. An anchor without neighbours counts 0; the floor stops the gradient.

    Args:
        features: (B, D), normalised here.
        instances: (N, D) unit rows, constant.
        chosen: (B, N) bool, which instances are an anchor's neighbours.
        moved: see `similarities`.
    """
    log_p = (similarities(features, instances, moved) / temperature).log_softmax(1).clamp_min(math.log(1e-8))
    own = torch.where(chosen, -log_p, 0).sum(1) / (chosen.sum(1) + 1)
    return own.mean()
