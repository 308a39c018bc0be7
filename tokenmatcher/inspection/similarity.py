"""How similar pictures of one person and of two are, within and across the modalities.

Sizes: N images of a modality, L pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tokenmatcher.contracts import UNKNOWN, ImageRecord, Modality
from tokenmatcher.evaluation.calibration import PAIRS, pair_name
from tokenmatcher.evaluation.threshold import Point, Side, operating_points, pairs_of

BINS = 50
FALSE_ACCEPT, DRAWS = 0.01, 100
EDGES = np.linspace(-1, 1, 2 * BINS + 1)


@dataclass(frozen=True)
class Similarities:
    """Of one pair of modalities.

    same, different: shares of the pairs between `EDGES`; empty where there is no such pair. `different` holds all pairs
    where nobody knows who is on the pictures.
    counts: pairs of each kind. overlap: what the two histograms have in common, 0..1; None where one is empty.
    point: a threshold measured on these pairs; None: too few.
    """

    pair: str
    same: np.ndarray
    different: np.ndarray
    counts: tuple[int, int]
    overlap: float | None
    point: Point | None


def similarities(
    features: Mapping[Modality, Tensor],
    records: Mapping[Modality, Sequence[ImageRecord]],
    *,
    excluded_cameras: Collection[tuple[int, int]] = (),
    cameras_apart: bool,
    seed: int = 0,
    measure: bool = True,
) -> list[Similarities]:
    """Of every pair of modalities that has pairs, as `tokenmatcher calibrate` takes them: two cameras saw them.

    Args:
        features: (N, D) unit features.
        cameras_apart: whether cameras of the two modalities with one number are different ones (RegDB: both are 1).
        measure: a threshold, too.
    """
    people = _people(records)
    sides = {
        m: Side(features[m].float(), people[m], _cameras(records[m], apart=cameras_apart and m is Modality.INFRARED))
        for m in Modality
    }
    found = []
    for one, other in PAIRS:
        same, different = pairs_of(
            sides[one], None if one is other else sides[other], excluded_cameras=excluded_cameras
        )
        if not len(same) and not len(different):
            continue
        shares = [_shares(pairs.similarity) for pairs in (same, different)]
        points = []
        if measure and len(same) and len(different):
            points = operating_points(same, different, [FALSE_ACCEPT], draws=DRAWS, seed=seed)
        found.append(
            Similarities(
                pair_name(one, other),
                shares[0],
                shares[1],
                (len(same), len(different)),
                float(np.minimum(*shares).sum()) if len(same) and len(different) else None,
                points[0] if points else None,
            )
        )
    return found


def drawn(records: Sequence[ImageRecord], most: int, seed: int) -> np.ndarray:
    """Rows of at most so many of the images whose person is known (of all, where nobody is), in order."""
    known = np.array([record.identity for record in records]) != UNKNOWN
    rows = np.flatnonzero(known) if known.any() else np.arange(len(records))
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _people(records: Mapping[Modality, Sequence[ImageRecord]]) -> dict[Modality, np.ndarray]:
    """(N,) numbered from 0 over both modalities; where nobody is known, everybody is somebody else."""
    everybody = np.array([record.identity for m in Modality for record in records[m]], dtype=np.int64)
    unknown = everybody == UNKNOWN
    everybody[unknown] = everybody.max(initial=0) + 1 + np.arange(int(unknown.sum()))
    numbers = np.unique(everybody, return_inverse=True)[1]
    cut = len(records[Modality.VISIBLE])
    return {Modality.VISIBLE: numbers[:cut], Modality.INFRARED: numbers[cut:]}


def _cameras(records: Sequence[ImageRecord], *, apart: bool) -> np.ndarray:
    cameras = np.array([record.camera for record in records], dtype=np.int64)
    return -1 - cameras if apart else cameras


def _shares(similarity: np.ndarray) -> np.ndarray:
    counts = np.histogram(np.clip(similarity, -1, 1), bins=EDGES)[0]
    return counts / max(1, len(similarity))
