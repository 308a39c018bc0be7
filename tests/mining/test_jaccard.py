"""The sparse Jaccard similarity against the published one and against a dense loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tokenmatcher.mining import jaccard
from tokenmatcher.mining.jaccard import jaccard_similarity
from tokenmatcher.mining.knn import nearest


def crowd(count: int, width: int = 8, groups: int = 6, spread: float = 0.5, seed: int = 0) -> torch.Tensor:
    """(N, D) unit rows, scattered about a few centres."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((groups, width))
    values = centres[random.integers(groups, size=count)] + spread * random.standard_normal((count, width))
    return functional.normalize(torch.from_numpy(values).float(), dim=1)


def slow_jaccard_distance(features: np.ndarray, k1: int, k2: int) -> np.ndarray:
    """The five steps as they are told, with sets and loops."""
    size = len(features)
    cosine = features @ features.T
    ranked = [sorted(range(size), key=lambda j, i=i: (j != i, -cosine[i, j])) for i in range(size)]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in ranked[i][:k] if i in ranked[j][:k]}

    weights = np.zeros((size, size))
    for i in range(size):
        base = reciprocal(i, k1)
        expanded = set(base)
        for c in base:
            candidate = reciprocal(c, round(k1 / 2) + 1)  # Python rounds half to even, too
            if len(candidate & base) * 3 > 2 * len(candidate):
                expanded |= candidate
        for j in expanded:
            weights[i, j] = np.exp(-(2 - 2 * cosine[i, j]))
        weights[i] /= weights[i].sum()
    if k2 > 1:
        weights = np.array([weights[ranked[i][:k2]].mean(axis=0) for i in range(size)])
    distance = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            shared = np.minimum(weights[i], weights[j]).sum()
            distance[i, j] = max(0.0, 1 - shared / (2 - shared))
    return distance


@pytest.mark.parametrize("backend", ["torch", "faiss"])
@pytest.mark.parametrize(("k1", "k2"), [(30, 6), (20, 1)])
def test_is_the_published_distance(golden, k1, k2, backend):
    if backend == "faiss":
        pytest.importorskip("faiss")
    vectors = golden("jaccard")
    features = torch.from_numpy(vectors["features"])
    similarity = jaccard_similarity(features, k1, k2, neighbours=nearest(features, k1, backend=backend))
    np.testing.assert_allclose(1 - similarity.toarray(), vectors[f"jaccard_k{k1}_k{k2}"], atol=2e-6)


@pytest.mark.parametrize(
    ("count", "k1", "k2"), [(60, 10, 3), (60, 5, 1), (60, 9, 9), (45, 3, 2), (45, 2, 1), (45, 1, 1), (20, 4, 7)]
)
def test_is_the_dense_loop(count, k1, k2):
    features = crowd(count, seed=k1)
    similarity = jaccard_similarity(features, k1, k2)
    np.testing.assert_allclose(
        1 - similarity.toarray(), slow_jaccard_distance(features.double().numpy(), k1, k2), atol=1e-5
    )


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_fewer_images_than_neighbours(count):
    features = crowd(count)
    similarity = jaccard_similarity(features, 30, 6)
    np.testing.assert_allclose(
        1 - similarity.toarray(), slow_jaccard_distance(features.double().numpy(), 30, 6), atol=1e-5
    )


def test_no_images():
    assert jaccard_similarity(torch.empty(0, 8), 30, 6).shape == (0, 0)


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 50),
    k1=st.integers(1, 12),
    k2=st.integers(1, 5),
    copies=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_is_a_similarity(count, k1, k2, copies, seed):
    similarity = jaccard_similarity(crowd(count, seed=seed).repeat(copies, 1), k1, k2)
    assert similarity.dtype == np.float32
    assert similarity.has_sorted_indices
    assert (similarity != similarity.T).nnz == 0
    assert (similarity.diagonal() == 1).all()
    assert similarity.data.min() > 0
    assert similarity.data.max() <= 1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_permuting_the_images_permutes_the_similarity(seed):
    features = crowd(40, seed=seed)
    order = np.random.default_rng(seed).permutation(40)
    similarity = jaccard_similarity(features, 8, 3).toarray()
    permuted = jaccard_similarity(features[torch.from_numpy(order)], 8, 3).toarray()
    np.testing.assert_allclose(permuted, similarity[np.ix_(order, order)], atol=1e-5)


@pytest.mark.parametrize("max_distance", [0.0, 0.2, 0.6, 0.95, 1.0])
def test_leaves_out_exactly_the_pairs_that_are_too_far(max_distance):
    features = crowd(80, spread=0.8)
    everything = jaccard_similarity(features, 10, 3).toarray()
    near = np.where((everything > 0) & (1 - everything <= max_distance), everything, 0)
    np.testing.assert_array_equal(jaccard_similarity(features, 10, 3, max_distance=max_distance).toarray(), near)


@pytest.mark.parametrize(("pairs", "cells"), [(1, 1), (50, 1 << 20), (1 << 20, 300)])
def test_the_size_of_the_blocks_is_no_matter(monkeypatch, pairs, cells):
    features = crowd(70)
    whole = jaccard_similarity(features, 10, 3).toarray()
    monkeypatch.setattr(jaccard, "PAIRS_PER_BLOCK", pairs)
    monkeypatch.setattr(jaccard, "CELLS_PER_BLOCK", cells)
    monkeypatch.setattr(jaccard, "CELLS_PER_PAIR", 1 << 20)
    monkeypatch.setattr(jaccard, "VALUES_PER_CHUNK", 1)
    np.testing.assert_allclose(jaccard_similarity(features, 10, 3).toarray(), whole, atol=1e-6)


@pytest.mark.parametrize("pairs", [40, 1 << 16])
def test_sorting_and_accumulating_give_the_same_bits(monkeypatch, pairs):
    features = crowd(300, groups=12, spread=0.4)
    monkeypatch.setattr(jaccard, "PAIRS_PER_BLOCK", pairs)
    found = []
    for cells_per_pair in (0, 1 << 20):
        monkeypatch.setattr(jaccard, "CELLS_PER_PAIR", cells_per_pair)
        found.append(jaccard_similarity(features, 10, 3, max_distance=0.7))
    assert found[0].nnz > 300
    assert (found[0] != found[1]).nnz == 0


@pytest.mark.parametrize(("k1", "k2"), [(0, 1), (1, 0)])
def test_refuses_no_neighbours(k1, k2):
    with pytest.raises(ValueError, match="at least 1"):
        jaccard_similarity(crowd(5), k1, k2)


@pytest.mark.gpu
def test_the_same_on_the_gpu(golden):
    vectors = golden("jaccard")
    similarity = jaccard_similarity(torch.from_numpy(vectors["features"]).cuda(), 30, 6)
    np.testing.assert_allclose(1 - similarity.toarray(), vectors["jaccard_k30_k6"], atol=1e-4)


def test_memory_stays_far_below_n_by_n():
    """8,000 images: float32 N x N would be 256 MB; the arrays that NumPy and SciPy allocate stay below 100."""
    import tracemalloc

    features = crowd(8000, width=32, groups=200, spread=0.3)
    tracemalloc.start()
    similarity = jaccard_similarity(features, 30, 6, max_distance=0.6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert similarity.nnz < 8000 * 400
    assert peak < 100e6
