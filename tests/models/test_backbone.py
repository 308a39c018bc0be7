"""The backbone.  B batch, T class tokens, D token width, N patches."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding import assert_near, layers
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from tokenmatcher.machine import Machine
from tokenmatcher.models.backbone import StochasticDepth, TokenViT
from tokenmatcher.models.source import Layout
from tokenmatcher.models.weights import build_model
from tokenmatcher.recipe import ModelConfig

GOLDEN = Path(__file__).parents[1] / "golden"
SMALL = ModelConfig(
    height=32, width=16, patch_size=8, stem_channels=8, embed_dim=24, depth=2, num_heads=3, num_tokens=3, drop_path=0.0,
    bn_groups=1,
)  # fmt: skip


def filled_by_rule(shapes: dict[str, tuple[list[int], str]], seed: int) -> dict[str, Tensor]:
    """Weights as in the golden vectors: pseudo-random by rank of the key among the sorted keys."""
    bare = {key.removeprefix("module."): value for key, value in shapes.items()}
    state = {}
    for i, key in enumerate(sorted(bare)):
        shape, dtype = bare[key]
        if "float" not in dtype:
            state[f"module.{key}"] = torch.zeros(shape, dtype=torch.int64)
            continue
        r = np.random.RandomState(seed + i)
        if key.endswith("running_var"):
            value = 0.5 + r.rand(*shape)
        elif key.endswith("running_mean"):
            value = 0.1 * r.standard_normal(shape)
        elif len(shape) == 1:
            value = 1 + 0.1 * r.standard_normal(shape) if key.endswith("weight") else 0.02 * r.standard_normal(shape)
        elif key in ("cls_token", "pos_embed"):
            value = 0.5 * r.standard_normal(shape)
        else:
            value = r.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        state[f"module.{key}"] = torch.from_numpy(np.asarray(value, dtype=np.float32))
    return state


@pytest.fixture(scope="module", params=[4, 6])
def full_size(request: pytest.FixtureRequest) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """name -> (ours, golden), of the full network read through the authors' layout."""
    golden = np.load(GOLDEN / f"backbone_{request.param}tokens.npz")
    shapes = json.loads((GOLDEN / f"checkpoint_keys_{request.param}tokens.json").read_text())
    content = {"state_dict": filled_by_rule(shapes, int(golden["seed"])), "epoch": 50}
    # Three and two images in a training pass, which was measured on one device: one batch norm group.
    config = ModelConfig(num_tokens=request.param, bn_groups=1)
    model, report = build_model(content, source="authors.pth.tar", config=config)
    assert report.layout is Layout.AUTHORS
    assert model.config == config
    assert len(report.used) + len(report.skipped) == len(shapes)
    pixels = np.random.RandomState(int(golden["input_seed"])).standard_normal((3, 3, 384, 128))
    images = torch.from_numpy(pixels.astype(np.float32))
    del content
    with torch.inference_mode():
        ours = {"eval_visible": model(images).features, "eval_infrared": model(infrared=images).features}
        for block in model.vit.blocks:
            block.drop_path1 = block.drop_path2 = torch.nn.Identity()
        tokens, features = model.train()(images, images[:2])
    ours |= {"train_visible": features[:3], "train_infrared": features[3:]}
    ours |= {"train_tokens_visible": tokens[:3], "train_tokens_infrared": tokens[3:]}
    return {name: (value.numpy(), golden[name]) for name, value in ours.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "eval_visible",
        "eval_infrared",
        "train_visible",
        "train_infrared",
        "train_tokens_visible",
        "train_tokens_infrared",
    ],
)
def test_full_size_network_agrees_with_the_published_one(
    full_size: dict[str, tuple[np.ndarray, np.ndarray]], name: str
) -> None:
    ours, golden = full_size[name]
    size = np.square(golden).mean() ** 0.5
    if name in ("train_visible", "train_infrared"):
        # A neck divides a token's numbers by their deviation over the batch of five, and their errors, too.
        tokens = np.concatenate([full_size[f"train_tokens_{m}"][1] for m in ("visible", "infrared")])
        deviation = (tokens.reshape(5, -1).var(axis=0) + 1e-5) ** 0.5
        ours, golden, size = ours * deviation, golden * deviation, np.square(tokens).mean() ** 0.5
    # Four convolutions and three norms, twelve blocks of 8 sums, two norms; up to 3,072 numbers in a sum, mostly 768.
    assert np.abs(ours - golden).max() <= layers(4 + 3 + 12 * 8 + 2, 768) * size


def small_model(config: ModelConfig = SMALL) -> TokenViT:
    torch.manual_seed(3)
    model = TokenViT(config)
    for name, value in model.state_dict().items():  # away from the special starting values
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand_like(value))
        elif value.is_floating_point():
            value.add_(0.1 * torch.randn_like(value))
    return model.eval()


