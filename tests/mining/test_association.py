"""SDCL's association against the published one and against slow loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tokenmatcher.contracts import PseudoLabels
from tokenmatcher.mining.association import agreed, associate, most_similar, smoothed, votes_of


def parts(data, case, short):
    return tuple(torch.tensor(data[f"{case}_{branch}_{short}"]) for branch in ("deep", "shallow"))


@pytest.mark.parametrize("k", [20, 10])
@pytest.mark.parametrize("case", ["more_rgb", "more_ir"])
def test_golden(golden, case, k):
    data = golden("sdcl_association")
    visible, infrared = parts(data, case, "rgb"), parts(data, case, "ir")
    labels = PseudoLabels(data[f"{case}_labels_ir"])
    unit = [[functional.normalize(part, dim=1) for part in own] for own in (visible, infrared)]
    lists = [labels.labels[most_similar(own, other, k, block=50)] for own, other in zip(*unit, strict=True)]
    assert agreed(*lists).tolist() == data[f"{case}_k{k}_before_smoothing"].tolist()
    assert associate(visible, infrared, labels, ranked=k).tolist() == data[f"{case}_k{k}_labels_rgb"].tolist()


@settings(max_examples=60)
@given(st.integers(0, 9999), st.integers(0, 7), st.integers(0, 9), st.integers(1, 6), st.integers(1, 4))
def test_lists_are_those_of_a_sort(seed, rows, targets, k, block):
    """In double precision, where random products in another order of sums come in no other order."""
    rng = np.random.default_rng(seed)
    one, two = (torch.from_numpy(rng.standard_normal((count, 5))) for count in (rows, targets))
    found = most_similar(one, two, k, block=block)
    assert found.tolist() == [sorted(range(targets), key=lambda j: -row[j])[:k] for row in (one @ two.T).numpy()]


def test_of_equals_the_lower_comes_first():
    assert most_similar(torch.ones(1, 2), torch.ones(4, 2), 4).tolist() == [[0, 1, 2, 3]]


@settings(max_examples=100)
@given(st.integers(0, 9999), st.integers(0, 6), st.integers(1, 7))
def test_agreement_and_smoothing_are_the_slow_loops(seed, images, k):
    rng = np.random.default_rng(seed)
    deep, shallow = rng.integers(-1, 3, (2, images, k))
    for d, s, found in zip(deep, shallow, agreed(deep, shallow), strict=True):
        best = max(range(k), key=lambda place: (list(s).count(d[place]), -place))
        assert found == d[best]
    features = functional.normalize(torch.from_numpy(rng.standard_normal((images, 4))).float(), dim=1)
    labels = rng.integers(-1, 3, images)
    similarity = (features @ features.T).numpy()
    for row, found in enumerate(smoothed(labels, features)):
        near = sorted(range(images), key=lambda j: -np.inf if j == row else -similarity[row, j])[:5]
        votes = labels[near].tolist()
        assert found == max(range(-1, 3), key=lambda label: (votes.count(label), -label))


def test_no_infrared_image_is_no_cluster():
    visible = (torch.ones(3, 4), torch.ones(3, 4))
    assert associate(visible, (torch.ones(0, 4),) * 2, PseudoLabels(np.array([])), ranked=5).tolist() == [-1, -1, -1]


def test_votes():
    own = PseudoLabels(np.array([0, 0, 1, -1, 1, 1]))
    assert votes_of(np.array([2, -1, 0, 1, 0, 2]), own, 3).tolist() == [[1, 0, 0, 1], [0, 2, 0, 1]]
