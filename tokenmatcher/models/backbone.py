"""The backbone: two stems, shared transformer blocks, T class tokens.

    visible  (B1, 3, H, W) -> stem -+
                                    +-> (B, N, D) + T class tokens -> blocks -> norm -> tokens (B, T, D)
    infrared (B2, 3, H, W) -> stem -+                                                -> T necks -> features (B, T*D)

Legend: B = B1 + B2 batch, visible first, T class tokens, D token width, N patches, H and W image height and
width in pixels.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from timm.models import VisionTransformer, checkpoint_seq
from torch import Tensor, nn

from tokenmatcher.contracts import Modality
from tokenmatcher.machine import to_device
from tokenmatcher.models.norms import GroupedBatchNorm, gather_groups, scatter_groups
from tokenmatcher.models.stem import ConvStem
from tokenmatcher.recipe import ModelConfig

TOKEN_STD = 0.02  # of fresh class tokens and position embeddings, as in ViT


class TokenOutput(NamedTuple):
    """Backbone output for B images."""

    tokens: Tensor
    """(B, T, D) class tokens after the last norm."""
    features: Tensor
    """(B, T*D) the same, each token through its own batch norm."""


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


class StochasticDepth(nn.Module):
    """Leaves a residual branch out for some images while training (Huang et al., ECCV 2016).

    As timm's, but the random numbers come from outside, so that an image's fate does not depend on which
    images, or how many processes, it is computed with.

    Attributes:
        rate: share of images whose branch is left out; the other branches are scaled by 1 / (1 - rate).
        draws: (B,) uniform in 0..1, set before each pass; an image below `rate` loses its branch.
    """

    draws: Tensor | None = None

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> the same shape."""
        if not self.training:
            return x
        assert self.draws is not None, "set by TokenViT.forward"
        scale = (self.draws >= self.rate).to(x.dtype) / (1 - self.rate)
        return x * scale.view(-1, *[1] * (x.ndim - 1))

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"


class TokenViT(nn.Module):
    """ViT (Dosovitskiy et al., 2021) with a stem for each modality and T class tokens.

    The class tokens are timm's one class token and T - 1 register tokens: they see and are seen alike,
    and each has a position embedding. The necks' biases are kept at 0 (`requires_grad` is off).

    Fresh weights follow PyTorch's global generator: linear layers and position embeddings truncated normal
    (std 0.02), class tokens normal (std 0.02), convolutions Kaiming (fan-out), norms 1 and 0.

    Raises:
        ValueError: no class token, or sizes that `ConvStem` refuses.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.num_tokens < 1:
            raise ValueError(f"needs at least one class token, got {config.num_tokens}")
        self.config = config
        self.vit = VisionTransformer(
            img_size=(config.height, config.width),
            patch_size=config.patch_size,
            num_classes=0,
            global_pool="",
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.num_heads,
            mlp_ratio=config.mlp_ratio,
            qkv_bias=True,
            reg_tokens=config.num_tokens - 1,
            embed_layer=lambda **_: TwoStems(config),
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )
        for place, block in enumerate(self.vit.blocks):
            rate = config.drop_path * place / max(1, config.depth - 1)
            if rate > 0:
                block.drop_path1, block.drop_path2 = StochasticDepth(rate), StochasticDepth(rate)
        # In the order of `forward`'s depth_draws; found once, since every pass needs them.
        self.depth_modules = [module for module in self.vit.modules() if isinstance(module, StochasticDepth)]
        self.necks = nn.ModuleList(
            GroupedBatchNorm(config.embed_dim, config.bn_groups) for _ in range(config.num_tokens)
        )
        for neck in self.necks:
            neck.bias.requires_grad_(False)
        for token in (self.vit.cls_token, self.vit.reg_token):
            if token is not None:
                nn.init.normal_(token, std=TOKEN_STD)

    @property
    def width(self) -> int:
        """T*D, of a feature."""
        return self.config.num_tokens * self.config.embed_dim

    def forward(
        self,
        visible: Tensor | None = None,
        infrared: Tensor | None = None,
        depth_draws: Tensor | None = None,
    ) -> TokenOutput:
        """Both modalities in one pass, so that batch statistics behind the stems see both.

        Args:
            visible: (B1, 3, H, W) normalised pixels, or None.
            infrared: (B2, 3, H, W) normalised pixels, or None.
            depth_draws: (R, B) uniform in 0..1 for the R residual branches with stochastic depth, read while
                training; None draws them from PyTorch's global generator.

        Returns:
            tokens and features of the B1 visible images, then of the B2 infrared ones.

        Raises:
            ValueError: no images, or images that are not (B, 3, H, W) of the configured size; while training, images
                of a modality that do not divide into the batch norm groups.
        """
        if visible is None and infrared is None:
            raise ValueError("needs visible or infrared images, got neither")
        size = (3, self.config.height, self.config.width)
        for modality, images in ((Modality.VISIBLE, visible), (Modality.INFRARED, infrared)):
            if images is not None and (images.ndim != 4 or images.shape[1:] != size):
                expected = "x".join(map(str, size))
                raise ValueError(f"{modality} images must be Bx{expected}, got {tuple(images.shape)}")
        if self.training and self.depth_modules:
            batch = sum(len(images) for images in (visible, infrared) if images is not None)
            device = next(self.parameters()).device
            if depth_draws is None:
                depth_draws = torch.rand(len(self.depth_modules), batch, device=device)
            for module, draws in zip(self.depth_modules, to_device(depth_draws, device), strict=True):
                module.draws = draws
        patches = self.vit.patch_embed(visible, infrared)
        tokens = self._transformed(patches)[:, : self.config.num_tokens]
        tokens = tokens.float()  # under autocast, too, what follows is float32
        counts = [images.shape[0] for images in (visible, infrared) if images is not None]
        return TokenOutput(tokens, self._through_necks(tokens, counts))

    def _transformed(self, patches: Tensor) -> Tensor:
        """(B, N, D) -> (B, T + N, D): class tokens in front, positions added, through all blocks and the last norm."""
        vit = self.vit
        assert vit.pos_embed is not None  # timm makes it unless told otherwise
        class_tokens = [token for token in (vit.cls_token, vit.reg_token) if token is not None]
        batch = [token.expand(patches.shape[0], -1, -1) for token in class_tokens]
        hidden = torch.cat([*batch, patches], dim=1) + vit.pos_embed
        hidden = checkpoint_seq(vit.blocks, hidden) if vit.grad_checkpointing else vit.blocks(hidden)
        return vit.norm(hidden)

    def _through_necks(self, tokens: Tensor, counts: list[int]) -> Tensor:
        """(B, T, D) -> (B, T*D); while training, group g of both modalities is normalised together."""
        # Of this process; on several GPUs to a group the necks are nn.SyncBatchNorm, which knows no groups.
        groups = getattr(self.necks[0], "groups", 1) if self.training else 1
        rows = gather_groups(tokens, counts, groups) if groups > 1 else tokens
        features = torch.cat([neck(token) for neck, token in zip(self.necks, rows.unbind(1), strict=True)], dim=1)
        return scatter_groups(features, counts, groups) if groups > 1 else features
