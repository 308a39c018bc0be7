"""SDCL's objective, memories and neighbours against the published implementation, and against slow loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rounding import U, assert_near, logit, product

from tokenmatcher.contracts import Modality
from tokenmatcher.losses import neighbourhood_contrast, similarities
from tokenmatcher.memory import ClusterMemory, InstanceMemory
from tokenmatcher.methods.base import View
from tokenmatcher.methods.sdcl_objective import SDCLObjective, SDCLTargets, ways_of
from tokenmatcher.mining.neighbours import agreed_candidates, token_neighbours
from tokenmatcher.presets import preset

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED
SHORT = {VISIBLE: "rgb", INFRARED: "ir"}
BRANCHES = ("deep", "shallow")
WIDTH = 32  # of a branch in the vectors
RUNS = {"sysu": (0, 10, 11, 30, 31), "regdb": (0, 20)}
PHASE_ONE = {"sysu": 30, "regdb": 20}


class LabelsOfRows:
    """Labels by batch row: in the vectors an image that stands in a batch twice has two labels."""

    def __init__(self, index, labels):
        self.index, self.labels = index, labels

    def __getitem__(self, index):
        assert np.array_equal(index, self.index)
        return self.labels


def case_of(data, case, dataset, epoch, **changes):
    """An epoch's objective and a batch of it; epochs count over both stages."""

    def get(name):
        return data[f"{case}_{name}"]

    shared = epoch >= PHASE_ONE[dataset]
    recipe = preset(dataset, "paper", "sdcl").override(changes)
    momentum = recipe.losses.momentum_first if epoch == 0 else recipe.losses.momentum
    index = {VISIBLE: np.tile(get("index_rgb"), 2), INFRARED: get("index_ir")}
    batch = {
        VISIBLE: np.tile(get("shared_labels_rgb" if shared else "own_labels_rgb"), 2),
        INFRARED: get("labels_ir"),
    }
    instances = {m: tuple(torch.tensor(get(f"instances_{branch}_{SHORT[m]}")) for branch in BRANCHES) for m in Modality}
    labels = {m: LabelsOfRows(index[m], batch[m]) for m in Modality}
    if shared:
        both = tuple(ClusterMemory(torch.tensor(get(f"memory_{branch}_shared")), momentum) for branch in BRANCHES)
        memories = dict.fromkeys(Modality, both)
    else:
        memories = {
            m: tuple(ClusterMemory(torch.tensor(get(f"memory_{branch}_{SHORT[m]}")), momentum) for branch in BRANCHES)
            for m in Modality
        }
    targets = SDCLTargets(labels=labels, memories=memories, instances=instances, ways=ways_of(epoch, recipe.mining))
    features = {
        m: torch.tensor(np.concatenate([get(f"features_{branch}_{SHORT[m]}") for branch in BRANCHES], axis=1))
        for m in Modality
    }
    views = {m: View(x.requires_grad_(), x[:, None], index[m]) for m, x in features.items()}
    return SDCLObjective(targets, recipe, int(shared)), views


def gradients(objective, views):
    terms = objective.losses(views)
    total = sum(objective.weights[name] * term for name, term in terms.items())
    total.backward()
    return terms, total.item(), {m: view.features.grad for m, view in views.items()}


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize(("dataset", "epoch"), [(name, epoch) for name, epochs in RUNS.items() for epoch in epochs])
@pytest.mark.parametrize("case", ["more_rgb", "more_ir"])
def test_golden(golden, case, dataset, epoch, sequential):
    data, prefix = golden("sdcl_objective"), f"{case}_{dataset}{epoch}_"
    objective, views = case_of(data, case, dataset, epoch, sequential=sequential)
    terms, total, found = gradients(objective, views)
    names = {f"contrast_{b}_{SHORT[m]}": f"{m}_{b}" for m in Modality for b in BRANCHES}
    names |= {
        f"{SHORT[a]}2{SHORT[b]}_{branch}": f"{a.value[:3]}-{b.value[:3]}_{branch}"
        for a in Modality
        for b in Modality
        for branch in BRANCHES
    }
    expected = {ours: float(data[prefix + theirs]) for theirs, ours in names.items() if prefix + theirs in data}
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, abs=20 * logit(WIDTH)), name
    assert total == pytest.approx(float(data[prefix + "total"]), abs=100 * logit(WIDTH))
    kind = "published_grad" if sequential else "grad"
    for m in Modality:
        keys = [f"{prefix}{kind}_{branch}_{SHORT[m]}" for branch in BRANCHES]
        if keys[0] not in data:
            assert sequential or dataset == "regdb"
            continue
        # Sums over all instances of a modality, each a probability times a number of a unit vector, over tau.
        assert_near(found[m], np.concatenate([data[key] for key in keys], axis=1), 4 * logit(WIDTH))


