"""Cross-modality cluster matching: which visible cluster and which infrared cluster are one person.

Sizes: R row clusters (the modality with more), C column clusters (the other), D width.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
import torch

from tokenmatcher.contracts import ClusterMatch, Modality


def match_clusters(visible: torch.Tensor, infrared: torch.Tensor, *, capacity: int = 2) -> ClusterMatch:
    """Match clusters greedily, in two phases, so that every cluster of either modality gets a partner.

    Rows are the modality with more clusters (equally many: visible). Phase one repeatedly takes the most
    similar pair whose row is free and whose column holds fewer than `capacity` rows, until every row has a
    column. Phase two does the same for the columns that got no row, with all rows free again, and ends as
    soon as each of them holds one, so the last column it fills holds one row where others may hold more.
    Should all rows be used up before that, which takes a capacity of 3 or more, it is repeated for the
    columns still empty.

    If R > capacity * C, the capacity is raised to ceil(R / C), which is the least that gives every row a
    column; the result's `capacity` tells. Of equally similar pairs the one with the lower row comes first,
    then the one with the lower column. The method orders pairs by exp of the dot product; that is the order
    of the dot product itself.

    Args:
        visible: (Kv, D) unit centroids.
        infrared: (Ki, D) unit centroids.
        capacity: rows that a column may hold within a phase (lambda).

    Raises:
        ValueError: a modality has no cluster, widths differ, a value is not finite, or capacity is below 1.
    """
    for name, values in (("visible", visible), ("infrared", infrared)):
        if len(values) == 0:
            raise ValueError(f"there is no {name} cluster to match: every {name} image is an outlier")
    if capacity < 1:
        raise ValueError(f"capacity must be at least 1, got {capacity}")
    if visible.ndim != 2 or infrared.ndim != 2 or visible.shape[1] != infrared.shape[1]:
        raise ValueError(f"centroids must share a width, got {tuple(visible.shape)} and {tuple(infrared.shape)}")
    row_modality = Modality.VISIBLE if len(visible) >= len(infrared) else Modality.INFRARED
    similarity = (visible.detach().float() @ infrared.detach().float().T).cpu().numpy()
    if not np.isfinite(similarity).all():
        raise ValueError("the centroids hold a value that is not finite")
    if row_modality is Modality.INFRARED:
        similarity = similarity.T
    num_rows, num_columns = similarity.shape
    capacity = max(capacity, -(-num_rows // num_columns))

    rows_of_column: list[list[int]] = [[] for _ in range(num_columns)]
    column_of_row = np.empty(num_rows, dtype=np.int64)
    for row, column in _greedy(similarity, np.arange(num_columns), capacity):
        column_of_row[row] = column
        rows_of_column[column].append(row)
    while empty := [column for column, rows in enumerate(rows_of_column) if not rows]:
        unfilled = set(empty)
        for row, column in _greedy(similarity, np.array(empty), capacity):
            rows_of_column[column].append(row)
            unfilled.discard(column)
            if not unfilled:
                break
    return ClusterMatch(
        row_modality=row_modality,
        column_of_row=column_of_row,
        rows_of_column=tuple(map(tuple, rows_of_column)),
        capacity=capacity,
    )


def _greedy(similarity: np.ndarray, columns: np.ndarray, capacity: int) -> Iterator[tuple[int, int]]:
    """Pairs (row, column) in order of assignment: each row at most once, each of `columns` at most
    `capacity` times.

    A heap holds each row's best open column. A row whose column has filled up in the meantime looks for its
    next best only when its turn comes; what it held was at least as similar, so no pair is overtaken.
    """
    open_similarity = similarity[:, columns]  # a copy: full columns are closed in it
    held = np.zeros(len(columns), dtype=np.int64)
    best = open_similarity.argmax(axis=1)
    heap = [(-float(open_similarity[row, column]), row, int(column)) for row, column in enumerate(best)]
    heapq.heapify(heap)
    while heap:
        _, row, column = heap[0]
        if held[column] < capacity:
            heapq.heappop(heap)
            held[column] += 1
            if held[column] == capacity:
                open_similarity[:, column] = -np.inf
            yield row, int(columns[column])
            continue
        column = int(open_similarity[row].argmax())
        value = float(open_similarity[row, column])
        if value == -np.inf:  # every column is full
            return
        heapq.heapreplace(heap, (-value, row, column))
