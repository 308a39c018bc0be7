"""Pseudo labels, centroids and silhouette against the published labels, dense scikit-learn and loops."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rounding import jaccard_cuts, neighbour_gap, product
from scipy import sparse
from sklearn.cluster import DBSCAN
from sklearn.metrics import silhouette_samples
from torch.nn import functional

from tokenmatcher.contracts import PseudoLabels
from tokenmatcher.mining.clusters import centroids, cluster, pseudo_labels, silhouette
from tokenmatcher.mining.jaccard import jaccard_similarity

# Not eps 0.5: two averages of k2 = 3 that share two of their rows are exactly that far apart.
SETTINGS = {"k1": 10, "k2": 3, "eps": 0.45, "min_samples": 4}


def crowd(count: int, width: int = 8, groups: int = 5, spread: float = 0.3, seed: int = 0) -> torch.Tensor:
    """(N, D) raw features, scattered about a few centres, of length about 3."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((groups, width))
    values = centres[random.integers(groups, size=count)] + spread * random.standard_normal((count, width))
    return torch.from_numpy(values).float()


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist()) - {-1}}


@pytest.mark.parametrize(("eps", "name"), [(0.6, "labels_eps06"), (0.4, "labels_eps04")])
def test_are_the_published_labels(golden, eps, name):
    vectors = golden("jaccard")
    assert neighbour_gap(vectors["features"], jaccard_cuts(30, 6)) > 2 * product(48), "else some may be exchanged"
    assert np.abs(vectors["jaccard_k30_k6"] - eps).min() > 8 * product(48), "else one may be within eps or not"
    labels = pseudo_labels(torch.from_numpy(vectors["features"]) * 7, k1=30, k2=6, eps=eps, min_samples=4)
    np.testing.assert_array_equal(labels.labels, vectors[name])


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 80),
    copies=st.integers(1, 3),
    spread=st.sampled_from([0.0, 0.1, 0.4, 1.0, 3.0]),
    eps=st.sampled_from([0.05, 0.2, 0.5, 0.6, 0.9]),
    min_samples=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_are_those_of_dense_dbscan(count, copies, spread, eps, min_samples, seed):
    """Duplicate points, too: their distance is 0, which a sparse matrix must not take for "far".

    Both sides look at the same similarities, each computed once by the same sums, so that none can be on another side
    of eps."""
    features = crowd(count, spread=spread, seed=seed).repeat(copies, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = pseudo_labels(features, k1=10, k2=3, eps=eps, min_samples=min_samples)
    dense = 1 - jaccard_similarity(functional.normalize(features, dim=1), 10, 3).toarray()
    expected = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(dense)
    np.testing.assert_array_equal(labels.labels, expected)


def test_the_full_clustering_has_the_same_labels_and_every_overlapping_pair():
    features = crowd(100, spread=0.6)
    result = cluster(features, **SETTINGS)
    np.testing.assert_array_equal(result.labels.labels, pseudo_labels(features, **SETTINGS).labels)
    whole = jaccard_similarity(functional.normalize(features, dim=1), 10, 3)
    np.testing.assert_array_equal(result.similarity.toarray(), whole.toarray())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_permuting_the_images_permutes_the_partition(seed):
    # min_samples 1: every image is a core, so none stands between two clusters, to be claimed by the first.
    features = crowd(60, spread=0.6, seed=seed)
    order = np.random.default_rng(seed).permutation(60)
    arguments = {**SETTINGS, "min_samples": 1}
    distance = 1 - jaccard_similarity(functional.normalize(features, dim=1), 10, 3).toarray()
    # Another order of images is another order of sums: no neighbour may be exchanged, no distance cross eps.
    assume(neighbour_gap(features, jaccard_cuts(10, 3)) > 2 * product(8))
    assume(np.abs(distance - SETTINGS["eps"]).min() > 8 * product(8))
    labels = pseudo_labels(features, **arguments).labels
    permuted = pseudo_labels(features[torch.from_numpy(order)], **arguments).labels
    assert partition(permuted) == partition(labels[order])


def test_degenerate_sizes():
    assert len(pseudo_labels(torch.empty(0, 8), **SETTINGS)) == 0
    assert pseudo_labels(crowd(1), **SETTINGS).labels.tolist() == [-1]
    assert pseudo_labels(crowd(3, groups=1), **SETTINGS).labels.tolist() == [-1] * 3
    one = pseudo_labels(crowd(9, groups=1, spread=0.01), **SETTINGS)
    assert one.labels.tolist() == [0] * 9
    scattered = pseudo_labels(torch.eye(40), k1=2, k2=1, eps=0.01, min_samples=4)
    assert scattered.num_outliers == 40
    assert scattered.num_clusters == 0


@pytest.mark.parametrize("eps", [0.0, -1.0, 1.5])
def test_refuses_a_radius_that_is_no_jaccard_distance(eps):
    with pytest.raises(ValueError, match="eps"):
        cluster(crowd(9), **{**SETTINGS, "eps": eps})


def test_refuses_features_that_are_not_finite():
    features = crowd(9)
    features[3, 2] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        pseudo_labels(features, **SETTINGS)


def test_centroids_are_the_mean_of_raw_features():
    features = crowd(50) * torch.linspace(0.1, 5, 50)[:, None]
    labels = np.random.default_rng(0).integers(-1, 4, size=50)
    result = centroids(features, PseudoLabels(labels))
    for k in range(4):
        mean = features.numpy()[labels == k].mean(axis=0)
        np.testing.assert_allclose(result[k], mean / np.linalg.norm(mean), rtol=0, atol=product((labels == k).sum()))


def test_centroids_without_clusters_or_images():
    assert centroids(crowd(3), PseudoLabels(np.array([-1, -1, -1]))).shape == (0, 8)
    assert centroids(torch.empty(0, 8), PseudoLabels(np.empty(0, dtype=np.int64))).shape == (0, 8)
    with pytest.raises(ValueError, match="labels"):
        centroids(crowd(3), PseudoLabels(np.array([0, 0])))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(6, 70), groups=st.integers(2, 6), spread=st.sampled_from([0.1, 0.5, 2.0]), seed=st.integers(0, 99)
)
def test_silhouette_is_that_of_the_dense_distance(count, groups, spread, seed):
    similarity = jaccard_similarity(functional.normalize(crowd(count, spread=spread, seed=seed), dim=1), 8, 3)
    drawn = np.random.default_rng(seed).integers(-1, groups, size=count)
    drawn[:4] = [0, 0, 1, 1]  # two clusters, and fewer than images: scikit-learn knows no other case
    kept = np.flatnonzero(drawn >= 0)
    drawn[kept] = np.unique(drawn[kept], return_inverse=True)[1]
    distance = 1 - similarity.toarray()[np.ix_(kept, kept)].astype(np.float64)
    np.fill_diagonal(distance, 0)
    expected = silhouette_samples(distance, drawn[kept], metric="precomputed").sum() / count
    assert silhouette(similarity, PseudoLabels(drawn)) == pytest.approx(
        expected, abs=product(count)
    )  # each a mean of float32 distances