@pytest.mark.parametrize("case", ["more_rgb", "more_ir"])
def test_published_gradients_differ_by_what_was_measured(golden, case):
    """So that a switch which does nothing would be found."""
    data = golden("sdcl_objective")
    for epoch in (10, 30):
        ours, published = (
            gradients(*case_of(data, case, "sysu", epoch, sequential=sequential))[2] for sequential in (False, True)
        )
        both = [torch.cat([part[m].flatten() for m in Modality]) for part in (ours, published)]
        assert (both[0] - both[1]).abs().max() > 100 * logit(WIDTH) * both[0].abs().max() * (epoch == 30)
        assert not torch.equal(*both)


@pytest.mark.parametrize("case", ["more_rgb", "more_ir"])
def test_published_gradients_of_infrared_to_visible(golden, case):
    """Which the vectors lack: by scores of the visible images as they were, and by these as the step leaves them."""
    objective, views = case_of(golden("sdcl_objective"), case, "sysu", 31, sequential=True)
    was = {m: [memory.vectors.clone() for memory in objective.instances[m]] for m in Modality}
    terms = objective.losses(views)
    chosen = torch.ones(len(views[INFRARED].index), len(was[VISIBLE][0]), dtype=torch.bool)
    for own, others in zip(was[INFRARED], was[VISIBLE], strict=True):
        for row, image in enumerate(views[INFRARED].index):
            similar = others @ own[image]
            chosen[row] &= similar > 0.9 * similar.max()
    assert chosen.any()
    for place, branch in enumerate(BRANCHES):
        (found,) = torch.autograd.grad(terms[f"inf-vis_{branch}"], views[INFRARED].features, retain_graph=True)
        moved = was[VISIBLE][place].clone()
        for x, image in zip(views[VISIBLE].features.detach().chunk(2, 1)[place], views[VISIBLE].index, strict=True):
            moved[image] = F.normalize(0.9 * moved[image] + 0.1 * x, dim=0)
        x = views[INFRARED].features.detach().chunk(2, 1)[place].clone().requires_grad_()
        unit = F.normalize(x, dim=1)
        scores = (unit.detach() @ was[VISIBLE][place].T).requires_grad_()
        surprise = -F.softmax(scores / 0.05, dim=1).clamp(min=1e-8).log()
        ((surprise * chosen).sum(1) / (chosen.sum(1) + 1)).mean().backward()
        (as_it_was,) = torch.autograd.grad(unit, x, scores.grad @ was[VISIBLE][place], retain_graph=True)
        (expected,) = torch.autograd.grad(unit, x, scores.grad @ moved)
        assert_near(found.chunk(2, 1)[place], expected, 4 * logit(WIDTH))
        assert (expected - as_it_was).abs().max() > 100 * 4 * logit(WIDTH) * expected.abs().max()


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize(
    ("run", "kept"), [(("sysu", 0), "own_m10"), (("regdb", 0), "own_m99"), (("sysu", 30), "shared")]
)
@pytest.mark.parametrize("case", ["more_rgb", "more_ir"])
def test_golden_memories(golden, case, run, kept, sequential):
    data = golden("sdcl_objective")
    objective, views = case_of(data, case, *run, sequential=sequential)
    before = [memory.vectors.clone() for memory in objective.all_memories()]
    objective.losses(views)
    after = [memory.vectors for memory in objective.all_memories()]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True)), "losses must not write"
    objective.update(views)
    for place, branch in enumerate(BRANCHES):
        for m in Modality:
            found = objective.memories[m][place].vectors
            key = f"{case}_shared_m10_memory_{branch}_after"
            if kept != "shared":
                key = f"{case}_{kept}_memory_{branch}_{SHORT[m]}_after"
            np.testing.assert_allclose(found, data[key], rtol=0, atol=4 * product(WIDTH))
            found = objective.instances[m][place].vectors
            key = f"{case}_instances_{branch}_{SHORT[m]}_after"
            np.testing.assert_allclose(found, data[key], rtol=0, atol=4 * product(WIDTH))


@pytest.mark.parametrize("anchor", Modality)
@pytest.mark.parametrize("target", Modality)
def test_golden_neighbours(golden, anchor, target):
    data = golden("sdcl_neighbours")
    rows, targets = ([torch.tensor(data[f"{branch}_{SHORT[m]}"]) for branch in BRANCHES] for m in (anchor, target))
    key, ratio = f"{SHORT[anchor]}2{SHORT[target]}", float(data["ratio"])
    found = agreed_candidates(rows, targets, ratio)
    assert found.sum(1).tolist() == np.diff(data[f"{key}_indptr"]).tolist()
    assert found.nonzero()[:, 1].tolist() == data[f"{key}_indices"].tolist()
    # The log looks at them by another way.
    lists = token_neighbours(torch.cat(rows, 1), torch.cat(targets, 1), num_tokens=2, ratio=ratio, votes=2)
    assert lists.indices.tolist() == data[f"{key}_indices"].tolist()


