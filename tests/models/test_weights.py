"""The layouts of files.  T class tokens, D token width, N patches."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rounding import U, assert_near, resized_from
from torch import Tensor

from tokenmatcher.errors import UserError
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.digest import digest_of
from tokenmatcher.models.source import Layout, families
from tokenmatcher.models.vit_start import to_pretrained_layout
from tokenmatcher.models.weights import build_model, load_model
from tokenmatcher.presets import PAPER_SYSU
from tokenmatcher.recipe import ModelConfig

GOLDEN = Path(__file__).parents[1] / "golden"
RECIPE = PAPER_SYSU.override(
    {"height": 32, "width": 16, "patch_size": 8, "stem_channels": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
)
SMALL = RECIPE.model


def scrambled(config: ModelConfig = SMALL, seed: int = 0) -> TokenViT:
    """A network that nowhere has the values of a fresh one."""
    torch.manual_seed(seed)
    model = TokenViT(config).eval()
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand_like(value))
        elif value.is_floating_point():
            value.copy_(torch.randn_like(value))
        else:
            value.fill_(7)
    return model


def authors_layout(model: TokenViT) -> dict[str, Tensor]:
    """Written apart from the importer: what the authors' program would save of this network."""
    last = model.config.depth - 1
    file = {}
    for key, value in model.state_dict().items():
        names = [key.removeprefix("vit.")]
        if key.startswith(f"vit.blocks.{last}."):
            names = [f"b1.0.{key.split('.', 3)[3]}", names[0]]
        elif key.startswith("vit.norm."):
            names = [f"b1.1.{key.split('.')[2]}", names[0]]
        elif key.startswith("vit.patch_embed.visible."):
            names = [f"visible_module.visible.{key.split('.', 3)[3]}"]
        elif key.startswith("vit.patch_embed.infrared."):
            names = [f"thermal_module.thermal.{key.split('.', 3)[3]}"]
        elif key.startswith("necks.0."):
            names = [key.replace("necks", "bottlenecks"), key.replace("necks.0", "bottleneck")]
        elif key.startswith("necks."):
            names = [key.replace("necks", "bottlenecks")]
        for i, name in enumerate(names):  # the second is a dead copy: never read, so it may hold anything
            file[f"module.{name}"] = value if i == 0 else torch.full_like(value, 99)
    tokens = [file.pop("module.cls_token"), file.pop("module.reg_token")]
    return {**file, "module.cls_token": torch.cat(tokens, dim=1)}


def own_layout(network: TokenViT, **changes: Any) -> dict[str, Any]:
    content = {"format": "tokenmatcher", "version": 2, "recipe": RECIPE.to_dict(), "model": network.state_dict()}
    content |= changes
    return {**content, "digest": digest_of(content)}


def start_layout(model: TokenViT) -> dict[str, Any]:
    return {"model": to_pretrained_layout(model)}


LAYOUTS = {
    "own": own_layout,
    "authors": lambda model: {"state_dict": authors_layout(model), "epoch": 3},
    "pretrained": start_layout,
}
WEIGHTS_UNDER = {"own": "model", "authors": "state_dict", "pretrained": "model"}


def assert_equal_weights(a: TokenViT, b: TokenViT) -> None:
    ours, theirs = a.state_dict(), b.state_dict()
    assert list(ours) == list(theirs)
    unequal = [key for key in ours if not torch.equal(ours[key], theirs[key])]
    assert not unequal


# --- our own and the authors' layout -----------------------------------------------------------------------------


def test_own_checkpoint_round_trip(tmp_path: Path) -> None:
    model = scrambled()
    torch.save(own_layout(model, note="last"), tmp_path / "last.pt")
    torch.manual_seed(1)
    random_state = torch.get_rng_state()
    again, report = load_model(tmp_path / "last.pt")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert_equal_weights(model, again)
    assert not again.training and again.config == SMALL
    assert report.layout is Layout.OWN
    assert set(report.used) == set(model.state_dict()) and not report.skipped and not report.fresh
    assert [n for n, p in again.named_parameters() if not p.requires_grad] == [f"necks.{i}.bias" for i in range(4)]


