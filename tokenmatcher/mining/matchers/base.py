"""The door for matchers: which visible cluster is which infrared one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from tokenmatcher.blame import place_of, returned
from tokenmatcher.contracts import NO_PARTNER, ClusterMatch, Modality, PseudoLabels
from tokenmatcher.errors import UserError


@dataclass(frozen=True, eq=False)
class Clusters:
    """What a matcher may look at. Legend: N images of a modality, K its clusters, T tokens, D token width.

    features: (N, T*D) of every image as the epoch starts, not normalised.
    labels: of every image.
    centroids: (K, T*D) unit rows.
    num_tokens: T.
    unit_views: whether the features are means of unit vectors (an image's and its mirror image's), whose dot products
        are read as cosines.

    Numbers of the recipe, for matchers that ask for them:
    capacity: clusters that one cluster may be matched to.
    threshold: cosine from which two images count as alike.
    ranked: places of an image's list of the most similar ones that are looked at.
    """

    features: Mapping[Modality, Tensor]
    labels: Mapping[Modality, PseudoLabels]
    centroids: Mapping[Modality, Tensor]
    num_tokens: int
    capacity: int
    threshold: float = 0.5
    ranked: int = 20
    unit_views: bool = False

    @property
    def similarity(self) -> np.ndarray:
        """(visible K, infrared K) cosines of the centroids."""
        visible, infrared = (self.centroids[m].detach().float() for m in (Modality.VISIBLE, Modality.INFRARED))
        cosines: np.ndarray = (visible @ infrared.T).cpu().numpy()
        return cosines


Matcher = Callable[[Clusters], ClusterMatch]
"""Total, or saying -1 where a cluster has no partner; never failing, whatever the clusters are like."""


def ask(matcher: Matcher, clusters: Clusters) -> ClusterMatch:
    """What a matcher says of the clusters.

    Raises:
        UserError: no match, or not of these clusters; blames the matcher's file.
    """
    match: ClusterMatch = returned(matcher, matcher(clusters), ClusterMatch)
    for m, partner in match.partner.items():
        if len(partner) != (known := clusters.labels[m].num_clusters):
            raise UserError(f"{place_of(matcher)}: {len(partner)} partners of {known} {m} clusters")
    return match


def nobody(visible: int, infrared: int) -> ClusterMatch:
    """The match of so many clusters of which none has a partner."""
    return ClusterMatch({m: np.full(k, NO_PARTNER) for m, k in zip(Modality, (visible, infrared), strict=True)})


def matched(visible: np.ndarray, infrared: np.ndarray, strength: np.ndarray, **facts: float) -> ClusterMatch:
    """A match in which clusters that share a partner are fused.

    Two clusters of the larger modality whose partner is nobody else's are one person split in two; the stronger is
    first, as greedy matching assigns it first, and of equals the lower.

    Args:
        visible, infrared: (K,) partner of each cluster, -1 for none.
        strength: (K,) of each cluster of the larger modality, how well its partner suits it.
    """
    match = ClusterMatch({Modality.VISIBLE: visible, Modality.INFRARED: infrared}, facts=facts)
    partner = match.partner[match.larger]
    order = np.lexsort((-strength, partner))
    order = order[partner[order] != NO_PARTNER]
    _, starts, counts = np.unique(partner[order], return_index=True, return_counts=True)
    first = starts[counts == 2]
    return replace(match, fused=np.stack([order[first], order[first + 1]], axis=1))
