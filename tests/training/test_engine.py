import math

import numpy as np
import pytest
import torch
from rounding import U, assert_near, layers
from small import SMALL

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.images.batches import Batch
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.presets import PRESETS
from tokenmatcher.training.engine import (
    GRADIENT,
    Losses,
    NotFinite,
    cosine,
    forward,
    make_optimizer,
    set_learning_rate,
    train_epoch,
    train_step,
)
from tokenmatcher.training.objectives import ContrastObjective
from tokenmatcher.training.targets import ContrastTargets


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
        ContrastTargets(dict.fromkeys(Modality, labels), centroids), PRESETS["sysu"]["paper"].losses
    )


def test_views_are_the_modalities(model):
    model.eval()
    batch = make_batch()
    views = forward(model, batch)
    for modality in Modality:
        alone = model(**{modality.value: batch.images[modality]})
        assert_near(views[modality].features, alone.features, layers(2 + 3 + 8 + 2, 64))
    only = Batch({Modality.INFRARED: batch.images[Modality.INFRARED]}, {Modality.INFRARED: np.arange(6)})
    assert list(forward(model, only)) == [Modality.INFRARED]


def test_a_step_descends_then_writes_the_memories(model):
    objective, optimizer = make_objective(), make_optimizer(model, PRESETS["sysu"]["paper"].schedule)
    set_learning_rate(optimizer, 1e-2)
    before = {m: objective.memories[m].vectors.clone() for m in Modality}
    first = train_step(model.train(), objective, make_batch(), optimizer)
    assert set(first) == {"visible", "infrared", "diversity", "total", "gradient"}
    terms = [first[name].item() for name in ("visible", "infrared", "diversity")]
    assert first["total"].item() == pytest.approx(sum(terms), rel=3 * U)  # three roundings of positive numbers
    for m in Modality:
        assert not torch.equal(before[m], objective.memories[m].vectors)
    for _ in range(20):
        last = train_step(model, objective, make_batch(), optimizer)
    assert last["total"] < first["total"]


def test_means_are_over_the_steps(model):
    objective, optimizer = make_objective(), make_optimizer(model, PRESETS["sysu"]["demo"].schedule)
    result = train_epoch(
        model, objective, [make_batch(s) for s in range(3)], optimizer, steps=3, title="t", progress=False
    )
    assert set(result.losses) == {"visible", "infrared", "diversity", "total"}
    assert result.gradient > 0
    assert result.images_per_second > 0


@pytest.mark.parametrize(("bad", "steps"), [(0, 1), (2, 12), (9, 10), (10, 12)])
def test_a_loss_that_is_not_finite_stops_and_is_named(model, bad, steps):
    objective, optimizer = make_objective(), make_optimizer(model, PRESETS["sysu"]["paper"].schedule)
    batches = [make_batch(step) for step in range(steps)]
    batches[bad].images[Modality.INFRARED][0] = float("nan")
    with pytest.raises(NotFinite) as caught:
        train_epoch(model, objective, batches, optimizer, steps=steps, title="t", progress=False)
    assert caught.value.step == bad
    assert {"infrared", "total"} <= set(caught.value.terms)
    assert f"not finite at step {bad + 1}" in str(caught.value)


def test_a_gradient_that_is_not_finite_stops_and_is_named(model):
    objective, optimizer = make_objective(), make_optimizer(model, PRESETS["sysu"]["paper"].schedule)
    model.necks[0].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NotFinite, match="the gradient of finite losses is not finite at step 1"):
        train_epoch(model, objective, [make_batch()], optimizer, steps=1, title="t", progress=False)


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


def test_cosine():
    assert cosine(0, 50, 3.5e-4, 1e-6) == pytest.approx(3.5e-4)
    assert cosine(50, 50, 3.5e-4, 1e-6) == pytest.approx(1e-6)
    assert cosine(25, 50, 3.5e-4, 1e-6) == pytest.approx((3.5e-4 + 1e-6) / 2)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=3.5e-4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=1e-6)
    for epoch in range(50):
        assert math.isclose(reference.get_last_lr()[0], cosine(epoch, 50, 3.5e-4, 1e-6), rel_tol=1e-9)
        optimizer.step()
        reference.step()


def test_frozen_parameters_are_left_out(model):
    optimizer = make_optimizer(model, PRESETS["sysu"]["paper"].schedule)
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert all(id(neck.bias) not in trained for neck in model.necks)
    assert optimizer.param_groups[0]["momentum"] == 0.9
    assert optimizer.param_groups[0]["weight_decay"] == 5e-4
