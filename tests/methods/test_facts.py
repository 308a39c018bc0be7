import numpy as np
import torch

from tokenmatcher.contracts import ClusterMatch, Modality, Neighbours, PseudoLabels
from tokenmatcher.methods.facts import EXAMPLES, SHOWN, examples_of, facts_of, notes_on_targets
from tokenmatcher.methods.targets import JointTargets

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED
PEOPLE, SHOTS = 10, 9
IDENTITIES = {m: np.repeat(np.arange(PEOPLE), SHOTS) for m in Modality}


def targets(partner=None, facts=None, neighbours=SHOTS):
    """Ten people in a cluster each; of every image the first `neighbours` images of its person are neighbours."""
    labels = {m: PseudoLabels(IDENTITIES[m]) for m in Modality}
    everything = np.arange(PEOPLE * SHOTS)
    found = Neighbours(
        np.concatenate([[0], neighbours * (everything + 1)]),
        (everything[:, None] // SHOTS * SHOTS + np.arange(neighbours)).ravel(),
        len(everything),
    )
    match = ClusterMatch(partner or {m: np.arange(PEOPLE) for m in Modality}, facts=facts or {})
    empty = dict.fromkeys(Modality, torch.zeros(PEOPLE, 4))
    return JointTargets(
        labels=labels, centroids=empty, mixed=empty, instances=empty, match=match,
        neighbours={(a, b): found for a in Modality for b in Modality},
    )  # fmt: skip


def test_examples_are_few_spread_and_of_the_targets():
    found = examples_of(targets())
    assert set(found) == {f"neighbours {a}-{b}" for a in Modality for b in Modality} | {"matches"}
    for name, groups in found.items():
        assert len(groups) == EXAMPLES, name
        firsts = [group[0][1] for group in groups]
        assert firsts[0] < SHOTS and firsts[-1] >= (PEOPLE - 1) * SHOTS, "from the first person to the last"
        for group in groups:
            assert len(group) <= SHOWN + 1
            assert {index // SHOTS for _, index in group} == {group[0][1] // SHOTS}, "neighbours are of the same person"
    assert {m for group in found["matches"] for m, _ in group} == set(Modality)


def test_nothing_to_show_is_no_group():
    nobody = targets({m: np.full(PEOPLE, -1) for m in Modality}, neighbours=0)
    assert all(groups == [] for groups in examples_of(nobody).values())


def test_matched_and_matchable():
    half = np.where(np.arange(PEOPLE) < 5, np.arange(PEOPLE), -1)
    found = facts_of(targets({VISIBLE: half, INFRARED: np.arange(PEOPLE)}), IDENTITIES)["match"]
    assert found["matched"] == 0.75 and found["right"] == 1.0 and found["matchable"] == 1.0


def test_a_raised_capacity_is_noted():
    assert not any("capacity" in note for note in notes_on_targets(targets(facts={"capacity": 2, "raised": False})))
    (note,) = [n for n in notes_on_targets(targets(facts={"capacity": 7, "raised": True})) if "capacity" in n]
    assert "raised to 7" in note