def slow_forward(model: TokenViT, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
    """Inference image by image, head by head, from the paper's formulas. The stems have a test of their own."""
    state, config = model.state_dict(), model.config
    width = config.embed_dim // config.num_heads

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"vit.{name}.weight"].T + state[f"vit.{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * state[f"vit.{name}.weight"] + state[f"vit.{name}.bias"]

    tokens, features = [], []
    stems = model.vit.patch_embed
    for stem, image in [(stems.visible, i) for i in visible] + [(stems.infrared, i) for i in infrared]:
        patches = stem(image[None])[0]
        x = torch.cat([state["vit.cls_token"][0], state["vit.reg_token"][0], patches]) + state["vit.pos_embed"][0]
        for block in range(config.depth):
            q, k, v = linear(norm(x, f"blocks.{block}.norm1"), f"blocks.{block}.attn.qkv").chunk(3, dim=1)
            heads = []
            for h in range(config.num_heads):
                part = slice(h * width, (h + 1) * width)
                attention = (q[:, part] @ k[:, part].T / width**0.5).softmax(1)
                heads.append(attention @ v[:, part])
            x = x + linear(torch.cat(heads, 1), f"blocks.{block}.attn.proj")
            hidden = F.gelu(linear(norm(x, f"blocks.{block}.norm2"), f"blocks.{block}.mlp.fc1"))
            x = x + linear(hidden, f"blocks.{block}.mlp.fc2")
        own = norm(x, "norm")[: config.num_tokens]
        tokens.append(own)
        through = []
        for t in range(config.num_tokens):
            mean, var = state[f"necks.{t}.running_mean"], state[f"necks.{t}.running_var"]
            scaled = (own[t] - mean) / (var + 1e-5).sqrt()
            through.append(scaled * state[f"necks.{t}.weight"] + state[f"necks.{t}.bias"])
        features.append(torch.cat(through))
    return torch.stack(tokens), torch.stack(features)


@torch.inference_mode()
def test_forward_against_a_slow_one() -> None:
    model = small_model()
    visible, infrared = torch.randn(3, 3, 32, 16), torch.randn(2, 3, 32, 16)
    tokens, features = model(visible, infrared)
    slow_tokens, slow_features = slow_forward(model, visible, infrared)
    assert tokens.shape == (5, 3, 24) and features.shape == (5, 72)
    assert_near(tokens, slow_tokens, ERROR)
    assert_near(features, slow_features, ERROR)


# Four convolutions and three norms, blocks of 8 sums, two norms; some 100 numbers in a sum.
SUMS = 4 + 3 + 8 * SMALL.depth + 2
ERROR = layers(SUMS, 100)
MODEL = small_model()


@given(
    seed=st.integers(0, 2**31),
    visible=st.integers(0, 3),
    infrared=st.integers(0, 3),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=15, deadline=None)
@torch.inference_mode()
def test_an_image_alone_has_the_features_it_has_in_a_batch(seed, visible, infrared, order) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(visible + infrared, 3, 32, 16, generator=generator)
    if not len(images):
        return
    parts = {"visible": images[:visible] if visible else None, "infrared": images[visible:] if infrared else None}
    together = MODEL(**parts)
    for i in range(len(images)):
        alone = MODEL(**{"visible" if i < visible else "infrared": images[i : i + 1]})
        assert_near(alone.features[0], together.features[i], ERROR)
    shuffled = order.sample(range(visible), visible)
    if visible:
        again = MODEL(images[shuffled], parts["infrared"])
        assert_near(again.features[:visible], together.features[shuffled], ERROR)


def test_a_stem_learns_from_its_own_modality_alone() -> None:
    for own, other in (("visible", "infrared"), ("infrared", "visible")):
        model = small_model().train()
        images = torch.randn(3, 3, 32, 16)
        output = model(images, torch.randn(2, 3, 32, 16))
        rows = slice(0, 3) if own == "visible" else slice(3, 5)
        output.tokens[rows].square().sum().backward()
        stems = model.vit.patch_embed
        assert all(p.grad is not None and p.grad.any() for p in getattr(stems, own).proj.parameters())
        assert all(not p.grad.any() for p in getattr(stems, other).parameters())


def test_one_modality_leaves_the_other_stem_untouched() -> None:
    model = small_model().train()
    before = {k: v.clone() for k, v in model.vit.patch_embed.infrared.state_dict().items()}
    model(torch.randn(3, 3, 32, 16)).features.sum().backward()
    assert all(torch.equal(v, before[k]) for k, v in model.vit.patch_embed.infrared.state_dict().items())
    assert all(p.grad is None for p in model.vit.patch_embed.infrared.parameters())


def test_necks_see_both_modalities() -> None:
    model = small_model().train()
    tokens, features = model(torch.randn(3, 3, 32, 16), torch.randn(2, 3, 32, 16))
    token = tokens[:, 1]
    neck = model.necks[1]
    scaled = (token - token.mean(0)) / (token.var(0, correction=0) + 1e-5).sqrt()
    assert_near(features[:, 24:48], scaled * neck.weight + neck.bias, layers(2, 5))


def test_neck_biases_are_frozen_and_all_else_learns() -> None:
    model = TokenViT(SMALL)
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == ["necks.0.bias", "necks.1.bias", "necks.2.bias"]
    assert not any(neck.bias.any() for neck in model.necks)


def test_stochastic_depth_rises_linearly() -> None:
    blocks = TokenViT(replace(SMALL, depth=4, drop_path=0.3)).vit.blocks
    rates = [getattr(block.drop_path1, "rate", 0.0) for block in blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])
    timm = VisionTransformer(
        img_size=(32, 16), patch_size=8, embed_dim=24, num_heads=3, depth=4, drop_path_rate=0.3, num_classes=0
    )
    assert rates == pytest.approx([getattr(block.drop_path2, "drop_prob", 0.0) for block in timm.blocks])


