"""How right the pseudo labels, matches and neighbours are, by the true identities.

For logs alone: nothing here is read by training.

Legend: N images, K clusters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from tokenmatcher.contracts import NO_PARTNER, OUTLIER, UNKNOWN, ClusterMatch, Modality, Neighbours, PseudoLabels


def clustering_agreement(labels: PseudoLabels, identities: np.ndarray) -> dict[str, float]:
    """Adjusted Rand index and normalised mutual information over the images (N,) that are in a cluster and whose
    identity is known (nan where there is none)."""
    kept = (labels.labels != OUTLIER) & (identities != UNKNOWN)
    if not kept.any():
        return {"ari": float("nan"), "nmi": float("nan")}
    return {
        "ari": float(adjusted_rand_score(identities[kept], labels.labels[kept])),
        "nmi": float(normalized_mutual_info_score(identities[kept], labels.labels[kept])),
    }


def majority_identities(labels: PseudoLabels, identities: np.ndarray) -> np.ndarray:
    """(K,) the identity most frequent in each cluster; the smallest of equals; UNKNOWN where none is known."""
    if (identities == UNKNOWN).all():
        return np.full(labels.num_clusters, UNKNOWN)
    names, codes = np.unique(identities, return_inverse=True)
    kept = (labels.labels != OUTLIER) & (identities != UNKNOWN)
    counts = np.zeros((labels.num_clusters, len(names)), dtype=np.int64)
    np.add.at(counts, (labels.labels[kept], codes[kept]), 1)
    return np.where(counts.any(1), names[counts.argmax(1)], UNKNOWN)


def right_matches(
    match: ClusterMatch, labels: Mapping[Modality, PseudoLabels], identities: Mapping[Modality, np.ndarray]
) -> float:
    """Of the clusters of the larger modality that have a partner and a known majority identity, the share whose
    partner has the same (nan where there is none)."""
    own, other = match.larger, match.larger.other
    partner = match.partner[own]
    of_own = majority_identities(labels[own], identities[own])
    matched = (partner != NO_PARTNER) & (of_own != UNKNOWN)
    of_other = majority_identities(labels[other], identities[other])
    right = of_own[matched] == of_other[partner[matched]]
    return float(right.mean()) if right.size else float("nan")


def matchable_share(
    labels: Mapping[Modality, PseudoLabels], identities: Mapping[Modality, np.ndarray], larger: Modality
) -> float:
    """Of the clusters of the modality `larger` with a known majority identity, the share for which the other modality
    has a cluster of that identity (nan where there is none). A matcher that gives all of them a partner cannot be right
    more often; one that leaves some without is judged by the others alone."""
    own, other = (majority_identities(labels[m], identities[m]) for m in (larger, larger.other))
    known = own[own != UNKNOWN]
    return float(np.isin(known, other).mean()) if known.size else float("nan")


def neighbour_quality(
    neighbours: Neighbours, anchor_identities: np.ndarray, target_identities: np.ndarray
) -> dict[str, float]:
    """Neighbours per image, and of those whose identities are known the share that show the anchor's (nan where there
    is none)."""
    of_anchor, of_target = anchor_identities[neighbours.anchors], target_identities[neighbours.indices]
    right = (of_anchor == of_target)[(of_anchor != UNKNOWN) & (of_target != UNKNOWN)]
    return {
        "per_image": neighbours.num_edges / max(len(neighbours), 1),
        "precision": float(right.mean()) if right.size else float("nan"),
    }
