import math

import numpy as np
import pytest
import torch
from counted import calls
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmatcher.evaluation import metrics
from tokenmatcher.evaluation.metrics import Scores, cross_modality_scores, mean_scores


def slow_scores(similarity, query_ids, gallery_ids, query_cameras, gallery_cameras, excluded, distinct, own=False):
    """One query after the other, as the rules are told; None if no query has a match."""
    firsts, precisions, penalties = [], [], []
    for q in range(len(query_ids)):
        seen = [g for g in range(len(gallery_ids)) if (query_cameras[q], gallery_cameras[g]) not in excluded]
        if own:
            views = list(zip(gallery_ids, gallery_cameras, strict=True))
            seen = [g for g in seen if views[g] != (query_ids[q], query_cameras[q])]
        seen.sort(key=lambda g: -similarity[q][g])
        ranked = [gallery_ids[g] for g in seen]
        if query_ids[q] not in ranked:
            continue
        places = [rank for rank, identity in enumerate(ranked, start=1) if identity == query_ids[q]]
        persons = list(dict.fromkeys(ranked))
        firsts.append(1 + persons.index(query_ids[q]) if distinct else places[0])
        precisions.append(sum(k / place for k, place in enumerate(places, start=1)) / len(places))
        penalties.append(len(places) / places[-1])
    if not firsts:
        return None
    cmc = [sum(first <= rank for first in firsts) / len(firsts) for rank in range(1, 21)]
    return cmc, sum(precisions) / len(firsts), sum(penalties) / len(firsts)


def random_case(seed, num_queries=12, num_gallery=30, num_ids=8):
    rng = np.random.default_rng(seed)
    return (
        rng.permutation(num_queries * num_gallery).reshape(num_queries, num_gallery) / 7.0,
        rng.integers(0, num_ids, num_queries),
        rng.integers(0, num_ids, num_gallery),
        rng.choice([3, 6], num_queries),
        rng.choice([1, 2, 4, 5], num_gallery),
    )


def assert_equal(scores, other):
    """Means of fewer than 10,000 shares in double precision, in any order."""
    np.testing.assert_allclose(scores.cmc, other.cmc, rtol=0, atol=1e-12)
    assert scores.mAP == pytest.approx(other.mAP, abs=1e-12)
    assert scores.mINP == pytest.approx(other.mINP, abs=1e-12)


# The published program's means are of float32 shares.
PUBLISHED = 1e-6


def test_golden_sysu_rule(golden):
    data = golden("metrics")
    scores = cross_modality_scores(
        -data["sysu_distance"],
        data["sysu_query_pid"],
        data["sysu_gallery_pid"],
        data["sysu_query_cam"],
        data["sysu_gallery_cam"],
        excluded_cameras={(3, 2)},
        distinct_identities=True,
    )
    np.testing.assert_allclose(scores.cmc, data["sysu_cmc"], rtol=0, atol=PUBLISHED)
    assert scores.mAP == pytest.approx(float(data["sysu_map"]), abs=PUBLISHED)
    assert scores.mINP == pytest.approx(float(data["sysu_minp"]), abs=PUBLISHED)


def test_golden_regdb_rule(golden):
    data = golden("metrics")
    ids = data["regdb_query_pid"], data["regdb_gallery_pid"]
    scores = cross_modality_scores(-data["regdb_distance"], *ids, distinct_identities=False)
    np.testing.assert_allclose(scores.cmc, data["regdb_cmc"], rtol=0, atol=PUBLISHED)
    assert scores.mAP == pytest.approx(float(data["regdb_map"]), abs=PUBLISHED)
    assert scores.mINP == pytest.approx(float(data["regdb_minp"]), abs=PUBLISHED)


@st.composite
def cases(draw):
    num_queries, num_gallery = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    levels = draw(st.sampled_from([1, 3, 1000]))

    def numbers(low, high, count):
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    similarity = np.array(numbers(0, levels, num_queries * num_gallery)).reshape(num_queries, num_gallery) / 8
    ids = [np.array(numbers(0, draw(st.integers(0, 6)), count)) for count in (num_queries, num_gallery)]
    cameras = np.array(numbers(1, 3, num_queries)), np.array(numbers(1, 3, num_gallery))
    excluded = draw(st.sets(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=3))
    return (
        similarity.astype(draw(st.sampled_from([np.float32, np.float64]))),
        *ids,
        *cameras,
        excluded,
        draw(st.booleans()),
        draw(st.booleans()),
    )


