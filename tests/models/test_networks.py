"""The networks that there are, behind one door."""

from dataclasses import fields, replace

import pytest
import torch
from rounding import assert_near, layers
from small import SMALL

from tokenmatcher.commands.config import PRETRAINED
from tokenmatcher.errors import SettingError, UserError, flag
from tokenmatcher.models.networks import NETWORKS, build_network
from tokenmatcher.models.vit_start import to_pretrained_layout
from tokenmatcher.models.weights import LAYOUTS, TRAINING_ONLY, build_model
from tokenmatcher.recipe import ModelConfig, Recipe
from tokenmatcher.training.checkpoint import RunFolder

OWN = {
    "token_vit": {},
    "two_branch": {"num_tokens": 1},
    "resnet": {"layers": (1, 1, 1, 1), "width_per_group": 4, "non_local": True},
}  # numbers that each needs
CHOICES = next(leaf for leaf in fields(ModelConfig) if leaf.name == "network").metadata["choices"]


def config_of(kind):
    return replace(SMALL, network=kind, **OWN[kind])


def test_every_choice_has_a_network_a_start_and_a_layout():
    assert set(NETWORKS) == set(CHOICES) == set(PRETRAINED) == set(OWN)
    assert {name for known in LAYOUTS for name in known.networks} == set(NETWORKS)


@pytest.mark.parametrize("kind", NETWORKS)
def test_what_all_else_needs_of_a_network(kind):
    torch.manual_seed(0)
    config = config_of(kind)
    network = build_network(config)
    assert network.config == config
    assert network.width == network.parts * network.part_width
    assert len(network.necks) == network.parts
    assert not any(neck.bias.requires_grad for neck in network.necks)
    assert network.description
    visible, infrared = torch.randn(3, 3, 32, 16), torch.randn(2, 3, 32, 16)
    for mode in (True, False):
        both = network.train(mode)(visible, infrared)
        assert both.tokens.shape == (5, network.parts, network.part_width)
        assert both.features.shape == (5, network.width)
    # In inference mode no image sees another. Some 60 sums of at most 2,048 numbers round otherwise in another batch.
    assert_near(network(visible=visible).features, both.features[:3], layers(60, 2048))
    assert_near(network(infrared=infrared).features, both.features[3:], layers(60, 2048))
    # A feature is its parts' batch norms side by side.
    parts = [neck(token) for neck, token in zip(network.necks, both.tokens.unbind(1), strict=True)]
    assert torch.equal(torch.cat(parts, 1), both.features)
    for images in ((), (torch.randn(2, 3, 16, 16),)):
        with pytest.raises(ValueError, match="images"):
            network(*images)


@pytest.mark.parametrize("kind", NETWORKS)
def test_recomputing_changes_no_gradient(kind):
    network = build_network(config_of(kind)).train()
    images, found = torch.randn(4, 3, 32, 16), []
    draws = torch.rand(len(network.depth_modules), 4)
    for on in (False, True):
        network.set_recompute(on)
        network.zero_grad()
        network(visible=images, depth_draws=draws).features.square().sum().backward()
        found.append({name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_checkpoint_brings_its_network_back(tmp_path, kind):
    recipe = replace(Recipe(), model=config_of(kind))
    network = build_network(recipe.model).eval()
    RunFolder(tmp_path, "any", "sysu", None, recipe).save(tmp_path / "last.pt", network, "a note")
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    again, report = build_model(content, source="last.pt")
    assert type(again) is type(network) and again.config == recipe.model
    assert set(report.used) == set(network.state_dict())
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in again.state_dict().items())
    claimed = NETWORKS[kind].sizes(recipe.model, _Absent())
    assert claimed


class _Absent:
    """A file in which everything has size 1."""

    tensors = ()

    def shape(self, key, dims):
        return (1,) * dims


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_says_what_it_reads(kind):
    asked = set()

    class Watched(ModelConfig):
        def __getattribute__(self, name):
            asked.add(name)
            return super().__getattribute__(name)

    network = NETWORKS[kind](Watched(**vars(config_of(kind))))
    network(torch.zeros(2, 3, 32, 16))
    read = asked & {leaf.name for leaf in fields(ModelConfig)}
    assert read - {*TRAINING_ONLY} | {"network"} == {*network.reads}


@pytest.mark.parametrize(
    ("network", "change"),
    [
        ("token_vit", {"non_local": True, "unit_views": True, "layers": (1, 1, 1, 1)}),
        ("resnet", {"num_tokens": 6, "embed_dim": 8, "unit_views": True}),
    ],
)
def test_a_start_may_differ_in_what_its_network_does_not_read(tmp_path, network, change):
    """As ADCA's from PGM's: non-local blocks are no matter of a ViT."""
    recipe = replace(Recipe(), model=config_of(network))
    RunFolder(tmp_path, "any", "sysu", None, recipe).save(tmp_path / "last.pt", build_network(recipe.model), "a note")
    content, asked = torch.load(tmp_path / "last.pt", weights_only=True), replace(recipe.model, **change)
    assert build_model(content, source="last.pt", config=asked)[0].config == asked


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: ...")])
def test_no_memory_for_it_is_told_with_its_sizes(monkeypatch, kind, error):
    def none(self, config):
        raise error

    monkeypatch.setattr(NETWORKS[kind], "__init__", none)
    with pytest.raises(SettingError) as caught:
        build_network(config_of(kind))
    size = "--layers (1, 1, 1, 1), --width-per-group 4" if kind == "resnet" else "--embed-dim 16, --depth 1"
    assert size in caught.value.worded(flag) and "no memory" in str(caught.value)


def test_another_networks_file_is_refused(tmp_path):
    start = to_pretrained_layout(build_network(SMALL))
    with pytest.raises(UserError, match="asked for was none"):
        build_model(start, source="start.pth", config=replace(SMALL, network="none"))


def test_a_number_that_another_network_reads_is_no_matter():
    assert replace(Recipe(), model=config_of("two_branch")).model.num_tokens == 1
    with pytest.raises(SettingError, match="num_tokens must be at least 2"):
        replace(Recipe(), model=replace(SMALL, num_tokens=1))
    with pytest.raises(SettingError, match="num_tokens must be 1"):
        replace(Recipe(), model=replace(SMALL, network="two_branch"))