def test_stochastic_depth_leaves_out_whole_branches() -> None:
    module = StochasticDepth(0.25)
    x = torch.randn(4, 5, 3)
    assert module.eval()(x) is x
    module.train().draws = torch.tensor([0.0, 0.24, 0.25, 0.9])
    expected = x * torch.tensor([0.0, 0.0, 1 / 0.75, 1 / 0.75]).view(4, 1, 1)
    torch.testing.assert_close(module(x), expected)


def test_draws_decide_about_images_not_about_batches() -> None:
    torch.manual_seed(0)
    model = TokenViT(replace(SMALL, depth=3, drop_path=0.6)).train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    images, draws = torch.randn(6, 3, 32, 16), torch.rand(4, 6)
    whole = model(images, depth_draws=draws).tokens
    parts = [model(images[rows], depth_draws=draws[:, rows]).tokens for rows in (slice(0, 2), slice(2, 6))]
    assert_near(torch.cat(parts), whole, layers(SUMS + 8, 100))
    assert not torch.allclose(model(images, depth_draws=1 - draws).tokens, whole, atol=1e-3)


def gradients(model: TokenViT, images: Tensor, draws: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    model(images, images, draws).features.square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_recomputing_changes_nothing() -> None:
    torch.manual_seed(0)
    model, images = TokenViT(replace(SMALL, depth=3, drop_path=0.6)).train(), torch.randn(4, 3, 32, 16)
    draws = torch.rand(4, 8)
    plain = gradients(model, images, draws)
    model.set_recompute(True)
    again = gradients(model, images, draws)
    assert plain.keys() == again.keys()
    for name, values in plain.items():
        assert torch.equal(again[name], values), name


def test_a_traced_model_reads_each_steps_draws() -> None:
    torch.manual_seed(0)
    model, images = TokenViT(replace(SMALL, depth=3, drop_path=0.6)).train(), torch.randn(4, 3, 32, 16)
    traced = torch.compile(model, backend="eager")
    for draws in torch.rand(3, 4, 8):
        expected = model(images, images, draws).tokens
        assert_near(traced(images, images, draws).tokens, expected, layers(SUMS + 8, 100))


def test_bfloat16_ends_in_float32() -> None:
    torch.manual_seed(0)
    model, images = TokenViT(SMALL).train(), torch.randn(8, 3, 32, 16)
    exact = model(images)
    with Machine(precision="bf16").autocast():
        rounded = model(images)
    assert rounded.features.dtype == rounded.tokens.dtype == torch.float32
    assert not torch.equal(rounded.tokens, exact.tokens)
    assert F.cosine_similarity(rounded.tokens.flatten(1), exact.tokens.flatten(1)).min() > 0.99


def test_fresh_weights_follow_the_seed() -> None:
    def fresh(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return TokenViT(SMALL).state_dict()

    first, again, other = fresh(0), fresh(0), fresh(1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["vit.pos_embed"], other["vit.pos_embed"])


def test_fresh_class_tokens_differ() -> None:
    torch.manual_seed(0)
    state = TokenViT(replace(SMALL, embed_dim=384)).state_dict()
    tokens = torch.cat([state["vit.cls_token"], state["vit.reg_token"]], dim=1)[0]
    assert tokens.std().item() == pytest.approx(0.02, rel=0.1)
    assert F.cosine_similarity(tokens[0], tokens[1], dim=0).abs() < 0.3


@pytest.mark.parametrize(
    ("visible", "infrared", "message"),
    [
        (None, None, "neither"),
        ((2, 3, 16, 32), None, "visible images must be Bx3x32x16"),
        ((2, 3, 32, 16), (2, 3, 32, 8), "infrared images must be Bx3x32x16"),
        (None, (2, 1, 32, 16), "infrared images must be"),
        ((3, 32, 16), None, "visible images must be"),
    ],
)
def test_wrong_images_are_refused(visible, infrared, message: str) -> None:
    images = [None if shape is None else torch.zeros(shape) for shape in (visible, infrared)]
    with pytest.raises(ValueError, match=message):
        MODEL(*images)


def test_one_class_token_is_enough_and_none_is_refused() -> None:
    model = TokenViT(replace(SMALL, num_tokens=1)).eval()
    assert model(torch.zeros(2, 3, 32, 16)).features.shape == (2, 24)
    with pytest.raises(ValueError, match="at least one class token"):
        TokenViT(replace(SMALL, num_tokens=0))