def test_own_checkpoint_takes_another_stochastic_depth_and_nothing_else() -> None:
    content = own_layout(scrambled())
    model, _ = build_model(content, source="last.pt", config=replace(SMALL, drop_path=0.5))
    assert model.vit.blocks[-1].drop_path1.rate == pytest.approx(0.5)
    with pytest.raises(UserError, match=r"last\.pt: its network has num_tokens 4, asked for was 6"):
        build_model(content, source="last.pt", config=replace(SMALL, num_tokens=6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "version 3"),
        ({"model": None}, "key 'model'"),
        ({"recipe": {}}, "group 'model'"),
        ({"recipe": {**RECIPE.to_dict(), "model": {**RECIPE.to_dict()["model"], "height": "tall"}}}, "file: "),
        ({"recipe": {**RECIPE.to_dict(), "model": {**RECIPE.to_dict()["model"], "patch_size": 0}}}, "file: "),
        ({"recipe": {**RECIPE.to_dict(), "model": {**RECIPE.to_dict()["model"], "depth": 0}}}, "depth"),
    ],
)
def test_a_damaged_own_checkpoint(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_model(own_layout(scrambled(), **change), source="file")


def test_a_checkpoint_that_is_not_what_was_saved() -> None:
    with pytest.raises(UserError, match="file: damaged"):
        build_model({**own_layout(scrambled()), "model": scrambled().state_dict(), "note": "x"}, source="file")


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_authors_layout_of_a_small_network(prefix: str) -> None:
    model = scrambled()
    file = {prefix + key.removeprefix("module."): value for key, value in authors_layout(model).items()}
    again, report = build_model({"state_dict": file}, source="file", config=SMALL)
    assert_equal_weights(model, again)
    assert not again.training
    assert set(report.skipped) == {
        key.removeprefix("module.")
        for key in file
        if key.removeprefix("module.").startswith(("blocks.1.", "norm.", "bottleneck."))
    }
    assert not report.fresh and not report.resized
    assert len(report.used) + len(report.skipped) == len(file)


def test_the_network_is_read_from_the_authors_shapes() -> None:
    config = ModelConfig(embed_dim=128, num_heads=2, depth=3, num_tokens=5, patch_size=32, stem_channels=4, mlp_ratio=2)
    model = scrambled(config)
    again, _ = build_model({"state_dict": authors_layout(model)}, source="file")
    assert again.config == config
    assert_equal_weights(model, again)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ModelConfig(height=256, embed_dim=64, num_heads=1, depth=1), "its size must be given"),
        (ModelConfig(embed_dim=48, num_heads=1, depth=1), "number of attention heads"),
    ],
)
def test_what_the_authors_shapes_do_not_tell(config: ModelConfig, message: str) -> None:
    file = {"state_dict": authors_layout(scrambled(config))}
    with pytest.raises(UserError, match=message):
        build_model(file, source="file")
    assert build_model(file, source="file", config=config)[0].config == config


@pytest.mark.parametrize(
    "change", [{"num_tokens": 3}, {"embed_dim": 48}, {"depth": 1}, {"depth": 3}, {"height": 48}, {"stem_channels": 4}]
)
def test_authors_layout_with_another_network(change: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"file: (keys? |unexpected key )'"):
        build_model(LAYOUTS["authors"](scrambled()), source="file", config=replace(SMALL, **change))


# --- every layout ------------------------------------------------------------------------------------------------


