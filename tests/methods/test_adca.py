"""ADCA's objective against the published implementation and slow loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import INFRARED, SHORT, VISIBLE, gradients, labels_of, near, slow_unit, views_of
from rounding import product

from tokenmatcher.contracts import Modality
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.methods.adca import aggregated
from tokenmatcher.methods.dual import DualObjective

MOMENTUM, TEMPERATURE, SHARE, WIDTH = 0.1, 0.05, 0.9, 48


def partner_of(pairs, count):
    found = np.full(count, -1)
    found[pairs[:, 0]] = pairs[:, 1]
    return found


def memories_of(data, case, kind):
    """As they are when an epoch of a stage begins."""
    vectors = {m: torch.tensor(data[f"{case}_memory_{SHORT[m]}"]) for m in Modality}
    if kind != "stage1":
        partner = partner_of(data[f"{case}_pairs"], len(vectors[VISIBLE]))
        vectors[VISIBLE] = aggregated(vectors[VISIBLE], vectors[INFRARED], partner, share=SHARE)
    return {m: ClusterMemory(vectors[m], MOMENTUM, unit=kind == "stage2_unit") for m in Modality}


@pytest.mark.parametrize("kind", ["stage1", "stage2", "stage2_unit"])
@pytest.mark.parametrize("case", ["more_rgb", "more_ir"])
def test_golden(golden, case, kind):
    data = golden("adca_objective")
    memories = memories_of(data, case, kind)
    for m in Modality:
        near(memories[m].vectors, data[f"{case}_{kind}_memory_{SHORT[m]}_before"], WIDTH)
    objective = DualObjective(labels_of(data, case), memories, temperature=TEMPERATURE, write="each")
    views = views_of(data, case)
    terms = objective.losses(views)
    for m in Modality:
        assert terms[m.value].item() == pytest.approx(float(data[f"{case}_{kind}_{SHORT[m]}"]), abs=1e-4)
    total = sum(objective.weights[name] * term for name, term in terms.items())
    assert total.item() == pytest.approx(float(data[f"{case}_{kind}_total"]), abs=1e-4)
    assert set(terms) == set(objective.weights) == {"visible", "infrared"}
    total.backward()
    gradients(views, data, f"{case}_{kind}_grad")
    objective.update(views)
    for m in Modality:
        near(memories[m].vectors, data[f"{case}_{kind}_memory_{SHORT[m]}_after"], WIDTH)


@pytest.mark.parametrize("case", ["more_rgb", "more_ir", "equal", "count_ties", "none_above"])
def test_aggregation_is_the_published_one(golden, case):
    data = golden("adca_alignment")
    visible, infrared = (torch.tensor(data[f"{case}_memory_{short}"]) for short in ("rgb", "ir"))
    before = visible.clone(), infrared.clone()
    joined = aggregated(visible, infrared, partner_of(data[f"{case}_pairs"], len(visible)), share=SHARE)
    near(joined, data[f"{case}_memory_rgb_after"], 32)
    assert torch.equal(infrared, before[1]) and torch.equal(visible, before[0])
    near(infrared, data[f"{case}_memory_ir_after"], 32)
    changed = (joined != visible).any(1).nonzero()[:, 0].tolist()
    assert changed == sorted(data[f"{case}_pairs"][:, 0].tolist())


@settings(max_examples=40)
@given(st.integers(0, 9999), st.integers(1, 8), st.integers(1, 8), st.floats(0, 1))
def test_aggregation_is_the_slow_loop(seed, visible, infrared, share):
    """In double precision."""
    rng = np.random.default_rng(seed)
    own, other = (slow_unit(rng.standard_normal((count, 5))) for count in (visible, infrared))
    partner = rng.integers(-1, infrared, visible)
    expected = own.copy()
    for v, r in enumerate(partner):
        if r != -1:
            expected[v] = (1 - share) * own[v] + share * other[r]
    found = aggregated(torch.tensor(own), torch.tensor(other), partner, share=share)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    assert found.norm(dim=1).max() <= 1 + 1e-12, "no vector becomes longer"


def test_vectors_that_are_not_unit_are_with_their_first_update():
    memory = ClusterMemory(torch.tensor([[0.5, 0.0], [0.0, 0.25]]), 0.5, unit=False)
    assert memory.vectors.norm(dim=1).tolist() == [0.5, 0.25]
    memory.update(torch.tensor([[1.0, 0.0]]), np.array([0]))
    assert memory.vectors.norm(dim=1).tolist() == pytest.approx([1.0, 0.25], abs=product(2))
