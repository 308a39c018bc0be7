import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmatcher.evaluation.threshold import Pairs, Side, operating_points, pairs_of


def side(count, people, cameras, seed):
    random = torch.Generator().manual_seed(seed)
    features = torch.nn.functional.normalize(torch.randn(count, 4, generator=random), dim=1)
    numbers = np.random.default_rng(seed)
    return Side(features, numbers.integers(people, size=count), numbers.integers(1, cameras + 1, size=count))


def obvious(one, other, excluded):
    """Every pair, one after the other."""
    found = {True: [], False: []}
    second = one if other is None else other
    for i in range(len(one.people)):
        for j in range(0 if other else i + 1, len(second.people)):
            cameras = int(one.cameras[i]), int(second.cameras[j])
            if cameras[0] == cameras[1] or cameras in excluded or cameras[::-1] in excluded:
                continue
            similarity = float((one.features[i] * second.features[j]).sum())
            found[one.people[i] == second.people[j]].append((similarity, one.people[i], second.people[j]))
    return found


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("excluded", [(), {(2, 3)}])
def test_pairs_are_those_of_the_obvious_loop(within, excluded):
    one, other = side(30, 5, 3, 0), None if within else side(20, 5, 3, 1)
    genuine, impostor = pairs_of(one, other, excluded_cameras=excluded)
    expected = obvious(one, other, excluded)
    for found, pairs in ((genuine, expected[True]), (impostor, expected[False])):
        assert len(found) == len(pairs) > 0
        assert (np.diff(found.similarity) <= 0).all(), "the most similar first"
        # Sums of four products of numbers below 1, in another order: a few float32 roundings.
        assert np.allclose(found.similarity, sorted((pair[0] for pair in pairs), reverse=True), atol=1e-6)
        assert sorted(map(tuple, found.people.tolist())) == sorted((int(a), int(b)) for _, a, b in pairs)


@st.composite
def measured(draw):
    """Genuine and impostor pairs, with similarities that are often equal."""
    people = draw(st.integers(2, 5))
    numbers = st.integers(-4, 4).map(lambda n: n / 4)
    genuine = draw(st.lists(st.tuples(numbers, st.integers(0, people - 1)), min_size=1, max_size=20))
    two = st.lists(st.integers(0, people - 1), min_size=2, max_size=2, unique=True)
    impostor = draw(st.lists(st.tuples(numbers, two), min_size=1, max_size=40))
    return (
        pairs([(value, (person, person)) for value, person in genuine]),
        pairs([(value, tuple(both)) for value, both in impostor]),
    )


def pairs(rows):
    rows = sorted(rows, key=lambda row: -row[0])
    return Pairs(np.array([row[0] for row in rows], dtype=np.float32), np.array([row[1] for row in rows]))


@settings(max_examples=60)
@given(measured(), st.lists(st.sampled_from([0.01, 0.1, 0.3, 0.5, 0.9]), min_size=1, max_size=3, unique=True))
def test_a_threshold_lets_pass_as_many_as_it_may(both, rates):
    genuine, impostor = both
    points = operating_points(genuine, impostor, rates, draws=5)
    assert [p.false_accept for p in points] == [rate for rate in rates if rate * len(impostor) >= 1]
    for point in points:
        most = point.false_accept * len(impostor)
        assert (impostor.similarity >= point.threshold).sum() <= most
        below = impostor.similarity[impostor.similarity < point.threshold]
        assert (impostor.similarity >= below.max()).sum() > most, "any lower one lets too many pass"
        assert point.true_accept == pytest.approx((genuine.similarity >= point.threshold).mean(), abs=1e-12)
        assert point.low <= point.high and 0 <= point.true_low <= point.true_high <= 1


def test_an_interval_is_that_of_drawing_people_and_writing_their_pairs_out():
    one, other = side(60, 8, 3, 3), side(60, 8, 3, 4)
    genuine, impostor = pairs_of(one, other)
    rate, draws, seed = 0.2, 40, 7
    (point,) = operating_points(genuine, impostor, [rate], draws=draws, seed=seed)
    random, thresholds, accepted = np.random.default_rng(seed), [], []
    while len(thresholds) < draws:
        drawn = random.choice(8, 8)
        times = np.bincount(drawn, minlength=8)
        own = np.repeat(genuine.similarity, times[genuine.people[:, 0]])
        others = np.repeat(impostor.similarity, times[impostor.people].prod(1))
        allowed = int(np.floor(rate * len(others)))
        thresholds.append(np.nextafter(others[allowed], np.float32(np.inf)))
        accepted.append((own >= thresholds[-1]).mean())
    assert [point.low, point.high] == pytest.approx(np.quantile(thresholds, [0.025, 0.975]), abs=1e-6)
    assert [point.true_low, point.true_high] == pytest.approx(np.quantile(accepted, [0.025, 0.975]), abs=1e-9)


def test_what_cannot_be_measured():
    some = pairs([(0.5, (0, 0)), (0.2, (1, 1))])
    others = pairs([(0.1, (0, 1))])
    assert operating_points(some, others, [0.5]) == []
    for genuine, impostor, rates, draws in (
        (Pairs(np.empty(0, np.float32), np.empty((0, 2), int)), others, [0.1], 5),
        (some, others, [1.0], 5),
        (some, others, [0.1], 0),
    ):
        with pytest.raises(ValueError, match="needs"):
            operating_points(genuine, impostor, rates, draws=draws)
