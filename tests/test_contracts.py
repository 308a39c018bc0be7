"""The values that the parts exchange refuse impossible states."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tokenmatcher.contracts import ClusterMatch, EpochRecord, Modality, Neighbours, PseudoLabels

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED


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


def test_a_match_says_who_has_a_partner():
    found = ClusterMatch({VISIBLE: np.array([1, -1, 0]), INFRARED: np.array([2, -1])}, np.array([[2, 0]]))
    assert found.larger is VISIBLE
    assert found.partner[INFRARED].tolist() == [2, -1]
    assert found.fused.tolist() == [[2, 0]]
    equal = ClusterMatch({VISIBLE: np.array([0]), INFRARED: np.array([0])})
    assert equal.larger is VISIBLE and equal.fused.shape == (0, 2) and equal.facts == {}
    assert ClusterMatch({VISIBLE: np.array([0]), INFRARED: np.array([0, 0])}).larger is INFRARED


@pytest.mark.parametrize(
    ("visible", "infrared", "fused", "message"),
    [
        ([2], [0, 0], [], "visible clusters must lie in -1..1"),
        ([-2], [0], [], "visible clusters must lie in -1..0"),
        ([0], [1], [], "infrared clusters must lie in -1..0"),
        ([0.5], [0], [], "integers"),
        ([0, 0], [0], [[0, 2]], "fused clusters must lie in 0..1"),
        ([0, 0], [0], [[0, 0]], "twice"),
        ([0, 0, 0], [0], [[0, 1], [1, 2]], "twice"),
    ],
)
def test_a_match_refuses(visible, infrared, fused, message):
    with pytest.raises(ValueError, match=message):
        ClusterMatch({VISIBLE: np.array(visible), INFRARED: np.array(infrared)}, np.array(fused))


def test_a_record_leaves_out_what_there_is_not():
    record = EpochRecord({"stage": "camera", "camera": 3}, 1, facts={"silhouette": 0.5})
    record.lap("extract")
    found = record.to_dict()
    assert found.pop("seconds")["extract"] >= 0
    assert found == {"stage": "camera", "camera": 3, "epoch": 1, "labels": {}, "silhouette": 0.5, "notes": []}


def test_which_epoch_a_record_is_of_stays():
    place = {"stage": "1"}
    record = EpochRecord(place, 0, 5)
    place["stage"] = "2"
    assert record.place == {"stage": "1"}
    for name in ("place", "epoch", "epochs"):
        with pytest.raises(AttributeError, match=f"{name} of an epoch's record cannot be changed"):
            setattr(record, name, 3)
    with pytest.raises(TypeError):
        record.place["stage"] = "2"