def last_key(name: str, content: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The weights of a content, copied, and the key of one that is in use."""
    weights = dict(content[WEIGHTS_UNDER[name]])
    content[WEIGHTS_UNDER[name]] = weights
    return weights, next(key for key in weights if key.endswith("blocks.0.attn.qkv.weight"))


def signed(content: dict[str, Any]) -> dict[str, Any]:
    """With the digest of what it holds, where its layout has one."""
    return {**content, "digest": digest_of(content)} if "digest" in content else content


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_damaged_key_is_refused_by_name(name: str) -> None:
    def refused(damage: Any) -> str:
        content = LAYOUTS[name](scrambled())
        weights, key = last_key(name, content)
        damage(weights, key)
        with pytest.raises(UserError) as caught:
            build_model(signed(content), source="dir/file.pth", config=SMALL)
        assert str(caught.value).startswith("dir/file.pth: ") and "blocks.0.attn.qkv.weight" in str(caught.value)
        return str(caught.value)

    assert "found no such key" in refused(lambda w, k: w.pop(k))
    assert "expected shape (72, 24), found shape (24, 72)" in refused(lambda w, k: w.update({k: w[k].T}))
    assert "found no plain tensor" in refused(lambda w, k: w.update({k: 3}))
    assert "found no plain tensor" in refused(lambda w, k: w.update({k: w[k].to_sparse()}))
    assert "found torch.int64" in refused(lambda w, k: w.update({k: w[k].long()}))
    assert "found torch.complex64" in refused(lambda w, k: w.update({k: w[k].cfloat()}))
    assert "NaN or infinite" in refused(lambda w, k: w.update({k: torch.full_like(w[k], torch.nan)}))
    assert "NaN or infinite" in refused(lambda w, k: w.update({k: w[k].double() * 1e300}))
    assert "unexpected key" in refused(lambda w, k: w.update({f"extra.{k}": w[k]}))
    assert "stands there twice" in refused(lambda w, k: w.update({f"module.backbone.{k}": w[k]}))


@pytest.mark.parametrize("name", LAYOUTS)
def test_half_precision_weights_become_single(name: str) -> None:
    content = LAYOUTS[name](scrambled())
    weights, key = last_key(name, content)
    weights[key] = weights[key].half()
    model, _ = build_model(signed(content), source="file", config=SMALL)
    loaded = model.state_dict()["vit.blocks.0.attn.qkv.weight"]
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded, weights[key].float(), rtol=0, atol=0)


# --- self-supervised starts --------------------------------------------------------------------------------------


def test_golden_import_of_a_start() -> None:
    """One block instead of twelve: class tokens and positions do not depend on the rest."""
    golden = np.load(GOLDEN / "pretrained_import.npz")
    shapes = json.loads((GOLDEN / "pretrained_keys.json").read_text())
    deep = [key for key in shapes if key.startswith("blocks.") and not key.startswith("blocks.0.")]
    assert len(deep) == 11 * 12
    file = {key: torch.ones(shape) for key, shape in shapes.items() if key not in deep}
    file |= {key: value.long() for key, value in file.items() if key.endswith("num_batches_tracked")}
    file |= {key: torch.from_numpy(golden[f"{key}_in"]) for key in ("cls_token", "pos_embed")}
    model, report = build_model(file, source="start.pth", config=ModelConfig(depth=1))
    state = model.state_dict()
    tokens = torch.cat([state["vit.cls_token"], state["vit.reg_token"]], dim=1)
    np.testing.assert_array_equal(tokens.numpy(), golden["cls_token_out"])
    ours, expected = state["vit.pos_embed"][:, 4:].numpy(), golden["pos_embed_patches_out"]
    assert_near(ours, expected, resized_from(16))
    assert set(report.used) == set(file) and report.resized == ("pos_embed",) and not report.skipped
    assert report.fresh[0] == "vit.pos_embed[:, :4]" and len(report.fresh) == 1 + 4 * 5


def test_positions_are_resized_like_a_picture() -> None:
    """Bilinear between patch centres: rows 4 -> 6, columns unchanged."""
    source = scrambled(replace(SMALL, height=32))
    file = to_pretrained_layout(source)
    model, report = build_model(file, source="file", config=replace(SMALL, height=48))
    grid = file["pos_embed"][0, 1:].reshape(4, 2, 24)
    expected = torch.empty(6, 2, 24)
    for row in range(6):
        at = min(max((row + 0.5) * 4 / 6 - 0.5, 0.0), 3.0)
        low = min(int(at), 2)
        expected[row] = (1 - (at - low)) * grid[low] + (at - low) * grid[low + 1]
    assert_near(model.state_dict()["vit.pos_embed"][0, 4:], expected.reshape(12, 24), resized_from(4))
    assert report.resized == ("pos_embed",)


def test_a_start_round_trip_and_back() -> None:
    source = scrambled()
    file = to_pretrained_layout(source)
    model, report = build_model(file, source="file", config=SMALL)
    again = to_pretrained_layout(model)
    positions, other = again.pop("pos_embed"), file["pos_embed"]
    torch.testing.assert_close(positions[:, 1:], other[:, 1:], rtol=0, atol=0)
    assert all(torch.equal(value, file[key]) for key, value in again.items())
    assert set(again) | {"pos_embed"} == set(file) == set(report.used)
    assert not report.resized
    stems = model.vit.patch_embed
    for key, value in stems.visible.state_dict().items():
        assert torch.equal(value, stems.infrared.state_dict()[key])
        assert value.data_ptr() != stems.infrared.state_dict()[key].data_ptr()
    fresh = TokenViT(SMALL).necks.state_dict()
    assert all(torch.equal(value, fresh[key]) for key, value in model.necks.state_dict().items())
    assert not model.training


def test_a_start_has_the_published_keys_and_shapes() -> None:
    shapes = json.loads((GOLDEN / "pretrained_keys.json").read_text())
    ours = to_pretrained_layout(TokenViT(ModelConfig(height=256)))
    assert {key: list(value.shape) for key, value in ours.items()} == shapes


def test_a_start_from_one_class_token() -> None:
    file = to_pretrained_layout(scrambled(replace(SMALL, num_tokens=1)))
    state = build_model(file, source="file", config=SMALL)[0].state_dict()
    assert torch.equal(state["vit.reg_token"], file["cls_token"].expand(-1, 3, -1))
    single, _ = build_model(file, source="file", config=replace(SMALL, num_tokens=1))
    assert torch.equal(single.state_dict()["vit.cls_token"], file["cls_token"])


@pytest.mark.parametrize("under", [None, "model", "state_dict", "teacher"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_wrappings_of_a_start(under: str | None, prefix: str) -> None:
    plain = to_pretrained_layout(scrambled())
    heads = {"module.head.mlp.0.weight": torch.zeros(2), "projector.last.bias": torch.zeros(1)}
    file: dict[str, Any] = {prefix + key: value for key, value in plain.items()} | heads
    content = {under: file, "epoch": 3} if under else file
    model, report = build_model(content, source="file", config=SMALL, generator=torch.Generator().manual_seed(5))
    expected, _ = build_model(plain, source="file", config=SMALL, generator=torch.Generator().manual_seed(5))
    assert_equal_weights(model, expected)
    assert report.skipped == ("head.mlp.0.weight", "projector.last.bias")
    assert "skipped: head.mlp.0.weight, projector.last.bias" in str(report)


def test_token_positions_are_fresh_and_follow_the_generator() -> None:
    file = to_pretrained_layout(scrambled(replace(SMALL, embed_dim=384)))
    config = replace(SMALL, embed_dim=384)

    def positions(seed: int) -> Tensor:
        torch.manual_seed(0)
        before = torch.get_rng_state()
        model, _ = build_model(file, source="file", config=config, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(torch.get_rng_state(), before)
        return model.state_dict()["vit.pos_embed"][0, :4]

    first = positions(1)
    assert torch.equal(first, positions(1)) and not torch.equal(first, positions(2))
    assert first.std().item() == pytest.approx(0.02, rel=0.1)
    off_diagonal = F.cosine_similarity(first[:, None], first[None], dim=2) - torch.eye(4)
    assert off_diagonal.abs().max() < 0.3


@pytest.mark.parametrize(
    ("patches", "target", "resized"),
    [
        (8, (4, 2), False),
        (32, (4, 2), True),  # 8x4
        (8, (6, 2), True),  # 4x2
        (27, (6, 2), True),  # 9x3, in the target's proportions
    ],
)
def test_the_grid_of_a_start(patches: int, target: tuple[int, int], resized: bool) -> None:
    config = replace(SMALL, height=8 * target[0], width=8 * target[1])
    file = to_pretrained_layout(scrambled(config))
    file["pos_embed"] = torch.ones(1, 1 + patches, 24)
    model, report = build_model(file, source="file", config=config)
    assert_near(model.state_dict()["vit.pos_embed"][:, 4:], torch.ones(1, target[0] * target[1], 24), 4 * U)  # means
    assert bool(report.resized) is resized


@pytest.mark.parametrize("patches", [0, 1, 7, 9, 196])
def test_an_impossible_grid_is_refused(patches: int) -> None:
    file = to_pretrained_layout(scrambled())
    file["pos_embed"] = torch.ones(1, 1 + patches, 24)
    with pytest.raises(UserError, match=f"'pos_embed': its {patches} patches form no grid"):
        build_model(file, source="file", config=replace(SMALL, height=48))


def test_the_report_names_all_keys_and_of_those_that_differ_in_numbers_one() -> None:
    _, report = build_model(LAYOUTS["authors"](scrambled()), source="file", config=SMALL)
    text = str(report)
    assert text.startswith("file: authors layout, ") and "\n" not in text
    assert "skipped: " in text and "fresh" not in text
    assert families(["necks.0.bias", "cls", "necks.1.bias", "a.2.b", "pos[:, :4]"]) == [
        "necks.*.bias", "cls", "a.2.b", "pos[:, :4]",
    ]  # fmt: skip
    shown = text.partition("skipped: ")[2].split("; ")[0].split(", ")
    assert all(any(re.fullmatch(re.escape(s).replace(r"\*", r"\d+"), key) for s in shown) for key in report.skipped)
