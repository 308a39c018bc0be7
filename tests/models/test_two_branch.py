"""SDCL's network: against the published one, a slow forward pass, and the authors' files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from models.test_backbone import filled_by_rule
from rounding import assert_near, layers, resized_from
from small import SMALL

from tokenmatcher.errors import UserError
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.source import Layout
from tokenmatcher.models.two_branch import TwoBranchViT
from tokenmatcher.models.vit_start import to_pretrained_layout
from tokenmatcher.models.weights import build_model
from tokenmatcher.presets import preset
from tokenmatcher.recipe import ModelConfig

GOLDEN = Path(__file__).parents[1] / "golden"
CONFIG = replace(SMALL, network="two_branch", num_tokens=1, depth=3, bn_groups=1)
DEAD = ("base.blocks.11.", "base.norm.", "base.fc.", "base.decoder_norm.")


def shapes_of_the_authors():
    return json.loads((GOLDEN / "sdcl_checkpoint_keys.json").read_text())


@pytest.fixture(scope="module")
def full_size():
    """name -> (ours, golden), of the full network read from a file of the authors' layout."""
    golden = np.load(GOLDEN / "sdcl_backbone.npz")
    state = by_rule(shapes_of_the_authors(), int(golden["seed"]))
    model, report = build_model({"state_dict": state, "epoch": 50}, source="authors.pth.tar")
    assert report.layout is Layout.SDCL
    assert model.config == preset("sysu", "paper", "sdcl").model
    assert len(report.used) + len(report.skipped) == len(state) == 241
    assert all(key.startswith(DEAD) for key in report.skipped)
    # 1,536: the necks' biases, which are not trained. The file: without BatchNorm's counters and running statistics.
    live = sum(parameter.numel() for parameter in model.parameters())
    assert live == 98_734_464
    del state
    for norm in model.modules():
        norm.groups = 1  # three and two images were one group
    pixels = np.random.RandomState(int(golden["input_seed"])).standard_normal((3, 3, 288, 144))
    images = torch.from_numpy(pixels.astype(np.float32))
    with torch.inference_mode():
        ours = {"eval_visible": model(images).features, "eval_infrared": model(infrared=images).features}
        for module in model.depth_modules:
            module.rate = 0.0
        tokens, features = model.train()(images, images[:2])
    ours |= {"train_visible": features[:3], "train_infrared": features[3:]}
    found = {}
    for name, value in ours.items():
        for branch, part in zip(("deep", "shallow"), value.chunk(2, dim=1), strict=True):
            found[f"{name}_{branch}"] = part.numpy(), golden[f"{name}_{branch}"]
    return found, tokens.numpy()


def by_rule(shapes, seed):
    """`filled_by_rule`, whose rule for class token and positions goes by the whole key."""
    bare = sorted(key.removeprefix("module.") for key in shapes)
    state = filled_by_rule(shapes, seed)
    for i, key in enumerate(bare):
        if key.endswith(("cls_token", "pos_embed")):
            values = 0.5 * np.random.RandomState(seed + i).standard_normal(shapes[f"module.{key}"][0])
            state[f"module.{key}"] = torch.from_numpy(values.astype(np.float32))
    return state


@pytest.mark.slow
@pytest.mark.parametrize("branch", ["deep", "shallow"])
@pytest.mark.parametrize("name", ["eval_visible", "eval_infrared", "train_visible", "train_infrared"])
def test_full_size_network_agrees_with_the_published_one(full_size, name, branch):
    found, tokens = full_size
    ours, golden = found[f"{name}_{branch}"]
    size = np.square(golden).mean() ** 0.5
    if name.startswith("train"):
        # A neck divides by the deviation over the batch of five, and errors, too.
        own = tokens[:, 0 if branch == "deep" else 1]
        deviation = (own.var(axis=0) + 1e-5) ** 0.5
        ours, golden, size = ours * deviation, golden * deviation, np.square(own).mean() ** 0.5
    # As in test_backbone: four convolutions and three norms, twelve blocks of 8 sums, two norms.
    assert np.abs(ours - golden).max() <= layers(4 + 3 + 12 * 8 + 2, 768) * size


def test_positions_are_resized_as_published():
    golden = np.load(GOLDEN / "sdcl_position.npz")
    config = ModelConfig(
        network="two_branch", height=288, width=144, num_tokens=1, embed_dim=16, num_heads=1, depth=1, stem_channels=4
    )
    start = to_pretrained_layout(TokenViT(replace(config, network="token_vit", height=256, width=128)))
    start["pos_embed"] = torch.tensor(golden["pos_embed_in"])
    model, report = build_model(start, source="start.pth", config=config)
    assert_near(model.vit.pos_embed.detach(), golden["pos_embed_out"], resized_from(16))
    assert report.resized == ("pos_embed",)


def test_a_start_fills_both_branches_alike():
    torch.manual_seed(3)
    one = TokenViT(replace(CONFIG, network="token_vit"))
    start = to_pretrained_layout(one)
    model, report = build_model(start, source="start.pth", config=CONFIG)
    for branch in (model.vit.blocks[-1], model.shallow_block):
        assert all(
            torch.equal(value, one.vit.blocks[-1].state_dict()[key]) for key, value in branch.state_dict().items()
        )
    assert torch.equal(model.shallow_norm.weight, one.vit.norm.weight)
    assert torch.equal(model.vit.pos_embed, one.vit.pos_embed)
    for stem in (model.vit.patch_embed.visible, model.vit.patch_embed.infrared):
        assert torch.equal(stem.proj.weight, one.vit.patch_embed.visible.proj.weight)
    assert report.fresh == tuple(key for key in model.state_dict() if key.startswith("necks."))
    again, _ = build_model(start, source="start.pth", config=CONFIG)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())


