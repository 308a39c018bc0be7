"""Cluster matching against the published matches and against a walk over all pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from counted import calls
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rounding import cosines, gap, product
from torch.nn import functional

from tokenmatcher.contracts import Modality
from tokenmatcher.mining.matchers.greedy import Assignment, match_clusters


def unit_rows(count: int, width: int, seed: int) -> torch.Tensor:
    return functional.normalize(
        torch.from_numpy(np.random.default_rng(seed).standard_normal((count, width))).float(), dim=1
    )


def slow_match(similarity: np.ndarray, capacity: int) -> tuple[list[int], list[list[int]], int]:
    """One look at every pair, over and over: column of each row, rows of each column, capacity."""
    num_rows, num_columns = similarity.shape
    while num_rows > capacity * num_columns:
        capacity += 1

    def best_pair(rows: set[int], columns: set[int]) -> tuple[int, int]:
        return max(((r, c) for r in rows for c in columns), key=lambda pair: (similarity[pair], -pair[0], -pair[1]))

    column_of_row = [-1] * num_rows
    rows_of_column: list[list[int]] = [[] for _ in range(num_columns)]
    free = set(range(num_rows))
    while free:
        row, column = best_pair(free, {c for c in range(num_columns) if len(rows_of_column[c]) < capacity})
        column_of_row[row] = column
        rows_of_column[column].append(row)
        free.remove(row)
    while empty := {c for c in range(num_columns) if not rows_of_column[c]}:
        free = set(range(num_rows))
        while free and any(not rows_of_column[c] for c in empty):
            row, column = best_pair(free, {c for c in empty if len(rows_of_column[c]) < capacity})
            rows_of_column[column].append(row)
            free.remove(row)
    return column_of_row, rows_of_column, capacity


@pytest.mark.parametrize("case", ["more_rgb", "more_ir", "equal"])
def test_are_the_published_matches(golden, case):
    vectors = golden("matching")
    visible, infrared = (torch.from_numpy(vectors[f"{case}_centroids_{side}"]) for side in ("rgb", "ir"))
    assert gap(cosines(visible, infrared)) > 2 * product(16), "else a rounding may exchange pairs"
    match = match_clusters(visible, infrared)
    assert match.row_modality is (Modality.INFRARED if case == "more_ir" else Modality.VISIBLE)
    assert match.capacity == 2
    np.testing.assert_array_equal(match.column_of_row, vectors[f"{case}_larger_to_smaller"])
    indptr, indices = (vectors[f"{case}_smaller_to_larger_{part}"] for part in ("indptr", "indices"))
    expected = tuple(tuple(indices[a:b].tolist()) for a, b in itertools.pairwise(indptr))
    assert match.rows_of_column == expected


@settings(max_examples=80, deadline=None)
@given(
    num_visible=st.integers(1, 14),
    num_infrared=st.integers(1, 14),
    capacity=st.integers(1, 5),
    width=st.integers(1, 5),
    seed=st.integers(0, 999),
)
def test_is_the_walk_over_all_pairs(num_visible, num_infrared, capacity, width, seed):
    """Width 1 makes every similarity 1 or -1: nothing but ties. The walk reads the same product as the matcher, so that
    both see the same order."""
    visible, infrared = unit_rows(num_visible, width, seed), unit_rows(num_infrared, width, seed + 1)
    match = match_clusters(visible, infrared, capacity=capacity)
    similarity = (visible @ infrared.T).numpy()
    columns, rows, raised = slow_match(similarity if num_visible >= num_infrared else similarity.T, capacity)
    assert match.column_of_row.tolist() == columns
    assert [list(row) for row in match.rows_of_column] == rows
    assert match.capacity == raised


@settings(max_examples=80, deadline=None)
@given(
    num_visible=st.integers(1, 60),
    num_infrared=st.integers(1, 60),
    capacity=st.integers(1, 6),
    seed=st.integers(0, 999),
)
def test_every_cluster_is_matched_within_the_capacity(num_visible, num_infrared, capacity, seed):
    # Crowded about one direction, so that a few columns attract every row.
    visible = functional.normalize(unit_rows(num_visible, 4, seed) + 2, dim=1)
    infrared = functional.normalize(unit_rows(num_infrared, 4, seed + 1) + 1, dim=1)
    match = match_clusters(visible, infrared, capacity=capacity)
    assert (match.num_rows, match.num_columns) == (max(num_visible, num_infrared), min(num_visible, num_infrared))
    assert match.capacity == max(capacity, -(-match.num_rows // match.num_columns))
    assert all(1 <= len(rows) <= match.capacity for rows in match.rows_of_column)
    assert match.first_match(Modality.VISIBLE).shape == (num_visible,)
    assert match.first_match(Modality.INFRARED).shape == (num_infrared,)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_permuting_the_clusters_permutes_the_match(seed):
    visible, infrared = unit_rows(12, 6, seed), unit_rows(8, 6, seed + 1)
    assume(gap(cosines(visible, infrared)) > 2 * product(6))  # another order of clusters, another order of sums
    random = np.random.default_rng(seed)
    rows, columns = random.permutation(12), random.permutation(8)
    match = match_clusters(visible, infrared)
    permuted = match_clusters(visible[torch.from_numpy(rows)], infrared[torch.from_numpy(columns)])
    np.testing.assert_array_equal(columns[permuted.column_of_row], match.column_of_row[rows])
    assert [tuple(rows[list(held)]) for held in permuted.rows_of_column] == [match.rows_of_column[c] for c in columns]


def test_too_many_rows_raise_the_capacity():
    match = match_clusters(unit_rows(2, 4, 0), unit_rows(9, 4, 1))
    assert match.row_modality is Modality.INFRARED
    assert match.capacity == 5
    assert sorted(map(len, match.rows_of_column)) == [4, 5]


def test_of_equals_the_lower_row_then_the_lower_column_comes_first():
    same = torch.tensor([[1.0, 0.0]])
    match = match_clusters(same.repeat(5, 1), same.repeat(4, 1))
    assert match.column_of_row.tolist() == [0, 0, 1, 1, 2]
    assert match.rows_of_column == ((0, 1), (2, 3), (4,), (0,))


def test_rows_that_run_out_in_phase_two_start_over():
    """Three rows crowd on column 0; then columns 1 and 2 are empty, and column 1 takes all three rows."""
    visible = torch.tensor([[1.0, 0.5, 0.1]] * 3)
    match = match_clusters(visible, torch.eye(3), capacity=3)
    assert match.column_of_row.tolist() == [0, 0, 0]
    assert match.rows_of_column == ((0, 1, 2), (0, 1, 2), (0,))


@pytest.mark.parametrize(
    ("visible", "infrared", "capacity", "message"),
    [
        (torch.ones(0, 4), torch.ones(3, 4), 2, "no visible cluster"),
        (torch.ones(3, 4), torch.ones(0, 4), 2, "no infrared cluster"),
        (torch.ones(3, 4), torch.ones(3, 5), 2, "width"),
        (torch.ones(3, 4), torch.ones(3, 4), 0, "capacity"),
        (torch.full((3, 4), torch.nan), torch.ones(3, 4), 2, "finite"),
    ],
)
def test_refuses_bad_input(visible, infrared, capacity, message):
    with pytest.raises(ValueError, match=message):
        match_clusters(visible, infrared, capacity=capacity)


def test_a_real_epoch_takes_no_look_at_all_pairs_again_and_again():
    """600 x 430 clusters; counted is what Python calls, which no machine's speed changes. Looking for the best pair row
    by row would be 600 x 600 looks; here it is one for each row and one more where a column has filled up."""
    visible, infrared = unit_rows(600, 64, 0), unit_rows(430, 64, 1)
    assert calls(lambda: match_clusters(visible, infrared)) < 20 * (600 + 430)


def assignment(columns, rows, capacity=2, modality=Modality.VISIBLE):
    return Assignment(modality, np.array(columns, dtype=np.int64), rows, capacity)


def test_an_assignment_reads_from_either_side():
    # Rows 2 and 0 share column 1, in this order; column 2 was left empty and took row 1, and then row 2.
    found = assignment([1, 0, 1], ((1,), (2, 0), (1, 2)), modality=Modality.INFRARED)
    assert (found.num_rows, found.num_columns) == (3, 3)
    assert found.first_match(Modality.INFRARED).tolist() == [1, 0, 1]
    assert found.first_match(Modality.VISIBLE).tolist() == [1, 2, 1]
    assert found.fused_pairs().tolist() == [[2, 0]]
    match = found.match(1)
    assert match.partner[Modality.INFRARED].tolist() == [1, 0, 1] and match.partner[Modality.VISIBLE].tolist() == [
        1,
        2,
        1,
    ]
    assert match.fused.tolist() == [[2, 0]]
    assert match.facts == {"capacity": 2, "raised": True, "matched_columns": pytest.approx(2 / 3)}


def test_three_rows_on_a_column_are_no_pair():
    assert assignment([0, 0, 0], ((2, 0, 1),), capacity=3).fused_pairs().shape == (0, 2)


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        ([0], ((0,), (0,)), "more clusters"),
        ([0, 2], ((0,), (1,)), "0..1"),
        ([0, -1], ((0,), (1,)), "0..1"),
        ([0, 0, 0], ((0, 1, 2),), "more than 2"),
        ([0, 0], ((0, 1), ()), "no row"),
        ([0, 0], ((0, 1), (0, 0)), "twice"),
        ([0, 1], ((1,), (0,)), "disagrees"),
        ([0, 1], ((0, 1), (1,)), "disagrees"),
    ],
)
def test_an_assignment_refuses(columns, rows, message):
    with pytest.raises(ValueError, match=message):
        assignment(columns, rows)
