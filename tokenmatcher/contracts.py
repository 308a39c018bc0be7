"""What the parts hand to each other: frozen values, checked when made.

Conventions, everywhere in the package:
    label -1       an outlier, left out of the epoch's training
    CSR pair       `indptr` (N+1,) and `indices` (E,): row i owns indices[indptr[i]:indptr[i+1]]
    Sizes          N images, K clusters, E edges, R row clusters, C column clusters
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

OUTLIER = -1


class Modality(str, Enum):
    """How a picture was taken."""

    VISIBLE = "visible"
    INFRARED = "infrared"

    @property
    def other(self) -> Modality:
        return Modality.INFRARED if self is Modality.VISIBLE else Modality.VISIBLE

    def __str__(self) -> str:
        return self.value


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _integers(values: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(values)
    _require(array.ndim == 1, f"{name} must be one-dimensional, got shape {array.shape}")
    _require(array.size == 0 or np.issubdtype(array.dtype, np.integer), f"{name} must be integers, got {array.dtype}")
    array = np.ascontiguousarray(array, dtype=np.int64)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One picture on disk. `identity` is the true one: for scores and logs, never for training."""

    path: Path
    modality: Modality
    camera: int
    identity: int


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Cluster of every image: (N,) int64, -1 for outliers, clusters numbered 0..K-1 without gaps."""

    labels: np.ndarray

    def __post_init__(self) -> None:
        labels = _integers(self.labels, "labels")
        _require(labels.size == 0 or labels.min() >= OUTLIER, "labels must be -1 or larger")
        present = np.unique(labels[labels != OUTLIER])
        _require(np.array_equal(present, np.arange(present.size)), "cluster numbers must be 0..K-1 without gaps")
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return int(self.labels.size)

    @property
    def num_clusters(self) -> int:
        return int(self.labels.max()) + 1 if self.labels.size else 0

    @property
    def num_outliers(self) -> int:
        return int((self.labels == OUTLIER).sum())


@dataclass(frozen=True, eq=False)
class Neighbours:
    """For every anchor image the images it is to be pulled to, as a CSR pair, ascending within a row."""

    indptr: np.ndarray
    indices: np.ndarray
    num_targets: int

    def __post_init__(self) -> None:
        indptr, indices = _integers(self.indptr, "indptr"), _integers(self.indices, "indices")
        _require(indptr.size >= 1 and indptr[0] == 0, "indptr must start with 0")
        _require((np.diff(indptr) >= 0).all(), "indptr must not fall")
        _require(indptr[-1] == indices.size, f"indptr ends at {indptr[-1]}, but there are {indices.size} indices")
        if indices.size:
            _require(
                indices.min() >= 0 and indices.max() < self.num_targets,
                f"indices must lie in 0..{self.num_targets - 1}",
            )
        rising = np.diff(indices) > 0
        row_starts = indptr[1:-1]
        rising[row_starts[(row_starts > 0) & (row_starts < indices.size)] - 1] = True
        _require(rising.all(), "a row's indices must be ascending and distinct")
        object.__setattr__(self, "indptr", indptr)
        object.__setattr__(self, "indices", indices)

    def __len__(self) -> int:
        return int(self.indptr.size - 1)

    @property
    def num_edges(self) -> int:
        return int(self.indices.size)

    @property
    def counts(self) -> np.ndarray:
        """(N,) number of neighbours of each anchor."""
        return np.diff(self.indptr)

    @property
    def anchors(self) -> np.ndarray:
        """(E,) the anchor of each edge."""
        return np.repeat(np.arange(len(self)), self.counts)

    @classmethod
    def joined(cls, parts: Sequence[Neighbours]) -> Neighbours:
        """The anchors of all parts, one part after the other; the targets are the same for all."""
        ends = np.cumsum([part.num_edges for part in parts])
        indptr = [parts[0].indptr, *(part.indptr[1:] + end for part, end in zip(parts[1:], ends, strict=False))]
        indices = np.concatenate([part.indices for part in parts])
        return cls(np.concatenate(indptr), indices, parts[0].num_targets)

    def row(self, anchor: int) -> np.ndarray:
        return self.indices[self.indptr[anchor] : self.indptr[anchor + 1]]


@dataclass(frozen=True, eq=False)
class ClusterMatch:
    """Which visible cluster is which infrared one.

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
        columns = _integers(self.column_of_row, "column_of_row")
        num_columns = len(self.rows_of_column)
        _require(columns.size >= num_columns, "rows must be the modality with more clusters")
        _require(
            columns.size == 0 or (columns.min() >= 0 and columns.max() < num_columns),
            f"every row needs a column in 0..{num_columns - 1}",
        )
        first = np.bincount(columns, minlength=num_columns)
        for column, rows in enumerate(self.rows_of_column):
            _require(len(rows) > 0, f"column {column} has no row")
            _require(len(set(rows)) == len(rows), f"column {column} holds a row twice")
            _require(len(rows) <= self.capacity, f"column {column} holds more than {self.capacity} rows")
            _require(min(rows) >= 0 and max(rows) < columns.size, f"column {column} holds a row that is none")
            if first[column]:
                _require(
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
