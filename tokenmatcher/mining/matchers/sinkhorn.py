"""Entropic optimal transport between the clusters of both modalities, arg-max both ways (as in RPNR and SALCR).

Sizes: R row clusters, C column clusters.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from tokenmatcher.contracts import ClusterMatch
from tokenmatcher.mining.matchers.base import Clusters, matched, nobody

REGULARISATION = 0.05  # of a cosine; the losses' temperature
ROUNDS = 100


def transport(similarity: np.ndarray, regularisation: float = REGULARISATION, rounds: int = ROUNDS) -> np.ndarray:
    """(R, C) logarithm of the plan that moves uniform weights from rows to columns (Sinkhorn; Cuturi, NeurIPS 2013).

    The plan maximises the mean similarity plus `regularisation` times its entropy; columns have their margins exactly,
    rows the better the more rounds. In the log domain nothing over- or underflows.

    Args:
        similarity: (R, C), neither of them 0.
    """
    scaled = similarity.astype(np.float64) / regularisation
    num_rows, num_columns = scaled.shape
    columns = np.zeros(num_columns)
    for _ in range(rounds):
        rows = -np.log(num_rows) - logsumexp(scaled + columns, axis=1)
        columns = -np.log(num_columns) - logsumexp(scaled + rows[:, None], axis=0)
    return scaled + rows[:, None] + columns


def match(clusters: Clusters) -> ClusterMatch:
    """Each cluster's partner is the one that it shares most of the plan with, of equals the lower; so everybody has one
    unless the other modality has no cluster."""
    similarity = clusters.similarity
    if not similarity.size:
        return nobody(*similarity.shape)
    plan = transport(similarity)
    strength = plan.max(1) if plan.shape[0] >= plan.shape[1] else plan.max(0)
    return matched(plan.argmax(1), plan.argmax(0), strength)
