"""Batch norm groups against separate passes, group by group.  B rows, G groups."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.norms import GroupedBatchNorm, divides, gather_groups, scatter_groups
from tokenmatcher.recipe import ModelConfig

CONFIG = ModelConfig(
    height=32, width=16, patch_size=8, stem_channels=8, embed_dim=16, depth=2, num_heads=2, num_tokens=3, bn_groups=4
)  # fmt: skip
VISIBLE, INFRARED = 16, 8


def statistics(model):
    return {name: value for name, value in model.state_dict().items() if "running" in name or "tracked" in name}


@pytest.fixture
def double(monkeypatch):
    """Double precision, where no ReLU is near enough to 0 to fall on the other side when sums come in another order."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def close(found, expected, name=""):
    # Epsilon is 2e-16; what is no rounding is not as small as 1e-10 of the largest value.
    found, expected = found.detach(), expected.detach()
    assert (found - expected).abs().max() <= 1e-10 * max(1.0, float(expected.abs().max())), name


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("modalities", ["both", "visible", "infrared"])
def test_groups_are_separate_passes(groups, modalities):
    """Outputs, the gradient of their sum, and the first pass's running statistics, through stems and necks."""
    torch.manual_seed(0)
    grouped = TokenViT(replace(CONFIG, bn_groups=groups)).train()
    passes = [TokenViT(replace(CONFIG, bn_groups=1)).train() for _ in range(groups)]
    for model in passes:
        model.load_state_dict(grouped.state_dict())
    images = {"visible": torch.randn(VISIBLE, 3, 32, 16), "infrared": torch.randn(INFRARED, 3, 32, 16)}
    images = {name: x for name, x in images.items() if modalities in ("both", name)}
    draws = {name: torch.rand(len(grouped.depth_modules), len(x)) for name, x in images.items()}
    whole = grouped(**images, depth_draws=torch.cat(list(draws.values()), dim=1))
    weights = torch.randn_like(whole.features)
    (whole.features * weights).sum().backward()
    expected, lost = {name: [] for name in images}, {name: [] for name in images}
    for number, model in enumerate(passes):
        part = {name: x.chunk(groups)[number] for name, x in images.items()}
        depth = torch.cat([d.chunk(groups, dim=1)[number] for d in draws.values()], dim=1)
        found = model(**part, depth_draws=depth)
        counts = [len(x) for x in part.values()]
        shares = dict(zip(images, weights.split([len(x) for x in images.values()]), strict=True))
        own = torch.cat([share.chunk(groups)[number] for share in shares.values()])
        (found.features * own).sum().backward()
        for name, features, tokens in zip(part, found.features.split(counts), found.tokens.split(counts), strict=True):
            expected[name].append(features)
            lost[name].append(tokens)
    assert whole.features.dtype == torch.float64
    close(whole.features, torch.cat([x for part in expected.values() for x in part]))
    close(whole.tokens, torch.cat([x for part in lost.values() for x in part]))
    for name, parameter in grouped.named_parameters():
        parts = [dict(model.named_parameters())[name].grad for model in passes]
        if parameter.grad is None:
            assert all(part is None for part in parts), name
        else:
            close(parameter.grad, torch.stack(parts).sum(0), name)
    first = statistics(passes[0])
    for name, value in statistics(grouped).items():
        close(value, first[name], name)


def test_the_other_groups_leave_no_trace_in_running_statistics():
    torch.manual_seed(0)
    norm, rows = GroupedBatchNorm(5, 4).train(), torch.randn(8, 5)
    other = copy.deepcopy(norm)
    norm(rows)
    other(torch.cat([rows[:2], 100 + 9 * rows[2:]]))
    assert torch.equal(norm.running_mean, other.running_mean)
    assert torch.equal(norm.running_var, other.running_var)


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 4, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_one_group_and_inference_are_pytorchs(shape, training):
    torch.manual_seed(0)
    theirs = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(6).train(training)
    ours = GroupedBatchNorm(6, 1 if training else 4).train(training)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(shape)
    assert torch.equal(ours(x), theirs(x))
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), theirs.buffers(), strict=True))


def test_rows_that_do_not_divide_are_refused():
    model = TokenViT(CONFIG).train()
    images = {rows: torch.zeros(rows, 3, 32, 16) for rows in (6, 8)}
    with pytest.raises(ValueError, match="6 rows do not divide into 4 batch norm groups"):
        model(images[6])
    with pytest.raises(ValueError, match="do not divide into 4"):
        model(images[8], images[6])
    with pytest.raises(ValueError, match="do not divide into 4"):
        gather_groups(torch.zeros(14), [8, 6], 4)
    assert model.eval()(images[6]).features.shape == (6, 48)


@settings(max_examples=50, deadline=None)
@given(groups=st.integers(1, 5), shares=st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_gathering_keeps_every_row_in_its_group(groups, shares):
    counts = [groups * share for share in shares]
    modality = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    group = torch.cat([torch.repeat_interleave(torch.arange(groups), share) for share in shares])
    rows = torch.stack([modality, group, torch.arange(len(group))], dim=1)
    gathered = gather_groups(rows, counts, groups)
    assert torch.equal(gathered[:, 1], group.sort().values)
    assert torch.equal(gathered, rows[torch.argsort(group, stable=True)])
    assert torch.equal(scatter_groups(gathered, counts, groups), rows)


def test_which_numbers_of_processes_fit():
    assert [size for size in range(1, 13) if divides(4, size)] == [1, 2, 4, 8, 12]
    assert all(divides(1, size) for size in range(1, 9))
