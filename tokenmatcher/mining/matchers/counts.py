"""ADCA's alignment: clusters that have the most pairs of similar images between them, one to one.

ADCA (Yang et al., ACM MM 2022) sorts all pairs of a visible and an infrared image at once, 265 million on SYSU-MM01.
The same counts come from blocks of images.

Sizes: N images of a modality, K its clusters, D width, B visible images in a block, P pairs of clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tokenmatcher.contracts import NO_PARTNER, OUTLIER, ClusterMatch, Modality, PseudoLabels
from tokenmatcher.mining.matchers.base import Clusters

BLOCK = 1024


class Alike(NamedTuple):
    """Pairs of images that are alike, by pairs of clusters; the last row and the last column are outliers'."""

    counts: np.ndarray
    """(visible K + 1, infrared K + 1) int64: of them."""
    best: np.ndarray
    """(visible K + 1, infrared K + 1) float32: similarity of the most similar images, -inf where there is none."""


def count_alike(
    visible: Tensor,
    infrared: Tensor,
    visible_labels: PseudoLabels,
    infrared_labels: PseudoLabels,
    *,
    threshold: float,
    block: int = BLOCK,
) -> Alike:
    """Count the pairs of a visible and an infrared image whose dot product is at least `threshold`.

    Args:
        visible, infrared: (N, D) features; either N may be 0.
        block: visible images that are compared at a time.
    """
    columns = _rows(infrared_labels, infrared)
    shape = visible_labels.num_clusters + 1, infrared_labels.num_clusters + 1
    counts = torch.zeros(shape, dtype=torch.int64, device=visible.device)
    best = torch.full(shape, -torch.inf, device=visible.device)
    rows_of_all = _rows(visible_labels, visible)
    for features, rows in zip(visible.detach().float().split(block), rows_of_all.split(block), strict=True):
        similarity = infrared.detach().float() @ features.T  # (N, B): sums over infrared images go down a column
        alike = (similarity >= threshold).float()  # no count comes near the 2^24 that single precision counts to
        own = alike.new_zeros(shape[1], len(features)).index_add_(0, columns, alike)
        most = torch.full_like(own, -torch.inf)
        most.scatter_reduce_(0, columns[:, None].expand_as(similarity), similarity, "amax")
        counts.index_add_(0, rows, own.T.long())
        best.scatter_reduce_(0, rows[:, None].expand(-1, shape[1]), most.T, "amax")
    return Alike(counts.cpu().numpy(), best.cpu().numpy())


def accepted_pairs(alike: Alike) -> np.ndarray:
    """(P, 2) visible and infrared clusters, in the order in which they are accepted: the most counts first, of equals
    the one with the most similar images; a pair is accepted if neither is in one already. Outliers take no part."""
    visible, infrared = np.nonzero(alike.counts[:-1, :-1])
    order = np.lexsort((-alike.best[visible, infrared], -alike.counts[visible, infrared]))
    taken: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for v, r in zip(visible[order].tolist(), infrared[order].tolist(), strict=True):
        if v not in taken[0] and r not in taken[1]:
            taken[0].add(v)
            taken[1].add(r)
            pairs.append((v, r))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def match(clusters: Clusters) -> ClusterMatch:
    """Partners are the accepted pairs; the rest has none. The threshold was set for ADCA's own network: elsewhere
    nothing may pass it, or everything, which the notes tell."""
    features, labels = clusters.features, clusters.labels
    if not clusters.unit_views:
        features = {m: functional.normalize(features[m], dim=1) for m in Modality}
    visible, infrared = Modality.VISIBLE, Modality.INFRARED
    alike = count_alike(
        features[visible], features[infrared], labels[visible], labels[infrared], threshold=clusters.threshold
    )
    pairs = accepted_pairs(alike)
    partner = {m: np.full(labels[m].num_clusters, NO_PARTNER) for m in Modality}
    partner[visible][pairs[:, 0]], partner[infrared][pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    kept = int(alike.counts.sum())
    share = kept / max(1, len(labels[visible]) * len(labels[infrared]))
    return ClusterMatch(
        partner,
        facts={"alike": kept, "alike_share": share, "accepted": len(pairs)},
        notes=_notes(share, len(pairs), clusters.threshold),
    )


def _notes(share: float, accepted: int, threshold: float) -> tuple[str, ...]:
    if share == 0:
        return (f"no visible and infrared image are as similar as {threshold}: no cluster is matched",)
    if accepted == 0:
        return (f"every pair as similar as {threshold} has an outlier in it: no cluster is matched",)
    if share > 0.5:
        return (f"{share:.0%} of all visible-infrared pairs are as similar as {threshold}: counts are mostly sizes",)
    return ()


def _rows(labels: PseudoLabels, like: Tensor) -> Tensor:
    """(N,) cluster of each image; outliers are one more."""
    rows = np.where(labels.labels == OUTLIER, labels.num_clusters, labels.labels)
    return torch.from_numpy(rows).to(like.device)
