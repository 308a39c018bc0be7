import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import INFRARED, VISIBLE, WORLDS

from tokenmatcher.mining.matchers.sinkhorn import match, transport


def slow_transport(similarity, regularisation, rounds):
    """Numbers as they are, one at a time."""
    num_rows, num_columns = similarity.shape
    kernel = [[math.exp(s / regularisation) for s in row] for row in similarity.tolist()]
    right = [1.0] * num_columns
    for _ in range(rounds):
        left = [1 / num_rows / sum(k * r for k, r in zip(row, right, strict=True)) for row in kernel]
        right = [1 / num_columns / sum(left[i] * kernel[i][j] for i in range(num_rows)) for j in range(num_columns)]
    return np.array([[left[i] * kernel[i][j] * right[j] for j in range(num_columns)] for i in range(num_rows)])


@settings(max_examples=30)
@given(st.integers(0, 9999), st.integers(1, 6), st.integers(1, 6))
def test_is_the_slow_loop(seed, rows, columns):
    """In double precision: 1e-8 is a hundred million roundings."""
    similarity = np.random.default_rng(seed).uniform(-1, 1, (rows, columns))
    plan = np.exp(transport(similarity, 0.1, 20))
    np.testing.assert_allclose(plan, slow_transport(similarity, 0.1, 20), rtol=1e-8)
    assert plan.sum(0) == pytest.approx(1 / columns, rel=1e-8)


def test_nothing_overflows():
    similarity = np.array([[1.0, -1.0], [0.999, -1.0], [-1.0, -1.0]], dtype=np.float32)
    assert np.isfinite(transport(similarity, 1e-4, 500)).all()


def test_margins_are_met():
    """Columns as exactly as numbers are; rows as well as so many rounds do it."""
    plan = np.exp(transport(np.random.default_rng(0).uniform(-0.1, 0.3, (40, 25)), rounds=2000))
    assert plan.sum(1) == pytest.approx(1 / 40, rel=1e-6)
    assert plan.sum(0) == pytest.approx(1 / 25, rel=1e-8)


@given(WORLDS)
def test_partners_hold_most_of_the_plan(clusters):
    plan, found = transport(clusters.similarity), match(clusters)
    assert found.partner[VISIBLE].tolist() == [row.argmax() for row in plan]
    assert found.partner[INFRARED].tolist() == [column.argmax() for column in plan.T]
