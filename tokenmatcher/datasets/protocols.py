"""The test protocols as data: which images are queries and which the gallery, trial by trial.

An evaluator extracts each image of a `Benchmark` once and picks rows:

    features = extract(benchmark.images)                            # (N, D), unit rows
    for protocol in benchmark.protocols:
        for trial in protocol.trials:
            similarity = features[trial.query] @ features[trial.gallery].T
            scores = cross_modality_scores(
                similarity, benchmark.identities[trial.query], benchmark.identities[trial.gallery],
                benchmark.cameras[trial.query], benchmark.cameras[trial.gallery],
                excluded_cameras=protocol.excluded_cameras, own_camera_excluded=protocol.own_camera_excluded,
                distinct_identities=protocol.distinct_identities,
            )

Sizes: N images, Q queries, G gallery images of a trial.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tokenmatcher.contracts import ImageRecord

DIRECTIONS = ("visible-to-infrared", "infrared-to-visible")
"""Names of protocols that go from one modality to the other."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One draw: `query` (Q,) and `gallery` (G,) int64 index into the images of the benchmark."""

    query: np.ndarray
    gallery: np.ndarray


@dataclass(frozen=True, eq=False)
class Protocol:
    """Trials scored by one rule, whose mean is reported; see `cross_modality_scores` for the parts of the rule."""

    name: str
    trials: tuple[Trial, ...]
    excluded_cameras: frozenset[tuple[int, int]]
    distinct_identities: bool
    own_camera_excluded: bool = False

    def sees(self, query_camera: int, gallery_camera: int) -> bool:
        """Whether a query sees images of its own person by a camera."""
        if self.own_camera_excluded and query_camera == gallery_camera:
            return False
        return (query_camera, gallery_camera) not in self.excluded_cameras


@dataclass(frozen=True)
class Benchmark:
    """Protocols over one set of images, each image in it once."""

    images: tuple[ImageRecord, ...]
    protocols: tuple[Protocol, ...]

    @cached_property
    def identities(self) -> np.ndarray:
        """(N,) int64"""
        return np.array([record.identity for record in self.images], dtype=np.int64)

    @cached_property
    def cameras(self) -> np.ndarray:
        """(N,) int64"""
        return np.array([record.camera for record in self.images], dtype=np.int64)

    def unscored(self) -> Protocol | None:
        """The first protocol with a trial in which no query sees an image of its person."""
        for protocol in self.protocols:
            for trial in protocol.trials:
                queries, gallery = (
                    set(zip(self.identities[rows].tolist(), self.cameras[rows].tolist(), strict=True))
                    for rows in (trial.query, trial.gallery)
                )
                there: dict[int, list[int]] = {}
                for identity, camera in gallery:
                    there.setdefault(identity, []).append(camera)
                if not any(protocol.sees(own, camera) for who, own in queries for camera in there.get(who, ())):
                    return protocol
        return None


class ImageIndex:
    """Numbers images in the order in which they first come."""

    def __init__(self) -> None:
        self._number: dict[ImageRecord, int] = {}

    @property
    def images(self) -> tuple[ImageRecord, ...]:
        return tuple(self._number)

    def of(self, records: Iterable[ImageRecord]) -> np.ndarray:
        numbers = [self._number.setdefault(record, len(self._number)) for record in records]
        array = np.array(numbers, dtype=np.int64)
        array.setflags(write=False)
        return array
