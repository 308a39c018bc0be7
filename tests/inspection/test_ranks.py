from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokenmatcher.contracts import UNKNOWN
from tokenmatcher.inspection.ranks import SAME_PERSON, chosen, people, rank_lists


def world(seed, queries=6, gallery=9, people=3):
    rng = np.random.default_rng(seed)
    similarity = rng.integers(-3, 4, (queries, gallery)) / 4  # with ties
    ids = [rng.integers(0, people, count) for count in (queries, gallery)]
    cameras = [rng.integers(1, 4, count) for count in (queries, gallery)]
    return similarity, *ids, *cameras


def slowly(similarity, query_ids, gallery_ids, query_cameras, gallery_cameras, excluded, own):
    """Row by row, image by image."""
    found = []
    for q in range(len(similarity)):
        seen = []
        for g in range(len(gallery_ids)):
            if (query_cameras[q], gallery_cameras[g]) in excluded:
                continue
            if own and gallery_ids[g] == query_ids[q] and gallery_cameras[g] == query_cameras[q]:
                continue
            seen.append(g)
        seen.sort(key=lambda g: (-similarity[q, g], g))
        hits = [place for place, g in enumerate(seen, start=1) if gallery_ids[g] == query_ids[q]]
        precision = sum(n / place for n, place in enumerate(hits, start=1)) / len(hits) if hits else None
        found.append((seen, hits[0] if hits else None, precision))
    return found


@given(st.integers(0, 9999), st.booleans(), st.booleans())
def test_lists_against_a_loop(seed, excluding, own):
    values = world(seed)
    excluded = {(1, 2), (3, 3)} if excluding else set()
    made = rank_lists(*values, excluded_cameras=excluded, own_camera_excluded=own, top=4)
    for one, (order, first, precision) in zip(made, slowly(*values, excluded, own), strict=True):
        assert list(one.order) == order[:4]
        assert one.first_right == first
        assert (one.precision is None) == (precision is None)
        if precision is not None:
            assert abs(one.precision - precision) < 1e-12
        assert list(one.similarity) == [values[0][one.query, g] for g in order[:4]]
        assert list(one.right) == [values[2][g] == values[1][one.query] for g in order[:4]]


def test_where_nobody_is_known_nothing_is_right_or_wrong():
    similarity, _, gallery_ids, *cameras = world(1)
    unknown = np.full(len(similarity), UNKNOWN)
    lists = rank_lists(similarity, unknown, np.full(len(gallery_ids), UNKNOWN), *cameras)
    assert all(one.right is None and one.first_right is None and one.precision is None for one in lists)
    groups = chosen(lists, unknown, 3)
    assert list(groups) == ["surest", "median", "least sure"]
    assert groups["surest"][0].similarity[0] == max(one.similarity[0] for one in lists)
    assert people(lists, unknown, gallery_ids) == []


@given(st.integers(0, 9999), st.integers(3, 30))
def test_best_median_and_worst_are_what_they_are_called(seed, count):
    values = world(seed, queries=40, people=12)
    lists = rank_lists(*values)
    groups = chosen(lists, values[1], count)
    rows = [one.query for own in groups.values() for one in own]
    able = [one for one in lists if one.precision is not None]
    assert len(rows) == len(set(rows)) == min(count, len(able))
    assert groups["best"][0].precision == max(one.precision for one in able)
    assert min(one.precision for one in groups["worst"]) == min(one.precision for one in able)
    left = {values[1][one.query] for one in able if one.query not in rows}
    for own in groups.values():
        of = Counter(values[1][one.query] for one in own)
        enough = all(of[person] >= SAME_PERSON for person in left)  # of everybody who could stand there
        assert max(of.values(), default=0) <= SAME_PERSON or enough


def test_one_query_is_the_best():
    values = world(3, queries=1, people=1)
    assert [len(own) for own in chosen(rank_lists(*values), values[1], 9).values()] == [1]


def test_the_hardest_people_come_first_and_whom_they_are_taken_for():
    similarity = np.array([[0.9, 0.1, 0.5], [0.1, 0.9, 0.5], [0.2, 0.8, 0.1]])
    lists = rank_lists(similarity, np.array([1, 2, 1]), np.array([1, 2, 3]), np.ones(3), np.ones(3))
    hardest, easiest = people(lists, np.array([1, 2, 1]), np.array([1, 2, 3]))
    assert (hardest.identity, hardest.queries, hardest.rank1, hardest.mAP, hardest.taken_for) == (1, 2, 0.5, 0.75, 2)
    assert (easiest.identity, easiest.mAP, easiest.taken_for) == (2, 1.0, None)
