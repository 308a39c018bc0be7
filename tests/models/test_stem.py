"""The conv stem.  B batch, C stem channels, N patches, D token width."""

import pytest
import torch
import torch.nn.functional as F
from rounding import assert_near, layers
from torch import Tensor

from tokenmatcher.models.stem import IBN, ConvStem
from tokenmatcher.recipe import ModelConfig

SMALL = ModelConfig(height=32, width=16, patch_size=8, stem_channels=6, embed_dim=12, depth=1, num_heads=2)


# Four convolutions of 54 to 147 numbers, three norms between them.
STEM = layers(4 + 3, 147)


def scrambled(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Every parameter and running statistic away from its special starting value."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif value.is_floating_point():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return module


def slow_ibn(x: Tensor, state: dict[str, Tensor], training: bool) -> Tensor:
    """Channel by channel."""
    half = x.shape[1] // 2
    out = torch.empty_like(x)
    for c in range(x.shape[1]):
        part, i = ("IN", c) if c < half else ("BN", c - half)
        weight, bias = state[f"{part}.weight"][i], state[f"{part}.bias"][i]
        for b in range(x.shape[0]):
            if part == "IN":
                mean, var = x[b, c].mean(), x[b, c].var(correction=0)
            elif training:
                mean, var = x[:, c].mean(), x[:, c].var(correction=0)
            else:
                mean, var = state["BN.running_mean"][i], state["BN.running_var"][i]
            out[b, c] = (x[b, c] - mean) / (var + 1e-5).sqrt() * weight + bias
    return out


@pytest.mark.parametrize("training", [False, True])
def test_ibn_is_instance_norm_on_one_half_and_batch_norm_on_the_other(training: bool) -> None:
    module = scrambled(IBN(6)).train(training)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(3, 6, 5, 4)
    assert_near(module(x), slow_ibn(x, state, training), layers(2, 60))  # mean and variance of 20 or 60 numbers


def test_stem_against_its_definition() -> None:
    stem = scrambled(ConvStem(SMALL)).eval()
    state = stem.state_dict()

    def part(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}

    x = images = torch.randn(2, 3, 32, 16)
    x = F.conv2d(x, state["conv.0.weight"], stride=2, padding=3)
    x = slow_ibn(x, part("conv.1."), False).relu()
    x = F.conv2d(x, state["conv.3.weight"], padding=1)
    x = slow_ibn(x, part("conv.4."), False).relu()
    x = F.conv2d(x, state["conv.6.weight"], padding=1)
    x = F.batch_norm(
        x,
        state["conv.7.running_mean"],
        state["conv.7.running_var"],
        state["conv.7.weight"],
        state["conv.7.bias"],
    ).relu()
    expected = torch.empty(2, 8, 12)
    for row in range(4):
        for column in range(2):
            window = x[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            expected[:, 2 * row + column] = window.flatten(1) @ state["proj.weight"].flatten(1).T + state["proj.bias"]
    assert_near(stem(images), expected, STEM)


def test_memory_order_of_the_images_does_not_matter() -> None:
    stem = ConvStem(SMALL).eval()
    images = torch.randn(2, 3, 32, 16)
    assert_near(stem(images), stem(images.contiguous(memory_format=torch.channels_last)), STEM)


def test_fresh_convolutions_are_kaiming_fan_out() -> None:
    torch.manual_seed(0)
    stem = ConvStem(ModelConfig())
    for conv, fan_out in ((stem.conv[0], 49 * 64), (stem.conv[3], 9 * 64), (stem.proj, 64 * 768)):
        five_deviations = 5 / (2 * conv.weight.numel()) ** 0.5
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=five_deviations)
    assert not stem.proj.bias.any()


@pytest.mark.parametrize("sizes", [{"patch_size": 5}, {"height": 30}, {"width": 20}])
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="patch"):
        ConvStem(ModelConfig(**{"height": 32, "width": 16, "patch_size": 8, **sizes}))
