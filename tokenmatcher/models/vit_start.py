"""A self-supervised ViT as the start of a network: TransReID-SSL's layout, and the demo's own start.

Legend: T class tokens, D token width, N patches.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokenmatcher.errors import UserError
from tokenmatcher.models.backbone import TOKEN_STD, TokenViT
from tokenmatcher.models.base import Network
from tokenmatcher.models.filling import built, fill
from tokenmatcher.models.source import ImportReport, Layout, Source
from tokenmatcher.recipe import ModelConfig

_HEADS = ("head.", "heads.", "projector.", "projection_head.", "predictor.", "prototypes.", "fc.")


def to_pretrained_layout(model: TokenViT) -> dict[str, Tensor]:
    """The weights as a self-supervised start, copied: the visible stem and the first class token stand for all.

    For pre-training with one stem (both trained alike, or only the visible one). `build_model` reads it back.

    Returns:
        `cls_token` (1, 1, D), `pos_embed` (1, 1+N, D), `patch_embed.*`, `blocks.*`, `norm.*`.
    """
    state = model.state_dict()
    start = {
        _pretrained_key(key, model.config.depth - 1): value.clone()
        for key, value in state.items()
        if not key.startswith(("necks.", "vit.patch_embed.infrared.", "vit.reg_token"))
    }
    positions = state["vit.pos_embed"]
    start["pos_embed"] = torch.cat([positions[:, :1], positions[:, model.config.num_tokens :]], dim=1)
    return start


def from_pretrained(
    source: Source, config: ModelConfig | None, generator: torch.Generator | None
) -> tuple[Network, ImportReport]:
    """Stems, blocks and norms from the file; the necks fresh. Several class tokens are all alike, and their positions
    fresh, which is what first sets them apart; a single one keeps its own.

    Raises:
        UserError: a key is missing, unexpected, misshapen or not finite.
    """
    config = config or ModelConfig()
    model, last = built(config, source.name), config.depth - 1
    count, width = config.num_tokens, config.embed_dim
    token = source.take("cls_token", (1, 1, width))
    length = source.shape("pos_embed", 3)[1]
    positions = source.take("pos_embed", (1, length, width)).float()
    own, patches = positions[:, :1], positions[:, 1:]
    target = (config.height // config.patch_size, config.width // config.patch_size)
    grid = _source_grid(patches.shape[1], target, source.name)
    if grid != target:
        patches = F.interpolate(
            patches.transpose(1, 2).unflatten(2, grid), size=target, mode="bilinear", align_corners=False
        )
        patches = patches.flatten(2).transpose(1, 2)
    fresh = []
    if config.network == "token_vit":
        own = torch.empty(1, count, width)
        nn.init.trunc_normal_(own, std=TOKEN_STD, a=-2.0, b=2.0, generator=generator)
        fresh = [f"vit.pos_embed[:, :{count}]"]
    necks = {key: value for key, value in model.state_dict().items() if key.startswith("necks.")}
    fill(
        model,
        source,
        lambda key: _pretrained_key(key, last),
        {
            **class_tokens(token.expand(-1, count, -1)),
            "vit.pos_embed": torch.cat([own, patches], dim=1),
            **necks,
        },
    )
    return model, ImportReport(
        source=source.name,
        layout=Layout.PRETRAINED,
        used=tuple(source.used),
        resized=("pos_embed",) if grid != target else (),
        skipped=source.skip(*_HEADS),
        fresh=(*fresh, *necks),
    )


def _pretrained_key(key: str, last: int) -> str:
    """Model key -> the key of a self-supervised start, whose one stem fills both, as its last block and its norm fill
    both branches."""
    key = key.replace("shallow_block.", f"vit.blocks.{last}.").replace("shallow_norm.", "vit.norm.")
    return re.sub(r"^vit\.(patch_embed\.)?(visible\.|infrared\.)?", r"\1", key)


def _source_grid(patches: int, target: tuple[int, int], name: str) -> tuple[int, int]:
    """(rows, columns) of `patches` patches: the target's own, else of a picture twice as high as wide (as those of
    the published start, 256x128), else of the target's proportions.

    Raises:
        UserError: none of these has that many patches.
    """
    rows, columns = target
    if patches == rows * columns:
        return target
    for ratio in (2.0, rows / columns):
        across = round((patches / ratio) ** 0.5)
        down = round(across * ratio)
        if across and down * across == patches and down == across * ratio:
            return down, across
    raise UserError(
        f"{name}: key 'pos_embed': its {patches} patches form no grid twice as high as wide, "
        f"nor one in the proportions of {rows}x{columns}"
    )


def class_tokens(tokens: Tensor) -> dict[str, Tensor]:
    """(1, T, D) as timm holds them: one class token, and register tokens if there are more."""
    parts = {"vit.cls_token": tokens[:, :1], "vit.reg_token": tokens[:, 1:]}
    return {key: part for key, part in parts.items() if part.shape[1]}
