"""The camera filter against a loop over edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmatcher.contracts import Neighbours
from tokenmatcher.mining.cameras import drop_split_neighbours


def from_lists(lists: list[list[int]], num_targets: int) -> Neighbours:
    indptr = np.cumsum([0, *map(len, lists)])
    return Neighbours(indptr, np.array([j for row in lists for j in row], dtype=np.int64), num_targets)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 25), share=st.floats(0, 1), seed=st.integers(0, 999))
def test_is_the_loop_over_edges(size, share, seed):
    random = np.random.default_rng(seed)
    lists = [np.flatnonzero(random.random(size) < share).tolist() for _ in range(size)]
    cameras, labels = random.integers(1, 4, size=size), random.integers(-1, 3, size=size)
    expected = []
    for i, row in enumerate(lists):
        kept = []
        for j in row:
            both_labelled = labels[i] >= 0 and labels[j] >= 0
            if not (cameras[i] == cameras[j] and both_labelled and labels[i] != labels[j]):
                kept.append(j)
        expected.append(kept)
    result = drop_split_neighbours(from_lists(lists, size), cameras, labels)
    assert [result.row(i).tolist() for i in range(size)] == expected
    assert all((i in kept) == (i in row) for i, (kept, row) in enumerate(zip(expected, lists, strict=True)))


def test_drops_consecutive_neighbours_all():
    """Deleting from a list while walking it, as the published loop does, would keep every other one."""
    neighbours = from_lists([[0, 1, 2, 3, 4], [], [], [], []], 5)
    result = drop_split_neighbours(neighbours, np.ones(5, dtype=int), np.array([0, 1, 1, 1, 1]))
    assert result.row(0).tolist() == [0]


def test_labels_of_different_cameras_are_not_compared():
    neighbours = from_lists([[0, 1], [0, 1]], 2)
    result = drop_split_neighbours(neighbours, np.array([1, 2]), np.array([0, 5]))
    np.testing.assert_array_equal(result.indices, neighbours.indices)


def test_refuses_other_sizes():
    with pytest.raises(ValueError, match="one modality"):
        drop_split_neighbours(from_lists([[0], [2]], 3), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="cameras"):
        drop_split_neighbours(from_lists([[0], [1]], 2), np.zeros(3), np.zeros(2))
