"""What each class token looks at, and how alike the tokens of a picture are.

Legend: B images, T class tokens, D token width, R x C grid of patches, H heads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenmatcher.contracts import Modality
from tokenmatcher.images.augment import normalise, to_float
from tokenmatcher.models.backbone import TokenViT


class Look(NamedTuple):
    """attention: (B, T, R, C) of each class token over the patches, in the last block, mean over the heads; each sums
    to 1. tokens: (B, T, D) after the last norm."""

    attention: Tensor
    tokens: Tensor


@torch.inference_mode()
def look(network: TokenViT, images: Tensor, modality: Modality) -> Look:
    """Of (B, 3, H, W) uint8 pictures, as they are (no mirror image).

    The last block's attention is asked for its weights through a hook; what it computes with them stays the same.
    """
    was_training = network.training
    attention: Any = network.vit.blocks[-1].attn
    fused, kept = attention.fused_attn, []
    handle = attention.attn_drop.register_forward_hook(lambda _module, _inputs, weights: kept.append(weights))
    attention.fused_attn = False  # the fused kernel never holds the weights
    try:
        network.eval()
        tokens = network(**{modality.value: normalise(to_float(images))}).tokens
    finally:
        handle.remove()
        attention.fused_attn = fused
        network.train(was_training)
    count = network.config.num_tokens
    weights = kept[0].float().mean(1)[:, :count, count:]  # (B, H, T+N, T+N): rows look at columns
    rows, columns = network.vit.patch_embed.grid_size
    shares = weights / weights.sum(2, keepdim=True)
    return Look(shares.unflatten(2, (rows, columns)).cpu(), tokens.cpu())


def likeness(tokens: Tensor) -> Tensor:
    """(T, T) mean over the images of the cosines between each two class tokens of (B, T, D)."""
    unit = F.normalize(tokens.float(), dim=2)
    return (unit @ unit.transpose(1, 2)).mean(0)


def overlap(attention: Tensor) -> Tensor:
    """(T, T) mean over the images of what two tokens' (B, T, R, C) attention has in common: the sum of the smaller
    shares, 0..1."""
    flat = attention.flatten(2)
    return torch.minimum(flat[:, :, None], flat[:, None, :]).sum(3).mean(0)
