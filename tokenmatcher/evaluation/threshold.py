"""From which similarity on two pictures show one person, at a chosen rate of false accepts.

A genuine pair shows one person, an impostor pair two; in both, two cameras saw them. Of a threshold the false accepts
are the share of impostor pairs that reach it, the true accepts that of genuine pairs. Pairs with a person in common
are not independent, so intervals come from drawing people with replacement, not pairs (the subsets bootstrap: Bolle,
Ratha, Pankanti, "Error analysis of pattern recognition systems", CVIU 2004).

Legend: N pictures, L pairs, P people.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

CERTAINTY = 0.95  # of an interval
TOP = 3.0  # times the largest rate: the share of impostor pairs that a draw of people looks at first


@dataclass(frozen=True)
class Side:
    """(N, D) unit features, and (N,) int64 of whom, 0..P-1, and by which camera."""

    features: Tensor
    people: np.ndarray
    cameras: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """(L,) similarities, the largest first, and the (L, 2) people of each pair."""

    similarity: np.ndarray
    people: np.ndarray

    def __len__(self) -> int:
        return len(self.similarity)


@dataclass(frozen=True)
class Point:
    """A threshold: pairs of at least this similarity are taken for one person.

    false_accept: at most this share of the impostor pairs is accepted.
    low, high: of the threshold, with `CERTAINTY`.
    true_accept: share of the genuine pairs accepted; true_low, true_high: of it.
    """

    false_accept: float
    threshold: float
    low: float
    high: float
    true_accept: float
    true_low: float
    true_high: float


def pairs_of(
    one: Side, other: Side | None = None, *, excluded_cameras: Collection[tuple[int, int]] = ()
) -> tuple[Pairs, Pairs]:
    """Genuine and impostor pairs of two sides, or within one: of two cameras that are not of `excluded_cameras`."""
    second = one if other is None else other
    allowed = one.cameras[:, None] != second.cameras[None]
    for a, b in excluded_cameras:
        for x, y in ((a, b), (b, a)):
            allowed &= ~((one.cameras == x)[:, None] & (second.cameras == y)[None])
    if other is None:
        allowed &= np.triu(np.ones_like(allowed), 1)
    similarity = (one.features @ second.features.T).numpy()
    same = one.people[:, None] == second.people[None]
    return (
        _sorted(similarity, one.people, second.people, allowed & same),
        _sorted(similarity, one.people, second.people, allowed & ~same),
    )


def _sorted(similarity: np.ndarray, first: np.ndarray, second: np.ndarray, kept: np.ndarray) -> Pairs:
    rows, columns = np.nonzero(kept)
    values = similarity[rows, columns]
    order = np.argsort(-values, kind="stable")
    return Pairs(values[order], np.stack([first[rows[order]], second[columns[order]]], axis=1))


def operating_points(
    genuine: Pairs, impostor: Pairs, false_accepts: Sequence[float], *, draws: int = 200, seed: int = 0
) -> list[Point]:
    """A threshold for each rate that the impostor pairs are enough to measure (at least one of them may pass).

    Args:
        draws: of people with replacement, for the intervals; the percentiles of what they give.

    Raises:
        ValueError: no genuine pair, no impostor pair, a rate outside 0..1, or no draw.
    """
    if not len(genuine) or not len(impostor):
        raise ValueError(f"needs genuine and impostor pairs, got {len(genuine)} and {len(impostor)}")
    if draws < 1 or not all(0 < rate < 1 for rate in false_accepts):
        raise ValueError("needs rates between 0 and 1, and at least one draw")
    rates = [rate for rate in false_accepts if rate * len(impostor) >= 1]
    if not rates:
        return []
    scale = _Scale(genuine, impostor, max(rates))
    thresholds, accepted = scale.measured(rates, np.ones(scale.people, dtype=np.int64))
    redrawn = np.array([scale.measured(rates, times) for times in scale.drawn(draws, seed)])  # (draws, 2, rates)
    tail = (1 - CERTAINTY) / 2
    (low, true_low), (high, true_high) = np.quantile(redrawn, [tail, 1 - tail], axis=0)
    columns = zip(rates, thresholds, low, high, accepted, true_low, true_high, strict=True)
    return [Point(*map(float, column)) for column in columns]


class _Scale:
    """Thresholds where each person counts some number of times."""

    def __init__(self, genuine: Pairs, impostor: Pairs, largest: float) -> None:
        self.genuine, self.impostor = genuine, impostor
        self.people = int(max(genuine.people.max(), impostor.people.max())) + 1
        self.top = min(len(impostor), int(TOP * largest * len(impostor)) + 1)
        code = impostor.people[:, 0] * self.people + impostor.people[:, 1]
        self.counts = np.bincount(code, minlength=self.people**2).reshape(self.people, self.people)

    def drawn(self, draws: int, seed: int) -> Iterator[np.ndarray]:
        """(P,) how often each person is drawn, so often that there is a genuine and an impostor pair."""
        random = np.random.default_rng(seed)
        present = np.unique(np.concatenate([self.genuine.people.ravel(), self.impostor.people.ravel()]))
        while draws:
            times = np.bincount(random.choice(present, len(present)), minlength=self.people)
            if times @ self.counts @ times and times[self.genuine.people[:, 0]].any():
                draws -= 1
                yield times

    def measured(self, rates: Sequence[float], times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rates,) thresholds, and (rates,) the true accepts at them."""
        most = np.array(rates) * (times @ self.counts @ times)
        weights = self._weights(self.top, times)
        if weights[-1] <= most.max():
            weights = self._weights(len(self.impostor), times)
        # The first pair that must not pass; a threshold just above it also keeps out its equals.
        barred = self.impostor.similarity[np.searchsorted(weights, most, side="right")]
        thresholds = np.nextafter(barred, np.float32(np.inf), dtype=np.float32)
        own = np.concatenate([[0], np.cumsum(times[self.genuine.people[:, 0]])])
        passing = np.searchsorted(-self.genuine.similarity, -thresholds, side="right")
        return thresholds, own[passing] / own[-1]

    def _weights(self, count: int, times: np.ndarray) -> np.ndarray:
        """Summed from the most similar pair on."""
        people = self.impostor.people[:count]
        return np.cumsum(times[people[:, 0]] * times[people[:, 1]])
