"""The sparse Jaccard similarity against the published one and against a dense loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rounding import jaccard_cuts, neighbour_gap, orderly, product
from scripts import call, limits_memory
from torch.nn import functional

from tokenmatcher.mining import jaccard
from tokenmatcher.mining.jaccard import jaccard_similarity
from tokenmatcher.mining.knn import nearest

# A weight is a softmax of 2 cosines, so twice as far off; a Jaccard distance sums the lesser ones of two rows of
# weights that are 1 in all, and its slope in that sum is at most 2.
DISTANCE = 2 * 2 * 2 * product(8)


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
    assert neighbour_gap(features, jaccard_cuts(k1, k2)) > 2 * product(48), "else some may be exchanged"
    similarity = jaccard_similarity(features, k1, k2, neighbours=nearest(features, k1, backend=backend))
    np.testing.assert_allclose(1 - similarity.toarray(), vectors[f"jaccard_k{k1}_k{k2}"], rtol=0, atol=8 * product(48))


@pytest.mark.parametrize(
    ("count", "k1", "k2"), [(60, 10, 3), (60, 5, 1), (60, 9, 9), (45, 3, 2), (45, 2, 1), (45, 1, 1), (20, 4, 7)]
)
def test_is_the_dense_loop(count, k1, k2):
    features = orderly(lambda seed: crowd(count, seed=seed), jaccard_cuts(k1, k2))
    similarity = jaccard_similarity(features, k1, k2)
    np.testing.assert_allclose(
        1 - similarity.toarray(), slow_jaccard_distance(features.double().numpy(), k1, k2), rtol=0, atol=DISTANCE
    )


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_fewer_images_than_neighbours(count):
    features = orderly(lambda seed: crowd(count, seed=seed), jaccard_cuts(30, 6))
    similarity = jaccard_similarity(features, 30, 6)
    np.testing.assert_allclose(
        1 - similarity.toarray(), slow_jaccard_distance(features.double().numpy(), 30, 6), rtol=0, atol=DISTANCE
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
    assume(neighbour_gap(features, jaccard_cuts(8, 3)) > 2 * product(8))  # another order, other sums
    order = np.random.default_rng(seed).permutation(40)
    similarity = jaccard_similarity(features, 8, 3).toarray()
    permuted = jaccard_similarity(features[torch.from_numpy(order)], 8, 3).toarray()
    np.testing.assert_allclose(permuted, similarity[np.ix_(order, order)], rtol=0, atol=DISTANCE)


@pytest.mark.parametrize("max_distance", [0.0, 0.2, 0.6, 0.95, 1.0])
def test_leaves_out_exactly_the_pairs_that_are_too_far(max_distance):
    features = crowd(80, spread=0.8)
    everything = jaccard_similarity(features, 10, 3).toarray()
    near = np.where((everything > 0) & (1 - everything <= max_distance), everything, 0)
    np.testing.assert_array_equal(jaccard_similarity(features, 10, 3, max_distance=max_distance).toarray(), near)


@pytest.mark.parametrize("pairs", [1, 50, 1 << 20])
@pytest.mark.parametrize("rows", [1, 7])
def test_the_size_of_the_blocks_is_no_matter(monkeypatch, pairs, rows):
    features = crowd(70)
    whole = jaccard_similarity(features, 10, 3)
    monkeypatch.setattr(jaccard, "ROWS_PER_BLOCK", rows)
    monkeypatch.setitem(jaccard.PAIRS_PER_BLOCK, "cpu", pairs)
    monkeypatch.setitem(jaccard.VALUES_PER_CHUNK, "cpu", 1)
    in_blocks = jaccard_similarity(features, 10, 3)
    assert whole.nnz > 300
    np.testing.assert_array_equal(in_blocks.indices, whole.indices)
    np.testing.assert_allclose(in_blocks.data, whole.data, rtol=0, atol=DISTANCE)


@pytest.mark.parametrize(("k1", "k2"), [(0, 1), (1, 0)])
def test_refuses_no_neighbours(k1, k2):
    with pytest.raises(ValueError, match="at least 1"):
        jaccard_similarity(crowd(5), k1, k2)


@pytest.mark.gpu
def test_the_same_on_the_gpu(golden):
    vectors = golden("jaccard")
    similarity = jaccard_similarity(torch.from_numpy(vectors["features"]).cuda(), 30, 6)
    np.testing.assert_allclose(1 - similarity.toarray(), vectors["jaccard_k30_k6"], rtol=0, atol=8 * product(48))
    again = jaccard_similarity(torch.from_numpy(vectors["features"]).cuda(), 30, 6)
    assert (similarity != again).nnz == 0


def test_refuses_devices_that_were_never_tried():
    with pytest.raises(ValueError, match="not on meta"):
        jaccard_similarity(torch.empty(3, 4, device="meta"), 2, 1)


@limits_memory
def test_memory_stays_far_below_n_by_n(tmp_path):
    """16,000 images in a process of its own, which may take 500 MB more: float32 N x N would be 1,024."""
    code = """
import resource, torch
from tokenmatcher.mining.jaccard import jaccard_similarity
from torch.nn import functional

torch.set_num_threads(1)
random = torch.Generator().manual_seed(0)
centres = torch.randn(300, 32, generator=random)
features = centres[torch.randint(300, (16000,), generator=random)] + 0.3 * torch.randn(16000, 32, generator=random)
features = functional.normalize(features, dim=1)
jaccard_similarity(features[:500], 30, 6)
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 500_000_000,) * 2)
print(jaccard_similarity(features, 30, 6, max_distance=0.6).nnz)
"""
    (tmp_path / "code.py").write_text(code)
    assert 16_000 < int(call(tmp_path / "code.py").stdout) < 16_000 * 200
