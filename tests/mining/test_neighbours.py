"""Token votes against the published neighbour lists and against a loop over pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rounding import product

from tokenmatcher.contracts import Neighbours
from tokenmatcher.mining.neighbours import token_neighbours


def random_features(count: int, width: int, seed: int) -> torch.Tensor:
    """(N, D) of any length, with a common part that makes most similarities positive."""
    values = np.random.default_rng(seed).standard_normal((count, width))
    return torch.from_numpy(values + 0.7).float()


def slow_neighbours(anchors: np.ndarray, targets: np.ndarray, tokens: int, ratio: float, votes: int) -> list[list[int]]:
    width = anchors.shape[1] // tokens
    lists = []
    for anchor in anchors:
        agreed = [0] * len(targets)
        for t in range(tokens):
            part = slice(t * width, (t + 1) * width)
            row = [
                float(anchor[part] @ target[part] / np.linalg.norm(anchor) / np.linalg.norm(target))
                for target in targets
            ]
            for j, value in enumerate(row):
                agreed[j] += value > ratio * max(row)
        lists.append([j for j, count in enumerate(agreed) if count >= votes])
    return lists


def close_calls(anchors: np.ndarray, targets: np.ndarray, tokens: int, ratio: float) -> np.ndarray:
    """(N, M) pairs that some token holds to be so near the threshold that the order of sums may decide."""
    unit = [f.astype(np.float64) / np.linalg.norm(f, axis=1, keepdims=True) for f in (anchors, targets)]
    close = np.zeros((len(anchors), len(targets)), dtype=bool)
    for own, other in zip(*(np.split(f, tokens, axis=1) for f in unit), strict=True):
        similar = own @ other.T
        close |= np.abs(similar - ratio * similar.max(axis=1, keepdims=True)) <= 2 * product(anchors.shape[1])
    return close


def as_matrix(indptr: np.ndarray, indices: np.ndarray, num_targets: int) -> np.ndarray:
    matrix = np.zeros((len(indptr) - 1, num_targets), dtype=bool)
    matrix[np.repeat(np.arange(len(matrix)), np.diff(indptr)), indices] = True
    return matrix


def as_lists(neighbours: Neighbours) -> list[list[int]]:
    return [neighbours.row(i).tolist() for i in range(len(neighbours))]


@pytest.mark.parametrize("votes", [4, 3, 2])
@pytest.mark.parametrize("pair", ["rgb2rgb", "ir2ir", "rgb2ir", "ir2rgb"])
def test_are_the_published_neighbours(golden, pair, votes):
    vectors = golden("neighbours")
    anchors, targets = (torch.from_numpy(vectors[f"tokens_{side}"]) for side in pair.split("2"))
    tokens, ratio = int(vectors["num_tokens"]), float(vectors["ratio"])
    result = token_neighbours(anchors, targets, num_tokens=tokens, ratio=ratio, votes=votes)
    assert result.num_targets == len(targets)
    published = (vectors[f"{pair}_votes{votes}_{part}"] for part in ("indptr", "indices"))
    differing = as_matrix(result.indptr, result.indices, len(targets)) ^ as_matrix(*published, len(targets))
    close = close_calls(anchors.numpy(), targets.numpy(), tokens, ratio)
    assert not (differing & ~close).any()
    assert differing.sum() <= close.sum() < 1e-3 * close.size


def test_an_image_may_lack_the_votes_to_be_its_own_neighbour(golden):
    tokens = torch.from_numpy(golden("neighbours")["tokens_rgb"])
    lists = as_lists(token_neighbours(tokens, tokens, num_tokens=4, ratio=0.9, votes=4))
    assert 0 < sum(i in row for i, row in enumerate(lists)) < len(tokens)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 20),
    others=st.integers(1, 20),
    tokens=st.integers(1, 5),
    ratio=st.sampled_from([0.3, 0.7, 0.9]),
    block=st.integers(1, 25),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_is_the_loop_over_pairs(count, others, tokens, ratio, block, seed, data):
    anchors, targets = random_features(count, tokens * 3, seed), random_features(others, tokens * 3, seed + 1)
    votes = data.draw(st.integers(1, tokens))
    assume(not close_calls(anchors.numpy(), targets.numpy(), tokens, ratio).any())
    result = token_neighbours(anchors, targets, num_tokens=tokens, ratio=ratio, votes=votes, block=block)
    expected = slow_neighbours(anchors.double().numpy(), targets.double().numpy(), tokens, ratio, votes)
    assert as_lists(result) == expected


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_more_votes_never_add_a_neighbour(seed):
    features = random_features(30, 12, seed)
    lists = [as_lists(token_neighbours(features, features, num_tokens=4, ratio=0.8, votes=v)) for v in (1, 2, 3, 4)]
    for fewer, more in itertools.pairwise(lists):
        assert all(set(b) <= set(a) for a, b in zip(fewer, more, strict=True))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_permuting_the_images_permutes_the_neighbours(seed):
    anchors, targets = random_features(20, 12, seed), random_features(15, 12, seed + 1)
    random = np.random.default_rng(seed)
    rows, columns = random.permutation(20), random.permutation(15)
    options = {"num_tokens": 3, "ratio": 0.7, "votes": 2}
    assume(not close_calls(anchors.numpy(), targets.numpy(), 3, 0.7).any())  # another order, another order of sums
    lists = as_lists(token_neighbours(anchors, targets, **options))
    permuted = as_lists(
        token_neighbours(anchors[torch.from_numpy(rows)], targets[torch.from_numpy(columns)], **options)
    )
    assert [{int(columns[j]) for j in row} for row in permuted] == [set(lists[i]) for i in rows]


def test_a_token_without_a_positive_similarity_has_no_candidate():
    anchors, targets = torch.tensor([[1.0, 1.0]]), torch.tensor([[-1.0, 1.0], [-2.0, 1.0]])
    assert token_neighbours(anchors, targets, num_tokens=2, ratio=0.9, votes=2).num_edges == 0
    assert as_lists(token_neighbours(anchors, targets, num_tokens=2, ratio=0.9, votes=1)) == [[0]]
    assert token_neighbours(torch.zeros(1, 2), targets, num_tokens=2, ratio=0.9, votes=1).num_edges == 0


@pytest.mark.parametrize(("count", "others"), [(0, 0), (0, 4), (4, 0)])
def test_no_anchors_or_no_targets(count, others):
    result = token_neighbours(torch.ones(count, 8), torch.ones(others, 8), num_tokens=4, ratio=0.9, votes=4)
    assert (len(result), result.num_targets, result.num_edges) == (count, others, 0)


@pytest.mark.parametrize(
    ("widths", "options", "message"),
    [
        ((8, 12), {}, "one width"),
        ((9, 9), {}, "multiple"),
        ((8, 8), {"votes": 5}, "votes"),
        ((8, 8), {"votes": 0}, "votes"),
        ((8, 8), {"ratio": 1.0}, "ratio"),
        ((8, 8), {"block": 0}, "block"),
    ],
)
def test_refuses_bad_input(widths, options, message):
    with pytest.raises(ValueError, match=message):
        token_neighbours(
            torch.ones(2, widths[0]), torch.ones(2, widths[1]), **{"num_tokens": 4, "ratio": 0.9, "votes": 4, **options}
        )


@pytest.mark.gpu
def test_the_same_on_the_gpu(golden):
    tokens = torch.from_numpy(golden("neighbours")["tokens_rgb"])
    options = {"num_tokens": 4, "ratio": 0.9, "votes": 3}
    found = [token_neighbours(t, t, block=64, **options) for t in (tokens.cuda(), tokens)]
    on_gpu, on_cpu = (as_matrix(f.indptr, f.indices, len(tokens)) for f in found)
    assert not ((on_gpu ^ on_cpu) & ~close_calls(tokens.numpy(), tokens.numpy(), 4, 0.9)).any()
