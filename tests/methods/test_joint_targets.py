import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding import assert_near, product

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.machine import Machine
from tokenmatcher.methods.tokenmatcher import joint_targets, mixed_centroids
from tokenmatcher.mining.matchers import greedy
from tokenmatcher.mining.matchers.greedy import match_clusters
from tokenmatcher.presets import preset

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED


def random_world(seed, visible_clusters, infrared_clusters, width=12):
    rng = np.random.default_rng(seed)
    features, labels = {}, {}
    for m, clusters in ((VISIBLE, visible_clusters), (INFRARED, infrared_clusters)):
        count = clusters * 3 + 4
        features[m] = torch.from_numpy(rng.standard_normal((count, width))).float()
        values = np.concatenate([np.arange(clusters), rng.integers(-1, clusters, count - clusters)])
        labels[m] = PseudoLabels(values)
    return features, labels


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 7), st.integers(1, 7))
def test_mixed_centroids_equal_the_slow_loop(seed, visible_clusters, infrared_clusters):
    features, labels = random_world(seed, visible_clusters, infrared_clusters)
    own = {
        m: torch.stack([features[m][labels[m].labels == c].mean(0) for c in range(labels[m].num_clusters)])
        for m in Modality
    }
    match = match_clusters(F.normalize(own[VISIBLE], dim=1), F.normalize(own[INFRARED], dim=1), capacity=2)
    for m in Modality:
        for cluster in range(labels[m].num_clusters):
            members = [x for x, label in zip(features[m], labels[m].labels, strict=True) if label == cluster]
            for x, label in zip(features[m.other], labels[m.other].labels, strict=True):
                if label == -1:
                    continue
                rows_first = m.other is match.row_modality
                first = match.column_of_row[label] if rows_first else match.rows_of_column[label][0]
                if first == cluster:
                    members.append(x)
            expected = F.normalize(torch.stack(members).mean(0), dim=0)
            got = mixed_centroids(features, labels, match.match(2), m)[cluster]
            # A mean of at most 50 features of either sign, which may be that much shorter than they are.
            assert_near(got, expected, 50 * product(50))


def test_joint_targets_are_complete():
    features, labels = random_world(0, 5, 3)
    cameras = {m: np.ones(len(labels[m]), dtype=np.int64) for m in Modality}
    local = {m: np.arange(len(labels[m])) for m in Modality}

    def make(local_labels):
        return joint_targets(
            features,
            labels,
            preset("sysu", "paper"),
            greedy.match,
            cameras=cameras,
            local_labels=local_labels,
            machine=Machine(),
        )

    targets = make(None)
    assert set(targets.neighbours) == {(a, b) for a in Modality for b in Modality}
    for m in Modality:
        assert len(targets.mixed[m]) == len(targets.centroids[m]) == labels[m].num_clusters
        assert targets.instances[m].norm(dim=1).numpy() == pytest.approx(1, abs=product(12))
    filtered = make(local)
    for m in Modality:
        assert all(set(filtered.neighbours[m, m].row(i)) <= {i} for i in range(len(labels[m]))), (
            "one camera, all differ"
        )
        assert filtered.neighbours[m, m.other].num_edges == targets.neighbours[m, m.other].num_edges