@settings(deadline=None, max_examples=300)
@given(cases())
def test_equals_the_slow_loop(case):
    *arrays, excluded, distinct, own = case
    expected = slow_scores(*arrays, excluded, distinct, own)
    rule = {"excluded_cameras": excluded, "own_camera_excluded": own, "distinct_identities": distinct}
    if expected is None:
        with pytest.raises(ValueError, match="no query has a match"):
            cross_modality_scores(*arrays, **rule)
        return
    scores = cross_modality_scores(*arrays, **rule)
    assert_equal(scores, Scores(*expected))


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("levels", [2, 10**6])
def test_blocks_make_no_difference(monkeypatch, distinct, levels):
    similarity, *rest = random_case(0, num_queries=50)
    similarity = np.floor(similarity / similarity.max() * levels)
    options = {"excluded_cameras": {(3, 2), (6, 1)}, "distinct_identities": distinct}
    whole = cross_modality_scores(similarity, *rest, **options)
    assert_equal(whole, Scores(*slow_scores(similarity, *rest, {(3, 2), (6, 1)}, distinct)))
    monkeypatch.setattr(metrics, "_BLOCK_ELEMENTS", 70)
    assert_equal(cross_modality_scores(similarity, *rest, **options), whole)


@pytest.mark.parametrize("distinct", [True, False])
def test_perfect_ranking(distinct):
    ids = np.repeat(np.arange(30), 4)
    similarity = (ids[:, None] == ids).astype(np.float32)
    scores = cross_modality_scores(similarity, ids, ids, distinct_identities=distinct)
    assert (scores.cmc == 1).all() and scores.mAP == scores.mINP == 1


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_invariants(seed, distinct):
    similarity, *rest = random_case(seed)
    options = {"excluded_cameras": {(3, 2)}, "distinct_identities": distinct}
    scores = cross_modality_scores(similarity, *rest, **options)
    assert (np.diff(scores.cmc) >= 0).all() and scores.cmc[0] >= 0 and scores.cmc[-1] <= 1

    query_ids, gallery_ids, query_cameras, gallery_cameras = rest
    rng = np.random.default_rng(seed)
    q, g = rng.permutation(len(query_ids)), rng.permutation(len(gallery_ids))
    shuffled = similarity[q][:, g], query_ids[q], gallery_ids[g], query_cameras[q], gallery_cameras[g]
    assert_equal(cross_modality_scores(*shuffled, **options), scores)
    assert_equal(cross_modality_scores(np.arctan(similarity / 100), *rest, **options), scores)
    assert_equal(cross_modality_scores(torch.from_numpy(similarity), *rest, **options), scores)


@pytest.mark.parametrize("seed", range(5))
def test_counting_persons_never_ranks_worse_than_counting_images(seed):
    similarity, *rest = random_case(seed)
    persons, images = (cross_modality_scores(similarity, *rest, distinct_identities=d) for d in (True, False))
    assert (persons.cmc >= images.cmc).all()
    assert (persons.mAP, persons.mINP) == (images.mAP, images.mINP)


@pytest.mark.parametrize("seed", range(5))
def test_with_one_match_each_both_means_are_the_reciprocal_rank(seed):
    similarity, query_ids, *_ = random_case(seed, num_gallery=8)
    similarity = similarity[:, :8]
    scores = cross_modality_scores(similarity, query_ids, np.arange(8), distinct_identities=False)
    assert scores.mAP == pytest.approx(scores.mINP)
    assert scores.mAP >= scores.rank1


def test_inverse_penalty_may_exceed_average_precision():
    similarity, gallery_ids = -np.arange(11.0)[None], np.array([0] * 9 + [1, 1])
    scores = cross_modality_scores(similarity, np.array([1]), gallery_ids, distinct_identities=False)
    assert scores.mAP == pytest.approx((1 / 10 + 2 / 11) / 2)
    assert scores.mINP == pytest.approx(2 / 11)


def test_exclusion_hides_the_camera_whoever_it_shows():
    similarity = np.array([[0.9, 0.8, 0.7]])
    arguments = similarity, np.array([1]), np.array([0, 1, 1]), np.array([3]), np.array([2, 2, 4])
    seen = cross_modality_scores(*arguments, distinct_identities=True)
    assert (seen.rank1, seen.mINP) == (0, pytest.approx(2 / 3))
    hidden = cross_modality_scores(*arguments, excluded_cameras={(3, 2)}, distinct_identities=True)
    assert hidden.rank1 == hidden.mAP == hidden.mINP == 1


def test_queries_without_a_match_do_not_count():
    similarity, ids = np.eye(3), np.array([0, 1, 9])
    scores = cross_modality_scores(similarity, ids, np.array([0, 1, 2]), distinct_identities=False)
    assert scores.rank1 == scores.mAP == 1


