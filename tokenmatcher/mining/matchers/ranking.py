"""SDCL's ranking association, as a match of clusters: its images vote.

SDCL ranks by a deep and a shallow branch. Of a network with T class tokens the first half of a feature stands for the
one and the second half for the other; a single token stands for both.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tokenmatcher.contracts import NO_PARTNER, ClusterMatch, Modality, PseudoLabels
from tokenmatcher.mining.association import associate, votes_of
from tokenmatcher.mining.matchers.base import Clusters, matched


def match(clusters: Clusters) -> ClusterMatch:
    """Every visible image is associated with an infrared cluster, and then its cluster with one."""
    visible, infrared = (
        halves(clusters.features[m], clusters.num_tokens) for m in (Modality.VISIBLE, Modality.INFRARED)
    )
    labels = clusters.labels
    found = associate(visible, infrared, labels[Modality.INFRARED], ranked=clusters.ranked)
    return match_of_images(found, labels[Modality.VISIBLE], labels[Modality.INFRARED].num_clusters)


def match_of_images(found: np.ndarray, own: PseudoLabels, num_infrared: int) -> ClusterMatch:
    """The match of clusters that follows from one of visible images to infrared clusters.

    A visible cluster's partner is the infrared one that most of its images belong to; that most belong to none is a
    choice, too; of equals the lowest. An infrared cluster's is the visible one with most of the images that belong to
    it, the lowest of equals; it has none if no clustered image does.

    Args:
        found: (V,) infrared cluster of each visible image, -1 for none.
        own: (V,) the visible images' own clusters.
    """
    votes = votes_of(found, own, num_infrared)
    chosen = votes[:, 1:]
    of_visible = votes.argmax(1) - 1
    of_infrared = np.full(num_infrared, NO_PARTNER)
    if chosen.size:
        of_infrared = np.where(chosen.any(0), chosen.argmax(0), NO_PARTNER)
    strength = votes.max(1) if len(of_visible) >= num_infrared else chosen.max(0, initial=0)
    share = float((found != NO_PARTNER).mean()) if len(found) else 0.0
    return matched(of_visible, of_infrared, strength, associated=share)


def halves(features: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
    """(N, T*D) cut between two tokens; one token twice."""
    if num_tokens == 1:
        return features, features
    cut = features.shape[1] // num_tokens * (num_tokens // 2)
    return features[:, :cut], features[:, cut:]
