"""TokenMatcher's bilateral matching: greedy, in two phases, with room for persons split in two.

Sizes: R row clusters (the modality with more), C column clusters (the other), D width.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from tokenmatcher.contracts import ClusterMatch, Modality, integers, require
from tokenmatcher.mining.matchers.base import Clusters, nobody


@dataclass(frozen=True, eq=False)
class Assignment:
    """The clusters that two phases gave each other.

    Rows are the clusters of `row_modality`, the modality with more of them; columns the other's.
    `column_of_row` (R,) int64: the column each row was given in phase one.
    `rows_of_column`: per column its rows **in order of assignment**; phase one's first, then, for
    columns that phase one left empty, those of phase two.
    `capacity`: the largest number of rows a column may hold within a phase.
    """

    row_modality: Modality
    column_of_row: np.ndarray
    rows_of_column: tuple[tuple[int, ...], ...]
    capacity: int

    def __post_init__(self) -> None:
        columns = integers(self.column_of_row, "column_of_row")
        num_columns = len(self.rows_of_column)
        require(columns.size >= num_columns, "rows must be the modality with more clusters")
        require(
            columns.size == 0 or (columns.min() >= 0 and columns.max() < num_columns),
            f"every row needs a column in 0..{num_columns - 1}",
        )
        first = np.bincount(columns, minlength=num_columns)
        for column, rows in enumerate(self.rows_of_column):
            require(len(rows) > 0, f"column {column} has no row")
            require(len(set(rows)) == len(rows), f"column {column} holds a row twice")
            require(len(rows) <= self.capacity, f"column {column} holds more than {self.capacity} rows")
            require(min(rows) >= 0 and max(rows) < columns.size, f"column {column}: row index out of range")
            if first[column]:
                require(
                    sorted(rows) == np.flatnonzero(columns == column).tolist(),
                    f"column {column} disagrees with column_of_row",
                )
        object.__setattr__(self, "column_of_row", columns)

    @property
    def num_rows(self) -> int:
        return int(self.column_of_row.size)

    @property
    def num_columns(self) -> int:
        return len(self.rows_of_column)

    def first_match(self, modality: Modality) -> np.ndarray:
        """(K,) for each cluster of `modality`, the cluster of the other one that it was given first."""
        if modality is self.row_modality:
            return self.column_of_row
        return np.array([rows[0] for rows in self.rows_of_column], dtype=np.int64)

    def fused_pairs(self) -> np.ndarray:
        """(P, 2) int64 row clusters (a, b), in order of assignment, that share a column in phase one
        with nobody else: one person split in two."""
        filled = np.bincount(self.column_of_row, minlength=self.num_columns)
        pairs = [self.rows_of_column[column] for column in np.flatnonzero(filled == 2)]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    def match(self, asked: int) -> ClusterMatch:
        """For the losses: the partner of each cluster is the first that it was given.

        Args:
            asked: the capacity that was asked for.
        """
        return ClusterMatch(
            {m: self.first_match(m) for m in Modality},
            self.fused_pairs(),
            {
                "capacity": self.capacity,
                "raised": self.capacity > asked,
                "matched_columns": float(np.unique(self.column_of_row).size / self.num_columns),
            },
        )


def match_clusters(visible: torch.Tensor, infrared: torch.Tensor, *, capacity: int = 2) -> Assignment:
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
    return Assignment(
        row_modality=row_modality,
        column_of_row=column_of_row,
        rows_of_column=tuple(map(tuple, rows_of_column)),
        capacity=capacity,
    )


def match(clusters: Clusters) -> ClusterMatch:
    """The matcher `greedy`; its capacity is the recipe's `match_capacity`. Without clusters in one modality nobody has
    a partner."""
    visible, infrared = clusters.centroids[Modality.VISIBLE], clusters.centroids[Modality.INFRARED]
    if not (len(visible) and len(infrared)):
        return nobody(len(visible), len(infrared))
    return match_clusters(visible, infrared, capacity=clusters.capacity).match(clusters.capacity)


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
