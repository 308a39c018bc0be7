import numpy as np
import pytest

from tokenmatcher.contracts import ClusterMatch, Modality, Neighbours, PseudoLabels
from tokenmatcher.evaluation.diagnostics import (
    clustering_agreement,
    majority_identities,
    matchable_share,
    neighbour_quality,
    right_matches,
)


def test_agreement_leaves_outliers_out():
    labels = PseudoLabels(np.array([0, 0, 1, 1, -1]))
    assert clustering_agreement(labels, np.array([5, 5, 7, 7, 5])) == {"ari": 1.0, "nmi": pytest.approx(1.0)}


def test_majority_and_right_matches():
    visible = PseudoLabels(np.array([0, 0, 0, 1, 1, 2, -1]))
    identities = np.array([4, 4, 9, 9, 9, 4, 4])
    assert majority_identities(visible, identities).tolist() == [4, 9, 4]
    infrared = PseudoLabels(np.array([0, 1]))
    match = ClusterMatch({Modality.VISIBLE: np.array([0, 1, 1]), Modality.INFRARED: np.array([0, 2])})
    labels = {Modality.VISIBLE: visible, Modality.INFRARED: infrared}
    truth = {Modality.VISIBLE: identities, Modality.INFRARED: np.array([4, 9])}
    assert right_matches(match, labels, truth) == pytest.approx(2 / 3)
    partly = ClusterMatch({Modality.VISIBLE: np.array([0, -1, -1]), Modality.INFRARED: np.array([0, -1])})
    assert right_matches(partly, labels, truth) == 1.0
    assert matchable_share(labels, truth, Modality.VISIBLE) == matchable_share(labels, truth, Modality.INFRARED) == 1.0
    strangers = {**truth, Modality.INFRARED: np.array([9, 5])}
    assert matchable_share(labels, strangers, Modality.VISIBLE) == pytest.approx(1 / 3)
    assert matchable_share(labels, strangers, Modality.INFRARED) == 0.5
    assert np.isnan(matchable_share(labels, {**truth, Modality.VISIBLE: np.full(7, -1)}, Modality.VISIBLE))
    nobody = ClusterMatch({Modality.VISIBLE: np.full(3, -1), Modality.INFRARED: np.full(2, -1)})
    assert np.isnan(right_matches(nobody, labels, truth))


def test_neighbours():
    found = Neighbours(np.array([0, 2, 2]), np.array([0, 2]), 3)
    quality = neighbour_quality(found, np.array([1, 2]), np.array([1, 2, 3]))
    assert quality == {"per_image": 1.0, "precision": 0.5}
    nobody = Neighbours(np.array([0, 0]), np.array([], dtype=np.int64), 3)
    assert np.isnan(neighbour_quality(nobody, np.array([1]), np.array([1, 2, 3]))["precision"])
