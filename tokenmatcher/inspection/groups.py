"""What a clustering is like, and which clusters of one modality were taken for which of the other.

Legend: N images of a modality, K its clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tokenmatcher.contracts import UNKNOWN, ClusterMatch, Modality, PseudoLabels
from tokenmatcher.evaluation.diagnostics import majority_identities


@dataclass(frozen=True)
class Group:
    """A cluster.

    rows: its images. person: whom most of the known ones show, UNKNOWN where nobody is known. right: how many of the
    known ones show that person. known: how many are known.
    cameras: how many images by each.
    """

    modality: Modality
    number: int
    rows: tuple[int, ...]
    person: int
    right: int
    known: int
    cameras: Mapping[int, int]

    @property
    def purity(self) -> float | None:
        return self.right / self.known if self.known else None

    @property
    def wrong(self) -> int:
        return self.known - self.right


@dataclass(frozen=True)
class Shared:
    """A cluster of the smaller modality and those of the larger that were matched to it.

    right: of these, how many have the same majority person; None: nobody knows.
    """

    partner: Group
    guests: tuple[Group, ...]
    right: int | None


def groups(modality: Modality, labels: PseudoLabels, identities: np.ndarray, cameras: np.ndarray) -> list[Group]:
    """By number.

    Args:
        identities, cameras: (N,) of the images.
    """
    majority = majority_identities(labels, identities)
    found = []
    for number in range(labels.num_clusters):
        rows = np.flatnonzero(labels.labels == number)
        known = identities[rows] != UNKNOWN
        names, counts = np.unique(cameras[rows], return_counts=True)
        found.append(
            Group(
                modality,
                number,
                tuple(rows.tolist()),
                int(majority[number]),
                int((identities[rows][known] == majority[number]).sum()),
                int(known.sum()),
                dict(zip(names.tolist(), counts.tolist(), strict=True)),
            )
        )
    return found


def shared(match: ClusterMatch, of: Mapping[Modality, list[Group]]) -> list[Shared]:
    """Of every cluster of the smaller modality that is somebody's partner, most guests first."""
    own, other = match.larger, match.larger.other
    found = []
    for partner in of[other]:
        guests = tuple(of[own][k] for k in np.flatnonzero(match.partner[own] == partner.number).tolist())
        if not guests:
            continue
        known = [guest for guest in guests if guest.person != UNKNOWN and partner.person != UNKNOWN]
        right = sum(guest.person == partner.person for guest in known) if known else None
        found.append(Shared(partner, guests, right))
    return sorted(found, key=lambda one: (-len(one.guests), one.partner.number))


def mistakes(of: list[Group], count: int) -> list[Group]:
    """The clusters with most images of somebody else, at most `count`; of equals the larger, then the lower number."""
    wrong = [one for one in of if one.wrong]
    return sorted(wrong, key=lambda one: (-one.wrong, -len(one.rows), one.number))[:count]


def split(of: list[Group], identities: np.ndarray) -> dict[int, int]:
    """How many clusters have each known person for their majority: 0 for people whom no cluster stands for."""
    counts = dict.fromkeys(np.unique(identities[identities != UNKNOWN]).tolist(), 0)
    for one in of:
        if one.person != UNKNOWN:
            counts[one.person] += 1
    return counts