def test_short_gallery_keeps_the_last_value():
    similarity = np.array([[3.0, 2.0], [3.0, 2.0]])
    scores = cross_modality_scores(similarity, np.array([0, 1]), np.array([0, 1]), distinct_identities=True)
    assert scores.cmc.tolist() == [0.5] + [1.0] * 19


def test_low_precision_and_integer_similarity():
    similarity, *rest = random_case(1)
    ranks = similarity.argsort(axis=1).argsort(axis=1)
    expected = cross_modality_scores(similarity, *rest, distinct_identities=False)
    for given_as in (ranks, ranks.astype(np.float16), torch.from_numpy(ranks).bfloat16()):
        assert_equal(cross_modality_scores(given_as, *rest, distinct_identities=False), expected)


def test_similarity_is_not_written_to():
    similarity, *rest = random_case(2)
    before = similarity.copy()
    cross_modality_scores(similarity, *rest, excluded_cameras={(3, 2)}, distinct_identities=True)
    assert np.array_equal(similarity, before)


def test_inputs_that_do_not_fit():
    similarity, query_ids, gallery_ids, query_cameras, gallery_cameras = random_case(0)
    faults = [
        ((similarity[0], query_ids, gallery_ids), "similarity must be"),
        ((similarity, query_ids[1:], gallery_ids), "query_ids"),
        ((similarity, gallery_ids, query_ids), "query_ids"),
        ((similarity, query_ids, gallery_ids[:, None]), "gallery_ids"),
        ((similarity, query_ids, gallery_ids), "excluding cameras needs"),
        ((similarity, query_ids, gallery_ids, query_cameras, query_cameras), "gallery_cameras"),
        (
            (np.where(similarity > 3, np.nan, similarity), query_ids, gallery_ids, query_cameras, gallery_cameras),
            "finite",
        ),
        ((similarity, query_ids + 100, gallery_ids, query_cameras, gallery_cameras), "no query has a match"),
        ((similarity[:0], query_ids[:0], gallery_ids, query_cameras[:0], gallery_cameras), "no query has a match"),
        ((similarity[:, :0], query_ids, gallery_ids[:0], query_cameras, gallery_cameras[:0]), "no query has a match"),
    ]
    for arguments, complaint in faults:
        with pytest.raises(ValueError, match=complaint):
            cross_modality_scores(*arguments, excluded_cameras={(3, 2)}, distinct_identities=True)


def test_scores_by_name_and_their_mean():
    first = Scores(np.linspace(0.05, 1, 20), 0.4, 0.2)
    second = Scores(np.ones(20), 0.6, 0.4)
    assert first.to_dict() == pytest.approx(
        {"rank1": 0.05, "rank5": 0.25, "rank10": 0.5, "rank20": 1.0, "mAP": 0.4, "mINP": 0.2}
    )
    mean = mean_scores([first, second])
    assert (mean.rank1, mean.mAP, mean.mINP) == pytest.approx((0.525, 0.5, 0.3))
    assert_equal(mean_scores([first]), first)
    with pytest.raises(ValueError, match="no scores"):
        mean_scores([])
    with pytest.raises(ValueError, match="length"):
        mean_scores([first, Scores(np.ones(25), 0.5, 0.5)])


@pytest.mark.parametrize(
    "arguments",
    [
        (np.ones(19), 0.5, 0.5),
        (np.linspace(1, 0, 20), 0.5, 0.5),
        (np.ones(20), 50.0, 0.5),
        (np.ones(20), 0.5, math.nan),
    ],
)
def test_impossible_scores_are_refused(arguments):
    with pytest.raises(ValueError):
        Scores(*arguments)


@pytest.mark.parametrize(("num_queries", "num_gallery", "distinct"), [(3803, 301, True), (2060, 2060, False)])
def test_full_size_takes_no_query_by_itself(num_queries, num_gallery, distinct):
    """Counted is what Python calls, which no machine's speed changes: a loop over queries is several calls for each."""
    rng = np.random.default_rng(0)
    similarity = rng.standard_normal((num_queries, num_gallery), dtype=np.float32)
    query_ids, gallery_ids = rng.integers(0, 96, num_queries), rng.integers(0, 96, num_gallery)
    cameras = rng.choice([3, 6], num_queries), rng.choice([1, 2, 4, 5], num_gallery)
    excluded = {(3, 2)} if distinct else set()
    arguments = similarity, query_ids, gallery_ids, *cameras
    number = calls(lambda: cross_modality_scores(*arguments, excluded_cameras=excluded, distinct_identities=distinct))
    assert 0 < number < num_queries
