"""Rank lists: what a model puts first for a query, where the first right one stands, and whom it fails on.

Sizes: Q queries, G gallery images, K places shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from tokenmatcher.contracts import UNKNOWN

TOP = 10
SAME_PERSON = 3  # queries of one person that may be chosen before others are looked at


@dataclass(frozen=True)
class RankList:
    """One query.

    query: its row. order: (K,) gallery rows, the most similar first. similarity: (K,) of these.
    right: (K,) whether each shows the query's person; None: nobody knows.
    first_right: place of the first right one among all images that the query sees, from 1; None: nobody knows, or none
    of them is right.
    precision: average precision; None likewise.
    """

    query: int
    order: tuple[int, ...]
    similarity: tuple[float, ...]
    right: tuple[bool, ...] | None
    first_right: int | None
    precision: float | None


def rank_lists(
    similarity: np.ndarray,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    *,
    excluded_cameras: Collection[tuple[int, int]] = (),
    own_camera_excluded: bool = False,
    top: int = TOP,
) -> list[RankList]:
    """Of every query; what a query may not see is not in its list, see `evaluation.metrics.cross_modality_scores`.

    Args:
        similarity: (Q, G), the larger the nearer; of equals the lower row comes first.
        query_ids, gallery_ids: UNKNOWN where nobody knows.
    """
    found = []
    hidden_from: dict[int, list[int]] = {}
    for q, g in excluded_cameras:
        hidden_from.setdefault(q, []).append(g)
    for row in range(len(similarity)):
        identity, camera = int(query_ids[row]), int(query_cameras[row])
        seen = ~np.isin(gallery_cameras, hidden_from.get(camera, []))
        if own_camera_excluded:
            seen &= (gallery_ids != identity) | (gallery_cameras != camera)
        columns = np.flatnonzero(seen)
        order = columns[np.argsort(-similarity[row, columns], kind="stable")]
        shown = order[:top]
        known = identity != UNKNOWN
        places = np.flatnonzero(gallery_ids[order] == identity) + 1 if known else np.empty(0, dtype=np.int64)
        found.append(
            RankList(
                row,
                tuple(shown.tolist()),
                tuple(similarity[row, shown].tolist()),
                tuple((gallery_ids[shown] == identity).tolist()) if known else None,
                int(places[0]) if len(places) else None,
                float((np.arange(1, len(places) + 1) / places).mean()) if len(places) else None,
            )
        )
    return found


def chosen(lists: Sequence[RankList], query_ids: np.ndarray, count: int) -> dict[str, list[RankList]]:
    """A third of `count` each: "best", "median" and "worst" by average precision, without a query twice; at most
    `SAME_PERSON` of a person while there are others. Where nobody knows who is on the pictures: by the similarity of
    the first place, "surest", "median", "least sure".

    Queries whose person is not in the gallery are left out.
    """
    known = [one for one in lists if one.precision is not None]
    names = ("best", "median", "worst")
    if known:
        order = sorted(known, key=lambda one: (-(one.precision or 0), one.first_right or 0, one.query))
    else:
        names = ("surest", "median", "least sure")
        unknown = [one for one in lists if one.right is None and one.order]
        order = sorted(unknown, key=lambda one: (-one.similarity[0], one.query))
    if len(order) <= count:
        third = -(-len(order) // 3)
        cuts = (order[:third], order[third : len(order) - third], order[len(order) - third :])
        return dict(zip(names, map(list, cuts), strict=True)) if len(order) > 1 else {names[0]: list(order)}
    each = [count // 3 + (part < count % 3) for part in range(3)]
    best = _varied(order, each[0], query_ids)
    taken = {one.query for one in best}
    worst = _varied([one for one in reversed(order) if one.query not in taken], each[2], query_ids)
    taken |= {one.query for one in worst}
    middle = len(order) // 2
    outwards = sorted(range(len(order)), key=lambda place: (abs(place - middle), place))
    median = _varied([order[place] for place in outwards if order[place].query not in taken], each[1], query_ids)
    median.sort(key=order.index)
    return dict(zip(names, (best, median, worst), strict=True))


def _varied(order: Sequence[RankList], count: int, query_ids: np.ndarray) -> list[RankList]:
    """The first `count`, passing over people of whom there are enough until nobody else is left."""
    taken: list[RankList] = []
    seen: dict[int, int] = {}
    for one in order:
        person = int(query_ids[one.query])
        if person == UNKNOWN or seen.get(person, 0) < SAME_PERSON:
            seen[person] = seen.get(person, 0) + 1
            taken.append(one)
    chosen_rows = {one.query for one in taken[:count]}
    rest = [one for one in order if one.query not in chosen_rows]
    return (taken[:count] + rest)[:count]


@dataclass(frozen=True)
class Person:
    """How well one person is found: queries, share whose first place is right, mean average precision, and who stands
    first most often where the first place is wrong."""

    identity: int
    queries: int
    rank1: float
    mAP: float
    taken_for: int | None


def people(lists: Sequence[RankList], query_ids: np.ndarray, gallery_ids: np.ndarray) -> list[Person]:
    """Of everybody who has a match, the hardest first."""
    of: dict[int, list[RankList]] = {}
    for one in lists:
        if one.precision is not None:
            of.setdefault(int(query_ids[one.query]), []).append(one)
    found = []
    for identity, own in of.items():
        wrong = [int(gallery_ids[one.order[0]]) for one in own if one.first_right != 1]
        names, counts = np.unique(wrong, return_counts=True)
        found.append(
            Person(
                identity,
                len(own),
                float(np.mean([one.first_right == 1 for one in own])),
                float(np.mean([one.precision or 0 for one in own])),
                int(names[counts.argmax()]) if len(names) else None,
            )
        )
    return sorted(found, key=lambda person: (person.mAP, person.identity))
