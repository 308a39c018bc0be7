"""PGM's objective against the published implementation and slow loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import INFRARED, SHORT, VISIBLE, gradients, labels_of, near, slow_dual, slow_unit, views_of

from tokenmatcher.contracts import ClusterMatch, Modality, PseudoLabels
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.methods.base import View
from tokenmatcher.methods.pgm import AlternateObjective

MOMENTUM, TEMPERATURE, WEIGHT, WIDTH = 0.2, 0.05, 0.25, 48
CASES = ("more_rgb", "more_ir", "equal")
WRITE = {"all": "each", "hard": "hard"}


def objective_of(data, case, match, epoch, write):
    memories = {m: ClusterMemory(torch.tensor(data[f"{case}_memory_{SHORT[m]}"]), MOMENTUM) for m in Modality}
    return AlternateObjective(
        labels_of(data, case), memories, match, epoch, weight=WEIGHT, temperature=TEMPERATURE, write=write
    )


def match_of(data, case, when):
    if when == "nomatch":
        return ClusterMatch({m: np.full(len(data[f"{case}_memory_{SHORT[m]}"]), -1) for m in Modality})
    return ClusterMatch({VISIBLE: data[f"{case}_rgb_to_ir"], INFRARED: data[f"{case}_ir_to_rgb"]})


@pytest.mark.parametrize("kind", ["all", "hard"])
@pytest.mark.parametrize("when", ["nomatch", "epoch0", "epoch1"])
@pytest.mark.parametrize("case", CASES)
def test_golden(golden, case, when, kind):
    data, prefix = golden("pgm_objective"), f"{case}_{when}_{kind}"
    objective = objective_of(data, case, match_of(data, case, when), int(when == "epoch1"), WRITE[kind])
    views = views_of(data, case)
    terms = objective.losses(views)
    for m in Modality:
        assert terms[m.value].item() == pytest.approx(float(data[f"{prefix}_{SHORT[m]}"]), abs=1e-4)
    if when == "nomatch":
        assert "cross" not in terms
    else:
        assert terms["cross"].item() == pytest.approx(float(data[f"{prefix}_cross"]), abs=1e-4)
    total = sum(objective.weights[name] * term for name, term in terms.items())
    assert total.item() == pytest.approx(float(data[f"{prefix}_total"]), abs=1e-4)
    before = {m: objective.memories[m].vectors.clone() for m in Modality}
    total.backward()
    assert all(torch.equal(before[m], objective.memories[m].vectors) for m in Modality), "losses must not write"
    gradients(views, data, f"{prefix}_grad")
    if when != "nomatch":
        own = objective.across.other
        published, sound = (data[f"{prefix}_{kind}_{SHORT[own]}"] for kind in ("published_grad", "grad"))
        assert np.abs(published - sound).max() > 0.1 * np.abs(sound).max(), "what writing before the gradient makes"
    objective.update(views)
    for m in Modality:
        near(objective.memories[m].vectors, data[f"{prefix}_memory_{SHORT[m]}_after"], WIDTH)


@settings(max_examples=60)
@given(
    st.integers(0, 9999), st.integers(2, 6), st.integers(2, 6), st.integers(0, 3), st.sampled_from(("each", "hard")),
    st.integers(0, 12),
)  # fmt: skip
def test_is_the_slow_loop(seed, visible, infrared, epoch, write, batch):
    """A match with gaps; in double precision, a million roundings."""
    rng = np.random.default_rng(seed)
    counts = {VISIBLE: visible, INFRARED: infrared}
    centres = {m: slow_unit(rng.standard_normal((counts[m], 5))) for m in Modality}
    labels = {m: np.concatenate([np.arange(counts[m]), rng.integers(0, counts[m], batch)]) for m in Modality}
    index = {m: rng.permutation(len(labels[m])) for m in Modality}
    values = {m: rng.standard_normal((len(index[m]), 5)) for m in Modality}
    partner = {m: rng.integers(-1, counts[m.other], counts[m]) for m in Modality}
    terms, after = slow_dual(
        {m: values[m] for m in Modality}, {m: labels[m][index[m]] for m in Modality}, centres, MOMENTUM, TEMPERATURE,
        write, across=(VISIBLE if epoch % 2 == 0 else INFRARED), partner=partner,
    )  # fmt: skip
    objective = AlternateObjective(
        {m: PseudoLabels(labels[m]) for m in Modality},
        {m: ClusterMemory(torch.tensor(centres[m]), MOMENTUM) for m in Modality},
        ClusterMatch(partner),
        epoch,
        weight=WEIGHT,
        temperature=TEMPERATURE,
        write=write,
    )
    views = {m: View(torch.tensor(values[m]), torch.tensor(values[m]).unsqueeze(1), index[m]) for m in Modality}
    found = objective.losses(views)
    assert {name: value.item() for name, value in found.items()} == pytest.approx(terms, rel=1e-9, abs=1e-9)
    objective.update(views)
    for m in Modality:
        np.testing.assert_allclose(objective.memories[m].vectors, after[m], rtol=0, atol=1e-10)
