"""Nearest neighbours against a full sort, one row at a time."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding import orderly, product
from torch.nn import functional

from tokenmatcher.mining import faiss_search
from tokenmatcher.mining.knn import nearest


def unit_rows(count: int, width: int, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).standard_normal((count, width))
    return functional.normalize(torch.from_numpy(values).float(), dim=1)


def orderly_rows(count: int, k: int, width: int = 8) -> torch.Tensor:
    """Unit rows whose k nearest stand far enough from each other for backends that sum in their own order."""
    return orderly(lambda seed: unit_rows(count, width, seed), range(2, k + 1))


def slow_nearest(features: np.ndarray, k: int) -> tuple[list[list[float]], list[list[int]]]:
    similarity, index = [], []
    for i, row in enumerate(features):
        products = [float(row @ other) for other in features]
        others = sorted((j for j in range(len(features)) if j != i), key=lambda j: (-products[j], j))
        index.append([i, *others][:k])
        similarity.append([products[j] for j in index[-1]])
    return similarity, index


@pytest.mark.parametrize("backend", ["torch", "faiss"])
@pytest.mark.parametrize(("count", "k", "block"), [(50, 7, 16), (50, 7, 1000), (5, 30, 2), (1, 1, 1), (40, 40, 7)])
def test_is_the_sorted_list(backend, count, k, block):
    if backend == "faiss":
        pytest.importorskip("faiss")
    features = orderly_rows(count, k)
    similarity, index = nearest(features, k, backend=backend, block=block)
    expected_similarity, expected_index = slow_nearest(features.double().numpy(), k)
    assert index.dtype == torch.int64
    assert similarity.dtype == torch.float32
    assert index.tolist() == expected_index
    np.testing.assert_allclose(similarity, expected_similarity, rtol=0, atol=product(8))


@pytest.mark.parametrize("block", [3, 16, 100])
def test_all_rows_at_once_are_the_rows_one_by_one(block):
    features = orderly_rows(100, 9)
    similarity, index = nearest(features, 9, block=block)
    rows = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    some_similarity, some_index = nearest(features, 9, rows=rows, block=7)
    assert (some_index == index[rows]).all()
    torch.testing.assert_close(some_similarity, similarity[rows], atol=product(8), rtol=0)


@pytest.mark.parametrize("backend", ["torch", "faiss", "ivf"])
def test_an_image_comes_first_even_among_its_duplicates(backend):
    if backend != "torch":
        pytest.importorskip("faiss")
    features = unit_rows(1, 6).repeat(20, 1)
    similarity, index = nearest(features, 4, backend=backend, block=8)
    assert index[:, 0].tolist() == list(range(20))
    assert all(len(set(row)) == 4 for row in index.tolist())
    torch.testing.assert_close(similarity, torch.ones(20, 4), atol=product(6), rtol=0)


def test_inverted_lists_find_nearly_all_neighbours():
    pytest.importorskip("faiss")
    random = np.random.default_rng(0)
    centres = random.standard_normal((300, 24))
    values = np.repeat(centres, 20, axis=0) + 0.6 * random.standard_normal((6000, 24))
    features = functional.normalize(torch.from_numpy(values).float(), dim=1)
    similarity, index = nearest(features, 10)
    found_similarity, found = nearest(features, 10, backend="ivf")
    assert (found[:, 0] == torch.arange(6000)).all()
    assert all(len(set(row)) == 10 for row in found.tolist())
    recall = (found[:, :, None] == index[:, None, :]).any(dim=2).float().mean()
    assert 0.98 < recall < 1  # 1 would mean that the lists are not used
    same = (found == index).all(dim=1)
    torch.testing.assert_close(found_similarity[same], similarity[same], atol=product(24), rtol=0)


def test_short_inverted_lists_are_made_up_for(monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(faiss_search, "PROBES", 1)
    features = unit_rows(90, 8)
    similarity, index = nearest(features, 40, backend="ivf")
    assert all(len(set(row)) == 40 for row in index.tolist())
    assert index.min() >= 0
    assert similarity.isfinite().all()


@pytest.mark.parametrize("backend", ["torch", "faiss"])
def test_some_rows_are_those_rows_of_all(backend):
    if backend != "torch":
        pytest.importorskip("faiss")
    features, rows = orderly_rows(60, 7), torch.tensor([59, 3, 17, 4, 0])
    whole = nearest(features, 7, backend=backend)
    some = nearest(features, 7, rows=rows, backend=backend, block=2)
    assert (some[1] == whole[1][rows]).all()
    torch.testing.assert_close(some[0], whole[0][rows], atol=product(8), rtol=0)


def test_a_zero_row_is_its_own_first_neighbour():
    features = torch.cat([unit_rows(4, 5), torch.zeros(1, 5)])
    similarity, index = nearest(features, 2)
    assert index[4, 0] == 4
    assert similarity[4].tolist() == [0, 0]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 40), k=st.integers(1, 50), block=st.integers(1, 50), seed=st.integers(0, 99))
def test_lists_fall_and_hold_each_image_once(count, k, block, seed):
    features = unit_rows(count, 4, seed)
    similarity, index = nearest(features, k, block=block)
    assert similarity.shape == index.shape == (count, min(k, count))
    assert (similarity[:, 1:].diff(dim=1) <= 0).all()
    assert all(len(set(row)) == len(row) for row in index.tolist())
    torch.testing.assert_close(similarity, (features[:, None] * features[index]).sum(dim=2), atol=product(4), rtol=0)


def test_equal_neighbours_stand_by_rising_index():
    features = torch.eye(3)[[0, 1, 1, 1, 1, 2]]
    assert nearest(features, 6)[1][0].tolist() == [0, 1, 2, 3, 4, 5]
    assert nearest(features, 6)[1][3].tolist() == [3, 1, 2, 4, 0, 5]


def test_no_images():
    similarity, index = nearest(torch.empty(0, 8), 5)
    assert similarity.shape[0] == index.shape[0] == 0


@pytest.mark.parametrize(
    ("features", "arguments", "message"),
    [
        (torch.ones(3), {"k": 1}, r"\(N, D\)"),
        (torch.ones(3, 2), {"k": 0}, "at least 1"),
        (torch.ones(3, 2), {"k": 1, "block": 0}, "at least 1"),
        (torch.ones(3, 2), {"k": 1, "backend": "annoy"}, "backend"),
    ],
)
def test_refuses_bad_input(features, arguments, message):
    with pytest.raises(ValueError, match=message):
        nearest(features, **arguments)


@pytest.mark.parametrize("backend", ["faiss", "ivf"])
def test_says_which_package_is_missing(monkeypatch, backend):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match="faiss-gpu or faiss-cpu"):
        nearest(torch.eye(3), 2, backend=backend)


@pytest.mark.gpu
def test_the_same_on_the_gpu():
    features = orderly_rows(300, 10, 32)
    similarity, index = nearest(features, 10)
    on_gpu = nearest(features.cuda(), 10, block=64)
    assert on_gpu[0].is_cuda
    torch.testing.assert_close(on_gpu[0].cpu(), similarity, atol=product(32), rtol=0)
    assert (on_gpu[1].cpu() == index).all()
