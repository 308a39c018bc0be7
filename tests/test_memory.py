import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding import product

from tokenmatcher.memory import ClusterMemory, occurrence_rounds


def unit(vector):
    return vector / np.sqrt((vector**2).sum())


@pytest.mark.parametrize("momentum", [0.2, 0.8])
@pytest.mark.parametrize("kind", ["all", "hard"])
def test_golden(golden, momentum, kind):
    data = golden("cluster_memory")
    memory = ClusterMemory(torch.tensor(data["memory_before"]), momentum)
    update = memory.update if kind == "all" else memory.update_hardest
    update(torch.tensor(data["inputs"]), data["targets"])
    expected = data[f"{kind}_m{int(momentum * 10)}_memory_after"]
    # Each update shrinks the errors of those before it and makes one of its own, of two normalised vectors.
    np.testing.assert_allclose(memory.vectors, expected, rtol=0, atol=3 * product(32))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 12), st.floats(0, 0.99))
def test_updates_equal_the_slow_loop(seed, clusters, batch, momentum):
    """In double precision, a million roundings; random samples are not as nearly equally hard as that."""
    rng = np.random.default_rng(seed)
    before, features = rng.standard_normal((clusters, 6)), rng.standard_normal((batch, 6))
    targets = rng.integers(0, clusters, batch)

    expected = np.stack([unit(row) for row in before])
    for row, target in zip(features, targets, strict=True):
        expected[target] = unit(momentum * expected[target] + (1 - momentum) * unit(row))
    memory = ClusterMemory(torch.tensor(before), momentum)
    memory.update(torch.tensor(features), targets)
    np.testing.assert_allclose(memory.vectors, expected, rtol=1e-9, atol=1e-12)

    expected = np.stack([unit(row) for row in before])
    for cluster in set(targets.tolist()):
        own = [unit(row) for row, target in zip(features, targets, strict=True) if target == cluster]
        hardest = min(own, key=lambda row: float(row @ expected[cluster]))
        expected[cluster] = unit(momentum * expected[cluster] + (1 - momentum) * hardest)
    memory = ClusterMemory(torch.tensor(before), momentum)
    memory.update_hardest(torch.tensor(features), targets)
    np.testing.assert_allclose(memory.vectors, expected, rtol=1e-9, atol=1e-12)


@given(st.lists(st.integers(0, 4), max_size=30))
def test_rounds_keep_order_and_hold_each_value_once(values):
    rounds = occurrence_rounds(np.array(values, dtype=np.int64))
    assert sorted(np.concatenate(rounds).tolist() if rounds else []) == list(range(len(values)))
    for positions in rounds:
        taken = [values[p] for p in positions]
        assert len(set(taken)) == len(taken)
    for value in set(values):
        order = [p for positions in rounds for p in positions if values[p] == value]
        assert order == [p for p, v in enumerate(values) if v == value]


def test_update_leaves_the_graph_alone():
    features = torch.randn(4, 3, requires_grad=True)
    memory = ClusterMemory(torch.randn(2, 3), 0.5)
    memory.update(features, np.array([0, 1, 0, 1]))
    assert not memory.vectors.requires_grad
