"""Clusters that are each other's most similar; the others have no partner."""

from __future__ import annotations

import numpy as np

from tokenmatcher.contracts import NO_PARTNER, ClusterMatch, Modality
from tokenmatcher.mining.matchers.base import Clusters, nobody


def match(clusters: Clusters) -> ClusterMatch:
    """Of equally similar clusters the lower is the best. Nobody is matched by force, as where a person is seen by one
    modality alone."""
    similarity = clusters.similarity
    if not similarity.size:
        return nobody(*similarity.shape)
    best_infrared, best_visible = similarity.argmax(1), similarity.argmax(0)
    visible, infrared = (np.arange(count) for count in similarity.shape)
    return ClusterMatch(
        {
            Modality.VISIBLE: np.where(best_visible[best_infrared] == visible, best_infrared, NO_PARTNER),
            Modality.INFRARED: np.where(best_infrared[best_visible] == infrared, best_visible, NO_PARTNER),
        }
    )
