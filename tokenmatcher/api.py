"""A trained model as a program uses it: pictures in, features and rankings out.

Legend: N images, Q queries, G gallery images, K ranks, T*D width of a feature.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from tokenmatcher.contracts import Modality
from tokenmatcher.evaluation.evaluate import TEST_INTERPOLATION
from tokenmatcher.images.anything import Picture, as_pixels, each_picture
from tokenmatcher.machine import choose_device, to_device
from tokenmatcher.models.base import Network
from tokenmatcher.models.embedder import Embedder
from tokenmatcher.models.weights import load_model
from tokenmatcher.recipe import ModelConfig


class Ranking(NamedTuple):
    """Of each query the most similar gallery images."""

    order: Tensor
    """(Q, K) int64 rows of the gallery, the most similar first; of equals the lower row."""
    similarity: Tensor
    """(Q, K) cosine similarities of these."""


class TokenMatcher:
    """A trained network.

    >>> import numpy as np
    >>> from tokenmatcher import TokenMatcher, TokenViT, preset
    >>> model = TokenMatcher(TokenViT(preset("sysu", "demo").model))  # or TokenMatcher.from_checkpoint(path)
    >>> night = model.embed(np.zeros((2, 128, 64, 3), np.uint8), "infrared")  # a batch, a list, a file, a folder
    >>> day = model.embed([np.full((100, 50, 3), grey, np.uint8) for grey in (0, 99, 200)], "visible")
    >>> night.shape, day.shape
    (torch.Size([2, 512]), torch.Size([3, 512]))
    >>> model.rank(night, day, top=1).order.shape
    torch.Size([2, 1])

    Attributes:
        network: in inference mode.
        device: where it computes.
        note: where its weights came from.
    """

    def __init__(self, network: Network, *, device: str = "auto", note: str = "") -> None:
        self.device, self.note = choose_device(device), note
        self.network = network.eval().to(self.device)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, *, device: str = "auto", config: ModelConfig | None = None
    ) -> TokenMatcher:
        """A model from our checkpoint, or the authors'.

        Args:
            device: "auto" takes the GPU where there is one; "cuda", "cpu".
            config: the network, for files that do not say; see `build_model`.

        Raises:
            UserError: the file is not there, damaged, or of another kind.
        """
        network, report = load_model(path, config=config)
        return cls(network, device=device, note=str(report))

    @property
    def width(self) -> int:
        """T*D, of a feature."""
        return self.network.width

    def embed(
        self,
        images: Picture | Iterable[Picture],
        modality: Modality | str,
        *,
        batch_size: int = 32,
        mirror: bool = True,
        progress: bool = False,
    ) -> Tensor:
        """(N, T*D) float32 unit features, on the CPU.

        Args:
            images: files, PIL images, (H, W, 3) or (H, W) uint8 arrays, (3, H, W) tensors (uint8, or float of 0..1),
                lists or batches of these; a folder stands for all images in it, sorted by path: row i is of the i-th
                of `tokenmatcher.pictures_in(folder)`. Sizes may differ.
            modality: "visible" or "infrared".
            mirror: average with the mirror image's feature, as the tests do; twice the work.

        Raises:
            UserError: a file that is no image; names it.
            ValueError: something else that is none, a folder without any, no such modality, or a batch size below 1.
        """
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
        embedder = Embedder(self.network, Modality(modality), unit=True, mirror=mirror)
        config, found = self.network.config, []
        with tqdm(desc=f"features {embedder.modality}", unit="image", disable=not progress) as bar:
            waiting = each_picture(images)
            while batch := list(islice(waiting, batch_size)):
                pixels = [as_pixels(one, config.height, config.width, TEST_INTERPOLATION) for one in batch]
                with torch.inference_mode():
                    found.append(embedder(to_device(np.stack(pixels), self.device)).cpu())
                bar.update(len(batch))
        return torch.cat(found).clone() if found else torch.empty(0, self.width)

    def rank(self, queries: Tensor, gallery: Tensor, *, top: int | None = None) -> Ranking:
        """Of each of the (Q, T*D) queries the `top` most similar of the (G, T*D) gallery, by default all.

        Args:
            queries, gallery: unit features, as `embed` gives them.

        Raises:
            ValueError: they are not two tensors of unit features of one width and kind, or `top` is below 1.
        """
        if top is not None and (not isinstance(top, Integral) or top < 1):
            raise ValueError(f"top must be a whole number of at least 1, got {top!r}")
        for name, features in (("queries", queries), ("gallery", gallery)):
            if not isinstance(features, Tensor) or features.ndim != 2:
                raise ValueError(f"{name} must be a tensor of features, (N, T*D)")
            # Features stored in half precision are still unit ones.
            if not bool(((features.float().norm(dim=1) - 1).abs() < 0.01).all()):
                raise ValueError(f"{name} must be unit features, as embed gives them")
        if queries.dtype != gallery.dtype:
            raise ValueError(f"queries and gallery must be of one kind, got {queries.dtype} and {gallery.dtype}")
        if queries.shape[1] != gallery.shape[1]:
            raise ValueError(
                f"queries and gallery must share a width, got {tuple(queries.shape)} and {tuple(gallery.shape)}"
            )
        similarity, order = (queries @ gallery.T).sort(dim=1, descending=True, stable=True)
        return Ranking(order[:, :top], similarity[:, :top])
