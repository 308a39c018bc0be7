"""How right the pseudo labels, matches and neighbours are, by the true identities.

For logs alone: nothing here is read by training.

Legend: N images, K clusters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from tokenmatcher.contracts import NO_PARTNER, OUTLIER, ClusterMatch, Modality, Neighbours, PseudoLabels


def clustering_agreement(labels: PseudoLabels, identities: np.ndarray) -> dict[str, float]:
    """Adjusted Rand index and normalised mutual information over the images (N,) that are in a cluster."""
    kept = labels.labels != OUTLIER
    return {
        "ari": float(adjusted_rand_score(identities[kept], labels.labels[kept])),
        "nmi": float(normalized_mutual_info_score(identities[kept], labels.labels[kept])),
    }


def majority_identities(labels: PseudoLabels, identities: np.ndarray) -> np.ndarray:
    """(K,) the identity most frequent in each cluster; the smallest of equals."""
    names, codes = np.unique(identities, return_inverse=True)
    kept = labels.labels != OUTLIER
    counts = np.zeros((labels.num_clusters, len(names)), dtype=np.int64)
    np.add.at(counts, (labels.labels[kept], codes[kept]), 1)
    return names[counts.argmax(1)]


def right_matches(
    match: ClusterMatch, labels: Mapping[Modality, PseudoLabels], identities: Mapping[Modality, np.ndarray]
) -> float:
    """Of the clusters of the larger modality that have a partner, the share whose majority identity is also their
    partner's (nan where none has one)."""
    own, other = match.larger, match.larger.other
    partner = match.partner[own]
    matched = partner != NO_PARTNER
    of_own = majority_identities(labels[own], identities[own])
    of_other = majority_identities(labels[other], identities[other])
    right = of_own[matched] == of_other[partner[matched]]
    return float(right.mean()) if right.size else float("nan")


def neighbour_quality(
    neighbours: Neighbours, anchor_identities: np.ndarray, target_identities: np.ndarray
) -> dict[str, float]:
    """Neighbours per image, and the share of them that show the anchor's identity (nan where there is none)."""
    right = anchor_identities[neighbours.anchors] == target_identities[neighbours.indices]
    return {
        "per_image": neighbours.num_edges / max(len(neighbours), 1),
        "precision": float(right.mean()) if right.size else float("nan"),
    }