@torch.no_grad()
def test_branches_are_the_slow_pass():
    torch.manual_seed(4)
    model = TwoBranchViT(CONFIG).eval()
    for parameter in model.shallow_block.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    visible, infrared = torch.randn(2, 3, 32, 16), torch.randn(3, 3, 32, 16)
    tokens = model(visible, infrared).tokens
    stems, vit = model.vit.patch_embed, model.vit
    for row, (stem, image) in enumerate(
        [*((stems.visible, image) for image in visible), *((stems.infrared, image) for image in infrared)]
    ):
        patches = stem(image[None]) + vit.pos_embed[:, 1:]
        token = vit.cls_token + vit.pos_embed[:, :1]
        x = torch.cat([token, patches], 1)
        for block in vit.blocks[:-1]:
            x = block(x)
        deep = vit.norm(vit.blocks[-1](x))[0, 0]
        shallow = model.shallow_norm(model.shallow_block(torch.cat([x[:, :1], patches], 1)))[0, 0]
        assert_near(tokens[row], torch.stack([deep, shallow]), layers(8 * 3 + 8, 64))
    assert not torch.allclose(tokens[:, 0], tokens[:, 1], atol=1e-2)


def test_the_shallow_branch_trains_all_blocks():
    model = TwoBranchViT(CONFIG).train()
    model(visible=torch.randn(4, 3, 32, 16)).features[:, CONFIG.embed_dim :].square().sum().backward()
    for name, parameter in model.named_parameters():
        deep = name.startswith((f"vit.blocks.{CONFIG.depth - 1}.", "vit.norm.", "necks.0."))
        if "infrared" in name or deep or not parameter.requires_grad:
            assert parameter.grad is None or not parameter.grad.any(), name
        elif not name.endswith("bias"):  # the mean that a norm takes off: zero up to rounding
            assert parameter.grad.any(), name


def authors_layout(model):
    """Written apart from the importer: what SDCL's program would save of this network."""
    last, file = model.config.depth - 1, {}
    for key, value in model.state_dict().items():
        part, _, rest = key.partition(".")
        dead = None
        if part == "necks":
            branch, _, rest = rest.partition(".")
            name = f"{('bottleneck', 'bottlenecks')[int(branch)]}.{rest}"
        elif part == "shallow_block":
            name = f"b2.0.{rest}"
        elif part == "shallow_norm":
            name = f"b2.1.{rest}"
        elif rest.startswith(f"blocks.{last}."):
            name, dead = f"b1.0.{rest.split('.', 2)[2]}", f"base.{rest}"
        elif rest.startswith("norm."):
            name, dead = f"b1.1.{rest.split('.')[1]}", f"base.{rest}"
        elif rest.startswith("patch_embed."):
            _, modality, rest = rest.split(".", 2)
            name = f"base.{'patch_embed' if modality == 'visible' else 'patch_embed2'}.{rest}"
        else:
            name = f"base.{rest}"
        file[f"module.{name}"] = value
        if dead:
            file[f"module.{dead}"] = torch.full_like(value, 99)
    return {**file, "module.base.fc.weight": torch.zeros(1000, model.config.embed_dim)}


def scrambled(config=CONFIG):
    model = TwoBranchViT(config).eval()
    for name, value in model.state_dict().items():
        value.copy_(torch.rand_like(value) + 0.5 if value.is_floating_point() else torch.full_like(value, 7))
        assert name
    return model


def test_the_layout_is_the_authors():
    """That of `authors_layout`, at full size but for the numbers, has the keys and shapes of their file."""
    model = TwoBranchViT(preset("sysu", "paper", "sdcl").model)
    found = {key: list(value.shape) for key, value in authors_layout(model).items()}
    known = {key: shape for key, (shape, _) in shapes_of_the_authors().items()}
    absent = known.keys() - found.keys()
    assert all(key.startswith(("module.base.fc.", "module.base.decoder_norm.")) for key in absent)
    assert found == {key: known[key] for key in found}


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_a_small_file_of_the_authors(prefix):
    model = scrambled()
    file = {key.replace("module.", prefix): value for key, value in authors_layout(model).items()}
    again, report = build_model({"state_dict": file, "epoch": 3}, source="file", config=CONFIG)
    assert report.layout is Layout.SDCL
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    file.pop(f"{prefix}b2.1.weight")
    with pytest.raises(UserError, match=r"key 'b2\.1\.weight'"):
        build_model({"state_dict": file}, source="file", config=CONFIG)


def test_what_the_shapes_tell():
    config = replace(preset("sysu", "paper", "sdcl").model, embed_dim=128, num_heads=2, depth=2, stem_channels=4)
    model = scrambled(config)
    assert build_model(authors_layout(model), source="file")[0].config == config
    with pytest.raises(UserError, match="its size must be given"):
        build_model(authors_layout(scrambled(replace(config, height=96))), source="file")
    with pytest.raises(UserError, match="expected 3 blocks, found 2"):
        build_model(authors_layout(model), source="file", config=replace(config, depth=3))
    with pytest.raises(UserError, match="SDCL authors layout is for network two_branch, asked for was token_vit"):
        build_model(authors_layout(model), source="file", config=SMALL)
