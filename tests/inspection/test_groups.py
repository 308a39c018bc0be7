import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokenmatcher.contracts import UNKNOWN, ClusterMatch, Modality, PseudoLabels
from tokenmatcher.inspection.groups import groups, mistakes, shared, split

VISIBLE, INFRARED = Modality


@given(st.integers(0, 9999))
def test_groups_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(4), rng.integers(-1, 4, 20)])
    identities, cameras = rng.integers(-1, 3, 24), rng.integers(1, 4, 24)
    for one in groups(VISIBLE, PseudoLabels(labels), identities, cameras):
        rows = [n for n in range(24) if labels[n] == one.number]
        known = [int(identities[n]) for n in rows if identities[n] != UNKNOWN]
        assert list(one.rows) == rows and one.known == len(known)
        assert one.cameras == {c: sum(cameras[n] == c for n in rows) for c in sorted({int(cameras[n]) for n in rows})}
        if known:
            most = max(known.count(name) for name in known)
            assert one.person == min(name for name in known if known.count(name) == most)
            assert (one.right, one.wrong, one.purity) == (most, len(known) - most, most / len(known))
        else:
            assert one.person == UNKNOWN and one.purity is None


def made(labels, identities, modality):
    return groups(modality, PseudoLabels(np.array(labels)), np.array(identities), np.ones(len(labels), dtype=np.int64))


def test_who_shares_a_partner():
    visible = made([0, 1, 2], [5, 5, 7], VISIBLE)
    infrared = made([0, 1], [5, 7], INFRARED)
    match = ClusterMatch({VISIBLE: np.array([0, 0, 0]), INFRARED: np.array([0, -1])})
    (one,) = shared(match, {VISIBLE: visible, INFRARED: infrared})
    assert [guest.number for guest in one.guests] == [0, 1, 2] and one.right == 2
    unknown = made([0, 1, 2], [UNKNOWN] * 3, VISIBLE)
    assert shared(match, {VISIBLE: unknown, INFRARED: infrared})[0].right is None


def test_the_largest_mistakes_and_split_people():
    found = made([0, 0, 0, 1, 1, 2, 2, 2], [1, 1, 2, 1, 1, 3, 4, 1], VISIBLE)
    assert [one.number for one in mistakes(found, 5)] == [2, 0]
    assert [one.number for one in mistakes(found, 1)] == [2]
    assert split(found, np.array([1, 1, 2, 1, 1, 3, 4, 1])) == {1: 3, 2: 0, 3: 0, 4: 0}
