"""The backbone: two stems, shared transformer blocks, T class tokens.

    visible  (B1, 3, H, W) -> stem -+
                                    +-> (B, N, D) + T class tokens -> blocks -> norm -> tokens (B, T, D)
    infrared (B2, 3, H, W) -> stem -+                                                -> T necks -> features (B, T*D)

Legend: B = B1 + B2 batch, visible first, T class tokens, D token width, N patches, H and W image height and
width in pixels.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from timm.models import VisionTransformer, checkpoint_seq
from torch import Tensor, nn

from tokenmatcher.models.base import Network, StochasticDepth
from tokenmatcher.models.source import Source, numbered
from tokenmatcher.models.stem import ConvStem
from tokenmatcher.recipe import ModelConfig

VIT_READS = ("patch_size", "stem_channels", "embed_dim", "depth", "num_heads", "mlp_ratio")
TOKEN_STD = 0.02  # of fresh class tokens and position embeddings, as in ViT


class TwoStems(nn.Module):
    """One stem for each modality; stands where timm's ViT has its patch embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.visible = ConvStem(config)
        self.infrared = ConvStem(config)
        self.grid_size = self.visible.grid_size
        self.num_patches = self.visible.num_patches

    def forward(self, visible: Tensor | None, infrared: Tensor | None) -> Tensor:
        """Each (B, 3, H, W) or None -> (B1 + B2, N, D)."""
        parts = []
        if visible is not None:
            parts.append(self.visible(visible))
        if infrared is not None:
            parts.append(self.infrared(infrared))
        return torch.cat(parts)


class TokenViT(Network):
    """ViT (Dosovitskiy et al., 2021) with a stem for each modality and T class tokens.

    The class tokens are timm's one class token and T - 1 register tokens: they see and are seen alike,
    and each has a position embedding.

    Fresh weights follow PyTorch's global generator: linear layers and position embeddings truncated normal
    (std 0.02), class tokens normal (std 0.02), convolutions Kaiming (fan-out), norms 1 and 0.

    Raises:
        ValueError: no class token, or sizes that `ConvStem` refuses.
    """

    reads: ClassVar[tuple[str, ...]] = (*Network.reads, *VIT_READS, "num_tokens")

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        if config.num_tokens < 1:
            raise ValueError(f"needs at least one class token, got {config.num_tokens}")
        self.vit = two_stem_vit(config, config.num_tokens)
        self.finish(config.embed_dim)

    @classmethod
    def parts_of(cls, config: ModelConfig) -> int:
        return config.num_tokens

    @property
    def description(self) -> str:
        config = self.config
        return (
            f"ViT, {config.depth} blocks, {config.num_tokens} class tokens of {config.embed_dim}, "
            "a stem for each modality"
        )

    def tokens(self, visible: Tensor | None, infrared: Tensor | None) -> Tensor:
        hidden = with_class_tokens(self.vit, self.vit.patch_embed(visible, infrared))
        hidden = checkpoint_seq(self.vit.blocks, hidden) if self.vit.grad_checkpointing else self.vit.blocks(hidden)
        return self.vit.norm(hidden)[:, : self.config.num_tokens]

    def set_recompute(self, on: bool) -> None:
        self.vit.set_grad_checkpointing(on)

    @classmethod
    def sizes(cls, config: ModelConfig, file: Source) -> dict[str, tuple[float, float]]:
        return {"num_tokens": (config.num_tokens, numbered(file, "necks.")), **vit_sizes(config, file)}


def two_stem_vit(config: ModelConfig, num_tokens: int) -> VisionTransformer:
    """timm's ViT with a stem for each modality and so many class tokens; stochastic depth rises linearly from 0."""
    vit = VisionTransformer(
        img_size=(config.height, config.width),
        patch_size=config.patch_size,
        num_classes=0,
        global_pool="",
        embed_dim=config.embed_dim,
        depth=config.depth,
        num_heads=config.num_heads,
        mlp_ratio=config.mlp_ratio,
        qkv_bias=True,
        reg_tokens=num_tokens - 1,
        embed_layer=lambda **_: TwoStems(config),
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    for place, block in enumerate(vit.blocks):
        rate = config.drop_path * place / max(1, config.depth - 1)
        if rate > 0:
            block.drop_path1, block.drop_path2 = StochasticDepth(rate), StochasticDepth(rate)
    for token in (vit.cls_token, vit.reg_token):
        if token is not None:
            nn.init.normal_(token, std=TOKEN_STD)
    return vit


def with_class_tokens(vit: VisionTransformer, patches: Tensor) -> Tensor:
    """(B, N, D) -> (B, T + N, D): class tokens in front, positions added."""
    assert vit.pos_embed is not None  # timm makes it unless told otherwise
    class_tokens = [token for token in (vit.cls_token, vit.reg_token) if token is not None]
    batch = [token.expand(patches.shape[0], -1, -1) for token in class_tokens]
    return torch.cat([*batch, patches], dim=1) + vit.pos_embed


def vit_sizes(config: ModelConfig, file: Source, num_tokens: int | None = None) -> dict[str, tuple[float, float]]:
    """`Network.sizes` of a ViT of this file; `num_tokens`: None, as configured."""
    patches = (config.height // config.patch_size) * (config.width // config.patch_size)
    tokens = config.num_tokens if num_tokens is None else num_tokens
    return {
        "depth": (config.depth, numbered(file, "vit.blocks.")),
        "embed_dim": (config.embed_dim, file.shape("vit.cls_token", 3)[2]),
        "mlp_ratio": (int(config.embed_dim * config.mlp_ratio), file.shape("vit.blocks.0.mlp.fc1.weight", 2)[0]),
        "height and width": (tokens + patches, file.shape("vit.pos_embed", 3)[1]),
        "patch_size": (config.patch_size // 2, file.shape("vit.patch_embed.visible.proj.weight", 4)[2]),
        "stem_channels": (config.stem_channels, file.shape("vit.patch_embed.visible.proj.weight", 4)[1]),
    }
