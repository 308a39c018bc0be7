"""Images to features.

Legend: N images, B batch, T tokens, D token width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from tokenmatcher.contracts import Modality
from tokenmatcher.data.augment import normalise, to_float
from tokenmatcher.data.store import ImageStore
from tokenmatcher.distributed import ALONE, Team
from tokenmatcher.model.backbone import TokenViT
from tokenmatcher.runtime import autocast


@torch.inference_mode()
def embed(model: TokenViT, images: Tensor, modality: Modality, precision: str = "fp32") -> Tensor:
    """(B, T*D) float32 features of (B, 3, H, W) uint8 `images` and of their mirror images, averaged, not normalised."""
    pixels = normalise(to_float(images))
    both = torch.cat([pixels, pixels.flip(3)])
    with autocast(images.device, precision):
        features = model(**{modality.value: both}).features
    return (features[: len(images)] + features[len(images) :]) / 2


def extract(
    model: TokenViT,
    store: ImageStore,
    modality: Modality,
    *,
    device: torch.device,
    index: np.ndarray | None = None,
    batch_size: int | None = None,
    progress: bool = True,
    team: Team = ALONE,
    precision: str = "fp32",
) -> Tensor:
    """(N, T*D) float32 features on `device` of the pictures `index` of `store` (default: all); see `embed`.

    Each process of `team` embeds its part, and all get the whole.
    The model is put into inference mode and left as it was.

    Args:
        batch_size: images in a pass, each beside its mirror image; by default 128, on the CPU 32, since what many
            images leave in a layer does not fit its caches.
    """
    if batch_size is None:
        batch_size = 32 if device.type == "cpu" else 128
    everything = np.arange(len(store)) if index is None else index
    rows = everything[team.part(len(everything))]
    was_training = model.training
    model.eval()
    try:
        parts = [
            embed(model, store.batch(rows[start : start + batch_size], device), modality, precision)
            for start in tqdm(
                range(0, len(rows), batch_size), desc=f"features {modality}", disable=not progress, leave=False
            )
        ]
    finally:
        model.train(was_training)
    width = model.config.num_tokens * model.config.embed_dim
    own = torch.cat(parts).clone() if parts else torch.empty(0, width, device=device)
    return team.join(own, len(everything))