def test_outliers_count_as_nothing_gained():
    similarity = sparse.csr_matrix(np.kron(np.eye(2), np.ones((3, 3))).astype(np.float32))
    assert silhouette(similarity, PseudoLabels(np.array([0, 0, 0, 1, 1, 1]))) == 1
    assert silhouette(similarity, PseudoLabels(np.array([0, 0, -1, 1, 1, -1]))) == pytest.approx(4 / 6)


@pytest.mark.parametrize("labels", [[], [-1, -1], [0, 0, 0], [0, -1, 0]])
def test_fewer_than_two_clusters_score_lowest(labels):
    similarity = sparse.identity(len(labels), dtype=np.float32, format="csr") if labels else sparse.csr_matrix((0, 0))
    assert silhouette(similarity, PseudoLabels(np.array(labels, dtype=np.int64))) == -1


def test_indistinct_clusters_score_zero():
    similarity = sparse.csr_matrix(np.ones((4, 4), dtype=np.float32))
    assert silhouette(similarity, PseudoLabels(np.array([0, 0, 1, 1]))) == 0


def test_silhouette_refuses_another_number_of_labels():
    with pytest.raises(ValueError, match="labels"):
        silhouette(sparse.identity(3, format="csr"), PseudoLabels(np.array([0, 1])))
