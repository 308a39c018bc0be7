"""Trained models of the methods' authors, in the layouts of their programs."""

from __future__ import annotations

from tokenmatcher.errors import UserError
from tokenmatcher.models.base import Network
from tokenmatcher.models.filling import built, fill
from tokenmatcher.models.source import ImportReport, Layout, Source, numbered
from tokenmatcher.models.vit_start import class_tokens
from tokenmatcher.recipe import ModelConfig

_HEAD_WIDTH = 64  # of an attention head, in ViTs of every size


def from_authors(source: Source, config: ModelConfig | None) -> tuple[Network, ImportReport]:
    """TokenMatcher's.

    Raises:
        UserError: a key is missing, unexpected, misshapen or not finite; shapes that do not tell of a network.
    """
    config = config or _authors_config(source)
    if config.depth != numbered(source):  # one block more, and the dead copy would pass for a live one
        raise UserError(f"{source.name}: keys 'blocks.*': expected {config.depth} blocks, found {numbered(source)}")
    model = built(config, source.name)
    last = config.depth - 1
    tokens = source.take("cls_token", (1, config.num_tokens, config.embed_dim))
    fill(model, source, lambda key: _authors_key(key, last), class_tokens(tokens))
    skipped = source.skip(f"blocks.{last}.", "norm.", "bottleneck.")
    return model, ImportReport(source=source.name, layout=Layout.AUTHORS, used=tuple(source.used), skipped=skipped)


def _authors_key(key: str, last: int) -> str:
    """Model key -> the authors' key. Their forward pass reads its last block from `b1.0` and its last norm from
    `b1.1`; `blocks.<last>`, `norm` and `bottleneck` are copies that nothing reads."""
    for mine, theirs in (
        ("vit.patch_embed.visible.", "visible_module.visible."),
        ("vit.patch_embed.infrared.", "thermal_module.thermal."),
        (f"vit.blocks.{last}.", "b1.0."),
        ("vit.norm.", "b1.1."),
        ("necks.", "bottlenecks."),
    ):
        if key.startswith(mine):
            return theirs + key.removeprefix(mine)
    return key.removeprefix("vit.")


def _authors_config(source: Source) -> ModelConfig:
    """The network that the shapes tell of, at the paper's image size."""
    _, num_tokens, width = source.shape("cls_token", 3)
    if width % _HEAD_WIDTH:
        raise UserError(f"{source.name}: key 'cls_token': width {width} does not tell the number of attention heads")
    config = ModelConfig(
        num_tokens=num_tokens,
        embed_dim=width,
        num_heads=width // _HEAD_WIDTH,
        depth=numbered(source),
        mlp_ratio=source.shape("b1.0.mlp.fc1.weight", 2)[0] / width,
        stem_channels=source.shape("visible_module.visible.conv.0.weight", 4)[0],
        patch_size=2 * source.shape("visible_module.visible.proj.weight", 4)[2],
    )
    found = source.shape("pos_embed", 3)[1] - num_tokens
    if found != (config.height // config.patch_size) * (config.width // config.patch_size):
        raise UserError(
            f"{source.name}: key 'pos_embed': {found} patches of {config.patch_size} pixels are not those of "
            f"a {config.height}x{config.width} image; its size must be given"
        )
    return config


def from_sdcl(source: Source, config: ModelConfig | None) -> tuple[Network, ImportReport]:
    """SDCL's; `base.blocks.<last>` and `base.norm` are copies that nothing reads.

    Raises:
        UserError: a key is missing, unexpected, misshapen or not finite; shapes that do not tell of a network.
    """
    config = config or _sdcl_config(source)
    last, found = config.depth - 1, numbered(source, "base.blocks.")
    if config.depth != found:  # as `from_authors`
        raise UserError(f"{source.name}: keys 'base.blocks.*': expected {config.depth} blocks, found {found}")
    model = built(config, source.name)
    fill(model, source, lambda key: _sdcl_key(key, last))
    skipped = source.skip(f"base.blocks.{last}.", "base.norm.", "base.fc.", "base.decoder_norm.")
    return model, ImportReport(source=source.name, layout=Layout.SDCL, used=tuple(source.used), skipped=skipped)


def _sdcl_key(key: str, last: int) -> str:
    for mine, theirs in (
        ("vit.patch_embed.visible.", "base.patch_embed."),
        ("vit.patch_embed.infrared.", "base.patch_embed2."),
        (f"vit.blocks.{last}.", "b1.0."),
        ("vit.norm.", "b1.1."),
        ("shallow_block.", "b2.0."),
        ("shallow_norm.", "b2.1."),
        ("necks.0.", "bottleneck."),
        ("necks.1.", "bottlenecks."),
        ("vit.", "base."),
    ):
        if key.startswith(mine):
            return theirs + key.removeprefix(mine)
    raise AssertionError(key)


def _sdcl_config(source: Source) -> ModelConfig:
    """As `_authors_config`, at SDCL's image size."""
    width = source.shape("base.cls_token", 3)[2]
    if width % _HEAD_WIDTH:
        raise UserError(f"{source.name}: key 'base.cls_token': width {width} does not tell the number of heads")
    config = ModelConfig(
        network="two_branch",
        height=288,
        width=144,
        num_tokens=1,
        drop_path=0.1,
        bn_groups=2,
        embed_dim=width,
        num_heads=width // _HEAD_WIDTH,
        depth=numbered(source, "base.blocks."),
        mlp_ratio=source.shape("b1.0.mlp.fc1.weight", 2)[0] / width,
        stem_channels=source.shape("base.patch_embed.conv.0.weight", 4)[0],
        patch_size=2 * source.shape("base.patch_embed.proj.weight", 4)[2],
    )
    found = source.shape("base.pos_embed", 3)[1] - 1
    if found != (config.height // config.patch_size) * (config.width // config.patch_size):
        raise UserError(
            f"{source.name}: key 'base.pos_embed': {found} patches of {config.patch_size} pixels are not those of a "
            f"{config.height}x{config.width} image; its size must be given"
        )
    return config
