"""PGM's assignment against the published one and against all there are."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.mining.matchers.base import Clusters
from tokenmatcher.mining.matchers.hungarian import assign_in_rounds, match

CASES = ("more_rgb", "more_ir", "equal", "twice_rgb", "over_twice_rgb", "over_twice_ir", "over_thrice_rgb")


@pytest.mark.parametrize("case", CASES)
def test_golden(golden, case):
    data = {name.removeprefix(f"{case}_"): v for name, v in golden("pgm_matching").items() if name.startswith(case)}
    centres = {
        m: torch.nn.functional.normalize(torch.tensor(data[f"clusters_{short}"]), dim=1)
        for m, short in ((Modality.VISIBLE, "rgb"), (Modality.INFRARED, "ir"))
    }
    labels = {m: PseudoLabels(np.arange(len(centres[m]))) for m in Modality}
    clusters = Clusters(centres, labels, centres, 1, capacity=2)
    found = match(clusters)
    larger = Modality.INFRARED if case.endswith("_ir") else Modality.VISIBLE
    assert found.larger is larger
    assert found.partner[larger].tolist() == data["larger_to_smaller"].tolist()
    assert found.partner[larger.other].tolist() == data["smaller_to_larger"].tolist()
    assert found.facts["rounds"] == data["larger_round"].max()
    similarity = clusters.similarity if larger is Modality.VISIBLE else clusters.similarity.T
    assert assign_in_rounds(similarity)[1].tolist() == data["larger_round"].tolist()
    published = np.concatenate([data["published_rgb_to_ir"], data["published_ir_to_rgb"]])
    assert (published == -1).any() == (data["larger_round"].max() > 2), "what rounds without end are for"


def cost_of(similarity, rows, columns):
    return float(np.exp(-similarity[list(rows), list(columns)]).sum())


@settings(max_examples=40)
@given(st.integers(0, 9999), st.integers(1, 6), st.integers(1, 3))
def test_each_round_costs_least_of_all_there_are(seed, num_rows, num_columns):
    """In double precision: 1e-12 is some thousand roundings."""
    num_rows = max(num_rows, num_columns)
    similarity = np.random.default_rng(seed).uniform(-1, 1, (num_rows, num_columns))
    column, came_in = assign_in_rounds(similarity)
    left = list(range(num_rows))
    for number in range(1, came_in.max() + 1):
        mine = np.flatnonzero(came_in == number).tolist()
        if len(left) >= num_columns:
            every = range(num_columns)
            ways = [cost_of(similarity, rows, every) for rows in itertools.permutations(left, num_columns)]
        else:
            ways = [cost_of(similarity, left, some) for some in itertools.permutations(range(num_columns), len(left))]
        assert cost_of(similarity, mine, column[mine]) <= min(ways) * (1 + 1e-12)
        assert len(set(column[mine].tolist())) == len(mine) == min(len(left), num_columns)
        left = [row for row in left if row not in mine]
    assert left == []


def test_ties_are_taken_too():
    column, came_in = assign_in_rounds(np.zeros((7, 3)))
    assert sorted(came_in.tolist()) == [1, 1, 1, 2, 2, 2, 3]
    assert all(len(set(column[came_in == number])) == (came_in == number).sum() for number in (1, 2, 3))
