"""Images to features: the same way for pseudo labels, for tests and for users of a trained model.

Legend: N images, B batch, T tokens, D token width, H and W image height and width in pixels.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from tokenmatcher.contracts import Modality
from tokenmatcher.images.augment import normalise, to_float
from tokenmatcher.images.store import ImageStore
from tokenmatcher.machine import Machine
from tokenmatcher.models.base import Network


class Embedder(nn.Module):
    """One modality's pixels to features; each image's is the mean of its own and its mirror image's.

    Args:
        network: read in the mode that it is in; `extract` and `embed` see to inference mode.
        unit: divide each feature by its length, as tests and searches compare them; pseudo labels and centroids are
            made from features as they are. What the mean is of is the network's `unit_views`.
        mirror: whether the mirror image is looked at, too; twice the work.
    """

    def __init__(self, network: Network, modality: Modality, *, unit: bool = False, mirror: bool = True) -> None:
        super().__init__()
        self.network, self.modality, self.unit, self.mirror = network, modality, unit, mirror

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8, or float of 0..1 -> (B, T*D) float32."""
        pixels = normalise(images if images.is_floating_point() else to_float(images))
        batch = torch.cat([pixels, pixels.flip(3)]) if self.mirror else pixels
        features = self.network(**{self.modality.value: batch}).features
        if self.network.config.unit_views:
            features = F.normalize(features, dim=1)
        if self.mirror:
            batch_size = images.shape[0]  # not len, which fixes the batch size of an exported graph
            features = (features[:batch_size] + features[batch_size:]) / 2
        return F.normalize(features, dim=1) if self.unit else features


@torch.inference_mode()
def embed(network: Network, images: Tensor, modality: Modality) -> Tensor:
    """(B, T*D) float32 features of (B, 3, H, W) uint8 `images`, not normalised; see `Embedder`."""
    return Embedder(network, modality)(images)


def extract(
    embedder: Embedder,
    store: ImageStore,
    machine: Machine,
    *,
    index: np.ndarray | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """(N, T*D) float32 features on the machine's device of the pictures `index` of `store` (default: all).

    Each process of the team embeds its part, and all get the whole.
    The network is put into inference mode and left as it was.

    Args:
        batch_size: images in a pass, each beside its mirror image; by default 128, on the CPU 32, since what many
            images leave in a layer does not fit its caches.
    """
    if batch_size is None:
        batch_size = 32 if machine.device.type == "cpu" else 128
    everything = np.arange(len(store)) if index is None else index
    rows = everything[machine.team.shard(len(everything))]
    was_training = embedder.network.training
    embedder.network.eval()
    starts = tqdm(
        range(0, len(rows), batch_size),
        desc=f"features {embedder.modality}",
        disable=not machine.progress,
        leave=False,
    )
    try:
        with torch.inference_mode(), machine.autocast():
            parts = [embedder(store.batch(rows[start : start + batch_size], machine.device)) for start in starts]
    finally:
        embedder.network.train(was_training)
    own = torch.cat(parts).clone() if parts else torch.empty(0, embedder.network.width, device=machine.device)
    return machine.team.all_gather(own, len(everything))
