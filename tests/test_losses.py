import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding import assert_near, logit, product

from tokenmatcher.losses import cluster_contrast, neighbour_contrast, token_diversity


def unit(vector):
    return vector / np.sqrt((vector**2).sum())


def slow_cluster_contrast(features, memory, targets, temperature):
    total = 0.0
    for row, target in zip(features, targets, strict=True):
        scores = [float(unit(row) @ centroid) / temperature for centroid in memory]
        total += math.log(sum(math.exp(s - scores[target]) for s in scores))
    return total / len(features)


def slow_diversity(tokens):
    total = 0.0
    for image in tokens:
        alike = [abs(float(unit(a) @ unit(b))) for i, a in enumerate(image) for b in image[i + 1 :]]
        weights = [math.exp(value) for value in alike]
        total += sum(w * v for w, v in zip(weights, alike, strict=True)) / sum(weights)
    return total / len(tokens)


def slow_neighbour_contrast(features, instances, neighbours, temperature):
    terms = []
    for row, own in zip(features, neighbours, strict=True):
        scores = [float(unit(row) @ instance) / temperature for instance in instances]
        terms += [math.log(sum(math.exp(s - scores[j]) for s in scores)) for j in own]
    return sum(terms) / len(terms)


@pytest.mark.parametrize("momentum", ["2", "8"])
def test_cluster_contrast_golden(golden, momentum):
    data = golden("cluster_memory")
    inputs = torch.tensor(data["inputs"], requires_grad=True)
    loss = cluster_contrast(inputs, torch.tensor(data["memory_before"]), torch.tensor(data["targets"]), 0.05)
    loss.backward()
    assert loss.item() == pytest.approx(float(data[f"all_m{momentum}_loss"]), abs=logit(32))
    assert_near(inputs.grad, data[f"all_m{momentum}_grad"], logit(32))  # it is as good as its probabilities


def test_diversity_golden(golden):
    data = golden("diversity")
    tokens = torch.tensor(data["tokens"], requires_grad=True)
    loss = token_diversity(tokens)
    loss.backward()
    # The weights have the cosines' error once more.
    assert loss.item() == pytest.approx(float(data["loss"]), abs=2 * product(24))
    # Through the normalising: what is left of a cosine's gradient is its part across, a difference of two numbers.
    assert_near(tokens.grad, data["grad"], 4 * product(24))


def test_neighbour_contrast_golden(golden):
    data = golden("neighbour_contrast")
    queries = torch.tensor(data["queries"], requires_grad=True)
    anchors = np.repeat(np.arange(len(queries)), np.diff(data["neighbours_indptr"]))
    loss = neighbour_contrast(
        queries,
        torch.tensor(data["instances"]),
        torch.tensor(anchors),
        torch.tensor(data["neighbours_indices"]),
        float(data["temperature"]),
    )
    loss.backward()
    assert loss.item() == pytest.approx(float(data["loss"]), abs=logit(32))
    assert_near(queries.grad, data["grad"], logit(32))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5), st.integers(2, 6))
def test_losses_equal_the_slow_loop(seed, batch, clusters, width):
    """In double precision: 1e-9 is a million roundings."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((batch, width))
    memory = np.stack([unit(row) for row in rng.standard_normal((clusters, width))])
    targets = rng.integers(0, clusters, batch)
    loss = cluster_contrast(torch.tensor(features), torch.tensor(memory), torch.tensor(targets), 0.1)
    assert loss.item() == pytest.approx(slow_cluster_contrast(features, memory, targets, 0.1), rel=1e-9)

    tokens = rng.standard_normal((batch, clusters + 1, width))
    assert token_diversity(torch.tensor(tokens)).item() == pytest.approx(slow_diversity(tokens), rel=1e-9)

    neighbours = [np.flatnonzero(rng.random(clusters) < 0.5) for _ in range(batch)]
    neighbours[0] = np.arange(clusters)
    loss = neighbour_contrast(
        torch.tensor(features),
        torch.tensor(memory),
        torch.tensor(np.repeat(np.arange(batch), [len(own) for own in neighbours])),
        torch.tensor(np.concatenate(neighbours)),
        0.1,
    )
    assert loss.item() == pytest.approx(slow_neighbour_contrast(features, memory, neighbours, 0.1), rel=1e-9)


def test_no_pair_no_loss():
    features = torch.randn(3, 4, requires_grad=True)
    nothing = torch.empty(0, dtype=torch.long)
    loss = neighbour_contrast(features, torch.randn(5, 4), nothing, nothing, 0.05)
    loss.backward()
    assert loss.item() == 0
    assert not features.grad.any()


def test_identical_tokens_are_least_diverse():
    same = torch.ones(2, 4, 8)
    assert token_diversity(same).item() == pytest.approx(1, abs=2 * product(8))
    apart = torch.eye(8)[:4].expand(2, 4, 8)
    assert token_diversity(apart).item() == 0
