import numpy as np
import pytest
import torch
from rounding import U, assert_near, layers
from small import SMALL

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.errors import UserError
from tokenmatcher.images.batches import Batch
from tokenmatcher.machine import Machine
from tokenmatcher.methods.contrast import ContrastObjective
from tokenmatcher.methods.targets import ContrastTargets
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.presets import preset
from tokenmatcher.training.step import (
    GRADIENT,
    Losses,
    forward,
    make_optimizer,
    restore_optimizer,
    set_learning_rate,
    train_step,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TokenViT(SMALL)


def make_batch(seed=0, count=6):
    generator = torch.Generator().manual_seed(seed)
    images = {m: torch.randn(count, 3, 32, 16, generator=generator) for m in Modality}
    return Batch(images, {m: np.arange(count) for m in Modality})


def make_objective():
    labels = PseudoLabels(np.array([0, 0, 1, 1, 2, 2]))
    width = SMALL.num_tokens * SMALL.embed_dim
    centroids = {m: torch.randn(3, width, generator=torch.Generator().manual_seed(1)) for m in Modality}
    return ContrastObjective(
        ContrastTargets(dict.fromkeys(Modality, labels), centroids), preset("sysu", "paper").losses
    )


def test_views_are_the_modalities(model):
    model.eval()
    batch = make_batch()
    views = forward(model, batch, Machine())
    for modality in Modality:
        alone = model(**{modality.value: batch.images[modality]})
        assert_near(views[modality].features, alone.features, layers(2 + 3 + 8 + 2, 64))
    only = Batch({Modality.INFRARED: batch.images[Modality.INFRARED]}, {Modality.INFRARED: np.arange(6)})
    assert list(forward(model, only, Machine())) == [Modality.INFRARED]


def test_a_step_descends_then_writes_the_memories(model):
    objective, optimizer = make_objective(), make_optimizer(model, preset("sysu", "paper").schedule)
    set_learning_rate(optimizer, 1e-2)
    before = {m: objective.memories[m].vectors.clone() for m in Modality}
    first = train_step(model.train(), objective, make_batch(), optimizer, Machine())
    assert set(first) == {"visible", "infrared", "diversity", "total", "gradient"}
    terms = [first[name].item() for name in ("visible", "infrared", "diversity")]
    assert first["total"].item() == pytest.approx(sum(terms), rel=3 * U)  # three roundings of positive numbers
    for m in Modality:
        assert not torch.equal(before[m], objective.memories[m].vectors)
    for _ in range(20):
        last = train_step(model, objective, make_batch(), optimizer, Machine())
    assert last["total"] < first["total"]


def test_losses_are_restored_as_they_were():
    losses = Losses()
    one = torch.tensor(1.0)
    losses.steps = [{"a": torch.tensor(float(step)), "total": one, GRADIENT: 2 * one} for step in range(4)]
    del losses.steps[2]["a"]
    again = Losses.restored(losses.state(), 4, torch.device("cpu"))
    assert again.steps == losses.steps
    assert again.means() == losses.means() == {"a": pytest.approx(4 / 3), "total": 1.0, GRADIENT: 2.0}
    with pytest.raises(ValueError, match="losses of 4 steps"):
        Losses.restored(losses.state(), 3, torch.device("cpu"))
    assert again.check() == 1.0  # nothing new to look at


@pytest.mark.parametrize(
    ("term", "weights", "message"),
    [
        (torch.tensor(1.0), {}, "loss term 'own' has no weight"),
        (torch.ones(2), {"own": 1.0}, r"loss term 'own' must be a scalar, not of shape \(2,\)"),
        (1.0, {"own": 1.0}, "loss term 'own' must be a tensor, not float"),
        (None, {}, "no loss term"),
    ],
)
def test_terms_that_cannot_be_added_are_blamed_on_the_objective(model, term, weights, message):
    class Own:
        def losses(self, views):
            return {} if term is None else {"own": term}

    objective = Own()
    objective.weights = weights
    optimizer = make_optimizer(model, preset("sysu", "paper").schedule)
    with pytest.raises(UserError, match=rf"test_step\.py, line \d+: {message}"):
        train_step(model.train(), objective, make_batch(), optimizer, Machine())


def test_frozen_parameters_are_left_out(model):
    optimizer = make_optimizer(model, preset("sysu", "paper").schedule)
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert all(id(neck.bias) not in trained for neck in model.necks)
    assert optimizer.param_groups[0]["momentum"] == 0.9
    assert optimizer.param_groups[0]["weight_decay"] == 5e-4


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_weight_decay_is_in_adams_gradient_and_beside_adamws(model, kind):
    """One step from gradients of 0: Adam's is of length lr whatever the gradient's; AdamW takes lr * decay off."""
    schedule = preset("sysu", "paper").override({"optimizer": kind, "weight_decay": 0.5}).schedule
    optimizer = make_optimizer(model, schedule)
    set_learning_rate(optimizer, 0.01)
    weight = model.vit.blocks[0].attn.qkv.weight
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    decay = 0.5 * before
    expected = before - 0.01 * (decay / (decay.abs() + 1e-8) if kind == "adam" else decay)
    torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=8 * U * before.abs().max().item())


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_what_an_optimiser_gathered_is_taken_up(model, kind):
    schedule = preset("sysu", "paper").override({"optimizer": kind}).schedule
    optimizer, again = make_optimizer(model, schedule), make_optimizer(model, schedule)
    for parameter in optimizer.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    restore_optimizer(again, optimizer.state_dict(), kind)
    for one, other in zip(optimizer.state.values(), again.state.values(), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(ValueError, match="other keys"):
        restore_optimizer(again, optimizer.state_dict(), "adam" if kind == "sgd" else "sgd")
