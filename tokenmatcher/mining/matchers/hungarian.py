"""PGM's matching: minimum-cost assignment, in rounds until nobody is left.

PGM (Wu & Ye, CVPR 2023) assigns the modality with more clusters in two rounds; above twice as many clusters some stay
unmatched and its training ends in a KeyError. Here rounds go on until no row is left, so the ratio does not matter.

Sizes: R row clusters (the modality with more), C column clusters (the other), R >= C.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from tokenmatcher.contracts import ClusterMatch
from tokenmatcher.mining.matchers.base import Clusters, matched, nobody


def assign_in_rounds(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows to columns at the least sum of exp(-similarity), one row a column and round.

    Args:
        similarity: (R, C) cosines of centroids, C at least 1.

    Returns:
        column (R,) of each row and round (R,) in which it came, from 1.
    """
    cost = np.exp(-similarity.astype(np.float64))
    column, came_in = np.zeros((2, len(cost)), dtype=np.int64)
    left, number = np.arange(len(cost)), 0
    while left.size:
        number += 1
        rows, columns = linear_sum_assignment(cost[left])
        column[left[rows]], came_in[left[rows]] = columns, number
        left = np.delete(left, rows)
    return column, came_in


def match(clusters: Clusters) -> ClusterMatch:
    """Every cluster of the larger modality has the column that it was assigned to; every one of the smaller has the row
    of the first round. Without clusters in one modality nobody has a partner."""
    similarity = clusters.similarity
    if not similarity.size:
        return nobody(*similarity.shape)
    visible_rows = similarity.shape[0] >= similarity.shape[1]
    column, came_in = assign_in_rounds(similarity if visible_rows else similarity.T)
    row = np.empty(min(similarity.shape), dtype=np.int64)
    first = np.flatnonzero(came_in == 1)
    row[column[first]] = first
    visible, infrared = (column, row) if visible_rows else (row, column)
    return matched(visible, infrared, -came_in, rounds=int(came_in.max()))
