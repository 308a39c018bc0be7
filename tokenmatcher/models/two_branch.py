"""SDCL's backbone: a ViT whose last block stands there twice, once deep and once shallow.

    visible  -> stem -+
                      +-> x0 = [class token, patches] + positions -> blocks 1 to L-1 -> x
    infrared -> stem -+

    deep:     class token of norm(block L(x))
    shallow:  class token of norm'(block L'([class token of x, patches of x0]))

The shallow branch sees the patches as they come from the stems. Nothing is detached: its loss trains all blocks.

Legend: B images, N patches, D token width, L blocks.
"""

from __future__ import annotations

from copy import deepcopy
from typing import ClassVar

import torch
from timm.models import checkpoint_seq
from torch import Tensor, nn

from tokenmatcher.models.backbone import VIT_READS, two_stem_vit, vit_sizes, with_class_tokens
from tokenmatcher.models.base import Network
from tokenmatcher.models.source import Source, numbered
from tokenmatcher.recipe import ModelConfig


class TwoBranchViT(Network):
    """ViT with a stem for each modality, one class token, and a deep and a shallow branch (SDCL, CVPR 2024).

    A feature's first half is deep, its second shallow. Fresh weights as `TokenViT`'s; both branches start alike.

    Raises:
        ValueError: sizes that `ConvStem` refuses.
    """

    reads: ClassVar[tuple[str, ...]] = (*Network.reads, *VIT_READS)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.vit = two_stem_vit(config, 1)  # its last block and its norm are the deep branch's
        self.shallow_block, self.shallow_norm = deepcopy(self.vit.blocks[-1]), deepcopy(self.vit.norm)
        self.finish(config.embed_dim)

    @classmethod
    def parts_of(cls, config: ModelConfig) -> int:
        return 2

    @property
    def description(self) -> str:
        config = self.config
        return (
            f"ViT, {config.depth} blocks, the last one twice: a deep and a shallow branch of {config.embed_dim}, "
            "a stem for each modality"
        )

    def tokens(self, visible: Tensor | None, infrared: Tensor | None) -> Tensor:
        vit = self.vit
        start = with_class_tokens(vit, vit.patch_embed(visible, infrared))
        *shared, deep_block = vit.blocks
        hidden = self._through(shared, start)
        shallow = torch.cat([hidden[:, :1], start[:, 1:]], dim=1)
        branches = [
            vit.norm(self._through([deep_block], hidden)),
            self.shallow_norm(self._through([self.shallow_block], shallow)),
        ]
        return torch.stack([branch[:, 0] for branch in branches], dim=1)

    def _through(self, blocks: list[nn.Module], hidden: Tensor) -> Tensor:
        """(B, 1 + N, D) -> the same shape."""
        if self.vit.grad_checkpointing:
            return checkpoint_seq(blocks, hidden)
        for block in blocks:
            hidden = block(hidden)
        return hidden

    def set_recompute(self, on: bool) -> None:
        self.vit.set_grad_checkpointing(on)

    @classmethod
    def sizes(cls, config: ModelConfig, file: Source) -> dict[str, tuple[float, float]]:
        return {"branches": (2, numbered(file, "necks.")), **vit_sizes(config, file, num_tokens=1)}
