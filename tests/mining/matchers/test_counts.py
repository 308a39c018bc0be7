"""ADCA's alignment against the published one and against a walk over all pairs of images."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding import product
from worlds import INFRARED, VISIBLE, world

from tokenmatcher.contracts import PseudoLabels
from tokenmatcher.mining.matchers.base import Clusters
from tokenmatcher.mining.matchers.counts import accepted_pairs, count_alike, match

CASES = ("more_rgb", "more_ir", "equal", "count_ties", "none_above")
SHORT = {VISIBLE: "rgb", INFRARED: "ir"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("block", [7, 1024])
def test_golden(golden, case, block):
    data = golden("adca_alignment")
    features = {m: torch.tensor(data[f"{case}_features_{short}"]) for m, short in SHORT.items()}
    labels = {m: PseudoLabels(data[f"{case}_labels_{short}"]) for m, short in SHORT.items()}
    similarity = features[VISIBLE].double() @ features[INFRARED].double().T
    assert (similarity - 0.5).abs().min() > product(32), "else a rounding may drop a pair"
    alike = count_alike(
        features[VISIBLE], features[INFRARED], labels[VISIBLE], labels[INFRARED], threshold=0.5, block=block
    )
    pairs = accepted_pairs(alike)
    assert pairs.tolist() == data[f"{case}_pairs"].tolist()
    assert [alike.counts[v, r] for v, r in pairs] == data[f"{case}_pair_counts"].tolist()
    found = match(Clusters(features, labels, features, 1, capacity=2, unit_views=True))
    assert [[v, r] for v, r in enumerate(found.partner[VISIBLE]) if r != -1] == sorted(pairs.tolist())
    assert found.facts["accepted"] == len(pairs)
    assert bool(found.notes) == (case == "none_above")


def slow_counts(clusters, threshold):
    """Every pair of images, one at a time; -1, the outliers, counts from behind."""
    shape = tuple(clusters.labels[m].num_clusters + 1 for m in (VISIBLE, INFRARED))
    counts, best = np.zeros(shape, dtype=np.int64), np.full(shape, -np.inf, dtype=np.float32)
    similarity = (clusters.features[INFRARED] @ clusters.features[VISIBLE].T).numpy()
    for i, v in enumerate(clusters.labels[VISIBLE].labels):
        for j, r in enumerate(clusters.labels[INFRARED].labels):
            counts[v, r] += similarity[j, i] >= np.float32(threshold)
            best[v, r] = max(best[v, r], similarity[j, i])
    return counts, best


@settings(max_examples=40)
@given(
    st.integers(0, 9999),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from(("random", "tied")),
    st.floats(-0.5, 1, width=32),
)
def test_is_the_walk_over_all_pairs(seed, visible, infrared, kind, threshold):
    """A block larger than there are images, so that the walk reads the same product."""
    clusters = world(seed, visible, infrared, kind=kind, unit_views=True)
    alike = count_alike(
        *(clusters.features[m] for m in (VISIBLE, INFRARED)),
        *(clusters.labels[m] for m in (VISIBLE, INFRARED)),
        threshold=threshold,
    )
    counts, best = slow_counts(clusters, threshold)
    np.testing.assert_array_equal(alike.counts, counts)
    np.testing.assert_array_equal(alike.best, best)
    free = {(v, r) for v in range(visible) for r in range(infrared) if counts[v, r]}
    pairs = []
    while free:
        v, r = max(free, key=lambda pair: (counts[pair], best[pair], -pair[0], -pair[1]))
        pairs.append([v, r])
        free = {(a, b) for a, b in free if a != v and b != r}
    assert accepted_pairs(alike).tolist() == pairs


@pytest.mark.parametrize(("threshold", "word"), [(1.0, "no visible and infrared image"), (0.0, "counts are mostly")])
def test_both_ends_are_noted(threshold, word):
    clusters = world(0, 4, 4, kind="random" if threshold else "crowded")
    noted = match(Clusters(clusters.features, clusters.labels, clusters.centroids, 4, 2, threshold=threshold)).notes
    assert len(noted) == 1 and word in noted[0]


def test_pairs_that_all_have_an_outlier_in_them_are_noted():
    features = {VISIBLE: torch.eye(4)[[0, 1, 2]], INFRARED: torch.eye(4)[[2, 3, 3]]}
    labels = {VISIBLE: PseudoLabels(np.array([0, 1, -1])), INFRARED: PseudoLabels(np.array([0, 1, 1]))}
    found = match(Clusters(features, labels, features, 1, capacity=2))
    assert (found.facts["alike"], found.facts["accepted"]) == (1, 0)
    assert found.notes == ("every pair as similar as 0.5 has an outlier in it: no cluster is matched",)