def test_neighbours_are_found_by_memory_rows_and_not_by_features(golden):
    objective, views = case_of(golden("sdcl_objective"), "more_rgb", "sysu", 0)
    before = objective.losses(views)
    other = {m: replace(view, features=view.features.detach().flip(1)) for m, view in views.items()}
    again = objective.losses(other)
    assert before["vis-vis_deep"] != again["vis-vis_deep"]
    chosen = agreed_candidates(
        [memory.vectors[views[VISIBLE].index] for memory in objective.instances[VISIBLE]],
        [memory.vectors for memory in objective.instances[VISIBLE]],
        0.9,
    )
    deep = other[VISIBLE].features[:, :WIDTH]
    expected = neighbourhood_contrast(deep, objective.instances[VISIBLE][0].vectors, chosen, 0.05)
    assert torch.equal(again["vis-vis_deep"], expected)


def slow_neighbourhood(features, instances, chosen, temperature):
    total = 0 * features.double().sum()
    for x, row in zip(features.double(), chosen, strict=True):
        p = (instances.double() @ F.normalize(x, dim=0) / temperature).softmax(0)
        own = sum((-p[j].clamp(min=1e-8).log() for j in row.nonzero()[:, 0]), torch.zeros((), dtype=torch.float64))
        total = total + own / (row.sum() + 1)
    return total / len(features)


@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_neighbourhood_contrast_is_the_slow_loop(density):
    torch.manual_seed(1)
    features = torch.randn(7, 8, requires_grad=True)
    slow = features.detach().clone().requires_grad_()
    instances = F.normalize(torch.randn(11, 8), dim=1)
    chosen = torch.rand(7, 11) < density
    loss, expected = (
        f(x, instances, chosen, 0.05) for f, x in ((neighbourhood_contrast, features), (slow_neighbourhood, slow))
    )
    assert loss.item() == pytest.approx(expected.item(), abs=20 * logit(8))
    loss.backward()
    expected.backward()
    assert_near(features.grad, slow.grad, 30 * logit(8))
    assert (loss == 0) == (density == 0)


def test_the_floor_stops_the_gradient():
    """p of the opposite instance is e^-40: the loss is -log 1e-8 over 2, and nothing pulls."""
    features = torch.tensor([[1.0, 0.0]], requires_grad=True)
    instances = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    loss = neighbourhood_contrast(features, instances, torch.tensor([[False, True]]), 0.05)
    assert loss.item() == pytest.approx(8 * np.log(10) / 2, rel=4 * U)
    loss.backward()
    assert torch.equal(features.grad, torch.zeros(1, 2))


def test_moved_similarities_have_one_memorys_values_and_the_others_gradient():
    memory, moved = (F.normalize(torch.randn(3, 4), dim=1) for _ in range(2))
    values, pulls = [], []
    for one, other in ((memory, moved), (memory, None), (moved, None)):
        x = torch.ones(2, 4, requires_grad=True)
        scores = similarities(x, one, other)
        scores[:, 1].sum().backward()
        values.append(scores.detach())
        pulls.append(x.grad)
    assert torch.equal(values[0], values[1])
    assert torch.equal(pulls[0], pulls[2])
    assert not torch.equal(pulls[0], pulls[1])


@pytest.mark.parametrize("unit", [False, True])
def test_instance_memory_is_the_slow_loop(unit):
    torch.manual_seed(2)
    memory = InstanceMemory(F.normalize(torch.randn(6, 5), dim=1), 0.9)
    expected = memory.vectors.clone()
    features, index = 20 * torch.randn(9, 5), np.array([0, 3, 3, 5, 0, 3, 1, 1, 5])
    memory.update(features, index, unit=unit)
    for x, i in zip(features, index, strict=True):
        expected[i] = F.normalize(0.9 * expected[i] + 0.1 * (F.normalize(x, dim=0) if unit else x), dim=0)
    np.testing.assert_allclose(memory.vectors, expected, rtol=0, atol=4 * product(5))
    assert torch.equal(memory.vectors[[2, 4]], expected[[2, 4]])
    memory.update(features[:0], index[:0])


def test_which_neighbours_are_learned_from_when():
    sysu, regdb = (preset(name, "paper", "sdcl").mining for name in ("sysu", "regdb"))
    within = ((VISIBLE, VISIBLE), (INFRARED, INFRARED))
    assert ways_of(0, sysu) == ways_of(9, sysu) == within
    assert ways_of(0, regdb) == ()
    assert ways_of(1, regdb) == within
    for config in (sysu, regdb):
        assert ways_of(10, config) == (*within, (VISIBLE, INFRARED))
        assert ways_of(11, config) == (*within, (INFRARED, VISIBLE))
