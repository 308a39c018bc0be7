import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from tokenmatcher.contracts import UNKNOWN
from tokenmatcher.inspection.places import places, whole_people


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_any_number_of_images_has_places(count):
    found = places(normalize(torch.randn(count, 8), dim=1))
    assert found.shape == (count, 2) and np.isfinite(found).all()


def test_people_far_apart_stay_apart():
    centres = torch.eye(3)[torch.arange(30) % 3]
    found = places(normalize(centres + 0.01 * torch.randn(30, 3), dim=1), seed=1)
    middle = np.stack([found[n::3].mean(0) for n in range(3)])
    nearest = np.linalg.norm(found[:, None] - middle[None], axis=2).argmin(1)
    assert (nearest == np.arange(30) % 3).all()


def test_any_seed_of_the_flag_will_do():
    assert np.isfinite(places(normalize(torch.randn(5, 8), dim=1), seed=2**63 - 1)).all()


@given(st.lists(st.integers(0, 5), max_size=30), st.lists(st.integers(0, 5), max_size=30), st.integers(1, 40))
def test_people_are_drawn_whole(one, other, most):
    identities = [np.array(own, dtype=np.int64) for own in (one, other)]
    rows = whole_people(identities, most)
    assert sum(map(len, rows)) <= most and (sum(map(len, rows)) > 0 or not one + other)
    everybody = one + other
    shown = [identities[n][row] for n in range(2) for row in rows[n]]
    for person in set(shown):
        whole = shown.count(person) == everybody.count(person)
        assert whole or len(set(shown)) == 1, "only somebody with more images than there is room for is cut"


def test_where_nobody_is_known_images_are_drawn():
    rows = whole_people([np.full(9, UNKNOWN), np.full(5, UNKNOWN)], 6)
    assert sum(map(len, rows)) == 6
