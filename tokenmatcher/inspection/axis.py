"""Epochs of several runs on one axis: the same stage, and the same camera of it, in the same place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tokenmatcher.inspection.folder import Epoch

Part = tuple[str, int | None, tuple[str, ...]]  # of `Epoch.part`


@dataclass(frozen=True)
class Band:
    """Places first..last of the axis belong to one stage, or one camera of it."""

    first: int
    last: int
    part: Part

    @property
    def stage(self) -> str:
        return self.part[0]

    @property
    def camera(self) -> int | None:
        return self.part[1]


def bands(runs: Sequence[Sequence[Epoch]]) -> list[Band]:
    """Without gaps, from 0: each as wide as in the run that has most epochs of it. What a later run alone has stands
    behind what it follows there."""
    order: list[Part] = []
    widest: dict[Part, int] = {}
    for epochs in runs:
        place = 0
        for key, count in Counter(epoch.part for epoch in epochs).items():
            if key in widest:
                place = order.index(key)
            else:
                order.insert(place, key)
            place += 1
            widest[key] = max(count, widest.get(key, 0))
    found, first = [], 0
    for key in order:
        found.append(Band(first, first + widest[key] - 1, key))
        first += widest[key]
    return found


def places(epochs: Sequence[Epoch], of: Sequence[Band]) -> list[int]:
    """Of each epoch of a run its place on the axis."""
    following = {band.part: band.first for band in of}
    found = []
    for epoch in epochs:
        found.append(following[epoch.part])
        following[epoch.part] += 1
    return found
