"""What the parts hand to each other: frozen values, checked when made.

Conventions, everywhere in the package:
    label -1       an outlier, left out of the epoch's training
    CSR pair       `indptr` (N+1,) and `indices` (E,): row i owns indices[indptr[i]:indptr[i+1]]
    partner -1     a cluster without one
    identity -1    nobody knows it
    Sizes          N images, K clusters, E edges, P pairs
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

OUTLIER = -1
NO_PARTNER = -1
UNKNOWN = -1


class Modality(str, Enum):
    """How a picture was taken."""

    VISIBLE = "visible"
    INFRARED = "infrared"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"{value!r} is no modality; there are {', '.join(cls)}")

    @property
    def other(self) -> Modality:
        return Modality.INFRARED if self is Modality.VISIBLE else Modality.VISIBLE

    def __str__(self) -> str:
        return self.value


def require(condition: object, message: str) -> None:
    """A value that cannot be is refused when it is made.

    Raises:
        ValueError: `message`.
    """
    if not condition:
        raise ValueError(message)


def integers(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as a read-only (N,) int64 array.

    Raises:
        ValueError: they are not one-dimensional, or no whole numbers.
    """
    array = np.asarray(values)
    require(array.ndim == 1, f"{name} must be one-dimensional, got shape {array.shape}")
    require(array.size == 0 or np.issubdtype(array.dtype, np.integer), f"{name} must be integers, got {array.dtype}")
    array = np.array(array, dtype=np.int64)  # a copy: the caller may go on writing into its own
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One picture on disk. `identity` is the true one, UNKNOWN where nobody knows it: for scores and logs, never for
    training."""

    path: Path
    modality: Modality
    camera: int
    identity: int


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Cluster of every image: (N,) int64, -1 for outliers, clusters numbered 0..K-1 without gaps."""

    labels: np.ndarray

    def __post_init__(self) -> None:
        labels = integers(self.labels, "labels")
        require(labels.size == 0 or labels.min() >= OUTLIER, "labels must be -1 or larger")
        present = np.unique(labels[labels != OUTLIER])
        require(np.array_equal(present, np.arange(present.size)), "cluster numbers must be 0..K-1 without gaps")
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
        indptr, indices = integers(self.indptr, "indptr"), integers(self.indices, "indices")
        require(indptr.size >= 1 and indptr[0] == 0, "indptr must start with 0")
        require((np.diff(indptr) >= 0).all(), "indptr must not fall")
        require(indptr[-1] == indices.size, f"indptr ends at {indptr[-1]}, but there are {indices.size} indices")
        if indices.size:
            require(
                indices.min() >= 0 and indices.max() < self.num_targets,
                f"indices must lie in 0..{self.num_targets - 1}",
            )
        rising = np.diff(indices) > 0
        row_starts = indptr[1:-1]
        rising[row_starts[(row_starts > 0) & (row_starts < indices.size)] - 1] = True
        require(rising.all(), "a row's indices must be ascending and distinct")
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
    """Which visible cluster is which infrared one, from a matcher.

    partner: for each modality, (K,) int64: of each of its clusters the one of the other modality, -1 for none.
    fused: (P, 2) int64 pairs (a, b) of clusters of the modality `larger` that are one person split in two, in an order
        that homogeneous fusion reads as "a is pulled to b" in even epochs and the other way in odd ones.
    facts: what the matcher has to say, for the log.
    notes: the same in words, of what is unlike the usual.
    """

    partner: Mapping[Modality, np.ndarray]
    fused: np.ndarray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    facts: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        require(set(self.partner) == set(Modality), "a match is of both modalities")
        partner = {m: integers(self.partner[m], f"partners of {m} clusters") for m in Modality}
        for m, found in partner.items():
            most = len(partner[m.other])
            require(
                found.size == 0 or (found.min() >= NO_PARTNER and found.max() < most),
                f"partners of {m} clusters must lie in -1..{most - 1}: the match is of {most} {m.other} clusters",
            )
        object.__setattr__(self, "partner", partner)
        fused = np.asarray(self.fused, dtype=np.int64).reshape(-1, 2)
        require(
            fused.size == 0 or (fused.min() >= 0 and fused.max() < len(partner[self.larger])),
            f"fused clusters must lie in 0..{len(partner[self.larger]) - 1}",
        )
        require(len(np.unique(fused)) == fused.size, "a cluster is fused twice")
        object.__setattr__(self, "fused", fused)

    @property
    def larger(self) -> Modality:
        """The modality with more clusters; of equals visible."""
        more = len(self.partner[Modality.VISIBLE]) >= len(self.partner[Modality.INFRARED])
        return Modality.VISIBLE if more else Modality.INFRARED


@dataclass
class EpochRecord:
    """What one epoch of a run did: for the log, and for every listener. Which epoch it is stays.

    place: which stage, in the log's words: {"stage": "1"} or {"stage": "camera", "camera": 3}.
    epoch: within its stage, from 0, of `epochs`.
    seconds: of each phase.
    labels: by modality, clusters, outliers and, by the true identities, adjusted Rand index (ari) and normalised
        mutual information (nmi).
    facts: what the method has to say, by topic.
    notes: what was unlike the usual, in words.
    losses: mean of each term over the steps in which it occurred, unweighted; `total` weighted. None: not trained.
    gradient: mean norm.
    gpu_memory: the most that PyTorch's tensors took of the GPU, in bytes.
    scores: by protocol, where it was tested.
    left: seconds that the rest of the run will take, going by what is done.
    examples: pictures to look at, by topic: groups of images, each its modality and index; beside the first of a group
        stands what it was joined with.
    """

    place: Mapping[str, str | int]
    epoch: int
    epochs: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    labels: dict[str, dict[str, float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lr: float | None = None
    losses: dict[str, float] | None = None
    gradient: float | None = None
    images_per_second: float | None = None
    gpu_memory: int | None = None
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    left: float | None = None
    examples: dict[str, list[list[tuple[Modality, int]]]] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", MappingProxyType(dict(self.place)))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("place", "epoch", "epochs") and name in vars(self):
            raise AttributeError(f"{name} of an epoch's record cannot be changed")
        super().__setattr__(name, value)

    def lap(self, phase: str) -> None:
        """A phase is over."""
        now = time.perf_counter()
        self.seconds[phase] = round(now - self._since, 3)
        self._since = now

    def to_dict(self) -> dict[str, Any]:
        """For log.jsonl; what there is not is left out, and so is what is only to be looked at."""
        trained = {
            name: value
            for name in ("lr", "losses", "gradient", "images_per_second", "gpu_memory")
            if (value := getattr(self, name)) is not None
        }
        return {
            **self.place,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "labels": self.labels,
            **self.facts,
            "notes": self.notes,
            **trained,
            **({"scores": self.scores} if self.scores else {}),
        }
