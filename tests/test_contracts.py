"""The values that the parts exchange refuse impossible states."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tokenmatcher.contracts import ClusterMatch, Modality, Neighbours, PseudoLabels


def test_modalities_know_each_other():
    assert Modality.VISIBLE.other is Modality.INFRARED
    assert Modality.INFRARED.other is Modality.VISIBLE
    assert f"{Modality('infrared')}" == "infrared"


def test_pseudo_labels_count():
    labels = PseudoLabels(np.array([1, -1, 0, 1], dtype=np.int32))
    assert (len(labels), labels.num_clusters, labels.num_outliers) == (4, 2, 1)
    assert labels.labels.dtype == np.int64
    for empty in (PseudoLabels(np.array([])), PseudoLabels(np.array([-1, -1]))):
        assert empty.num_clusters == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 2], "gaps"), ([1], "gaps"), ([-2, 0], "-1 or larger"), ([[0], [1]], "one-dimensional"), ([0.5], "integers")],
)
def test_pseudo_labels_refuse(labels, message):
    with pytest.raises(ValueError, match=message):
        PseudoLabels(np.array(labels))


def test_values_cannot_be_changed():
    given = np.array([0, 1])
    labels = PseudoLabels(given)
    with pytest.raises(ValueError, match="read-only"):
        labels.labels[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        labels.labels = given


def test_neighbours_read_as_rows_and_edges():
    neighbours = Neighbours(np.array([0, 2, 2, 3]), np.array([0, 4, 1]), num_targets=5)
    assert (len(neighbours), neighbours.num_edges) == (3, 3)
    assert neighbours.counts.tolist() == [2, 0, 1]
    assert neighbours.anchors.tolist() == [0, 0, 2]
    assert [neighbours.row(i).tolist() for i in range(3)] == [[0, 4], [], [1]]
    assert len(Neighbours(np.array([0]), np.array([]), num_targets=0)) == 0


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        ([], [], "start with 0"),
        ([1, 2], [0, 1], "start with 0"),
        ([0, 2, 1], [0], "fall"),
        ([0, 1], [0, 1], "ends at"),
        ([0, 1], [3], "0..2"),
        ([0, 1], [-1], "0..2"),
        ([0, 2], [1, 0], "ascending"),
        ([0, 2], [1, 1], "ascending"),
        ([0, 0, 2, 2], [2, 1], "ascending"),
    ],
)
def test_neighbours_refuse(indptr, indices, message):
    with pytest.raises(ValueError, match=message):
        Neighbours(np.array(indptr), np.array(indices), num_targets=3)


def match(columns, rows, capacity=2, modality=Modality.VISIBLE):
    return ClusterMatch(modality, np.array(columns, dtype=np.int64), rows, capacity)


def test_a_match_reads_from_either_side():
    # Rows 2 and 0 share column 1, in this order; column 2 was left empty and took row 1, and then row 2.
    found = match([1, 0, 1], ((1,), (2, 0), (1, 2)), modality=Modality.INFRARED)
    assert (found.num_rows, found.num_columns) == (3, 3)
    assert found.first_match(Modality.INFRARED).tolist() == [1, 0, 1]
    assert found.first_match(Modality.VISIBLE).tolist() == [1, 2, 1]
    assert found.fused_pairs().tolist() == [[2, 0]]


def test_three_rows_on_a_column_are_no_pair():
    assert match([0, 0, 0], ((2, 0, 1),), capacity=3).fused_pairs().shape == (0, 2)


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
def test_a_match_refuses(columns, rows, message):
    with pytest.raises(ValueError, match=message):
        match(columns, rows)
