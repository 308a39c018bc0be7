"""What holds for every matcher of the package, whatever the clusters are like."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.nn import functional
from worlds import INFRARED, VISIBLE, WORLDS, world

from tokenmatcher.contracts import NO_PARTNER, Modality, PseudoLabels
from tokenmatcher.doors import MATCHERS, find_matcher
from tokenmatcher.errors import UserError
from tokenmatcher.mining.clusters import centroids
from tokenmatcher.mining.matchers.base import Clusters, ask, matched, nobody

TOTAL = {"greedy", "hungarian", "sinkhorn"}
ONE_TO_ONE = {"counts", "mutual"}


@pytest.mark.parametrize("name", MATCHERS)
@settings(max_examples=60)
@given(clusters=WORLDS)
def test_a_match_is_whole(name, clusters):
    match = find_matcher(name)(clusters)
    for m in Modality:
        partner = match.partner[m]
        assert len(partner) == clusters.labels[m].num_clusters
        if name in TOTAL:
            assert (partner != NO_PARTNER).all()
        if name in ONE_TO_ONE:
            mine = np.flatnonzero(partner != NO_PARTNER)
            assert (match.partner[m.other][partner[mine]] == mine).all()
    partner = match.partner[match.larger]
    for first, second in match.fused:
        assert partner[first] == partner[second] != NO_PARTNER
    assert all(np.isfinite(value) for value in match.facts.values())


@pytest.mark.parametrize("name", MATCHERS)
@pytest.mark.parametrize(("visible", "infrared"), [(0, 3), (3, 0), (0, 0)])
def test_nobody_to_match_is_nobody_matched(name, visible, infrared):
    match = find_matcher(name)(world(0, visible, infrared))
    assert match.partner[VISIBLE].tolist() == [-1] * visible
    assert match.partner[INFRARED].tolist() == [-1] * infrared


@pytest.mark.parametrize("name", MATCHERS)
@pytest.mark.parametrize(("visible", "infrared"), [(60, 2), (2, 60), (1, 1), (1, 40)])
def test_lopsided_and_tiny(name, visible, infrared):
    match = find_matcher(name)(world(1, visible, infrared))
    assert len(match.partner[VISIBLE]) == visible and len(match.partner[INFRARED]) == infrared


@pytest.mark.parametrize("name", MATCHERS)
def test_people_told_apart_are_matched_rightly(name):
    """Ten people, in both modalities the same pictures but for a little noise."""
    rng = np.random.default_rng(0)
    people = rng.standard_normal((10, 32))
    order = rng.permutation(10)
    shown = {VISIBLE: people.repeat(6, 0), INFRARED: people[np.argsort(order)].repeat(6, 0)}
    features = {m: torch.from_numpy(own + 0.05 * rng.standard_normal(own.shape)).float() for m, own in shown.items()}
    labels = {m: PseudoLabels(np.arange(10).repeat(6)) for m in Modality}
    centres = {m: centroids(features[m], labels[m]) for m in Modality}
    match = find_matcher(name)(Clusters(features, labels, centres, 4, capacity=2, ranked=5))
    assert match.partner[VISIBLE].tolist() == order.tolist()
    assert match.partner[INFRARED].tolist() == np.argsort(order).tolist()
    assert match.fused.size == 0


def test_two_on_one_partner_are_fused_the_stronger_first():
    visible, infrared = np.array([1, 0, 1, 2, 2, 2, -1, -1]), np.array([1, 0, 3])
    assert matched(visible, infrared, np.array([1.0, 5, 2, 1, 1, 1, 9, 9])).fused.tolist() == [[2, 0]]
    assert matched(visible, infrared, np.zeros(8)).fused.tolist() == [[0, 2]], "of equals the lower is first"


def test_the_clusters_say_how_alike_they_are():
    clusters = world(3, 4, 2)
    expected = clusters.centroids[VISIBLE].numpy() @ clusters.centroids[INFRARED].numpy().T
    assert clusters.similarity == pytest.approx(expected, abs=1e-6)
    assert functional.normalize(clusters.centroids[VISIBLE], dim=1).numpy() == pytest.approx(
        clusters.centroids[VISIBLE].numpy(), abs=1e-6
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda _: None, "'<lambda>' must return a ClusterMatch, not NoneType"),
        (lambda _: (np.zeros(3), np.zeros(2)), "'<lambda>' must return a ClusterMatch, not tuple"),
        (lambda _: nobody(4, 2), "4 partners of 3 visible clusters"),
        (lambda _: nobody(3, 1), "1 partners of 2 infrared clusters"),
    ],
)
def test_a_wrong_answer_is_blamed_on_the_matcher(answer, message):
    with pytest.raises(UserError, match=rf"test_every_matcher\.py, line \d+: {message}"):
        ask(answer, world(0, 3, 2))
