"""Nearest neighbours on unit vectors, exact or approximate.

Sizes: N images, D width, k neighbours, B rows in a block.
"""

from __future__ import annotations

import torch
from tqdm import tqdm

from tokenmatcher.mining.faiss_search import Search, flat_search, list_search

BLOCK = 2048


def nearest(
    features: torch.Tensor,
    k: int,
    *,
    rows: torch.Tensor | None = None,
    backend: str = "torch",
    block: int = BLOCK,
    progress: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k images most similar to each image, itself first.

    On unit vectors the order by dot product, descending, is the order by L2 distance, ascending.
    Only (B, N) similarities are held at a time; with "torch" and all rows (B, B) ones, each of which serves
    both of its images, so that half the products are enough.

    Args:
        features: (N, D) unit rows, on any device.
        k: neighbours wanted, the image itself counted; more than N gives N.
        rows: (R,) int64, the images whose neighbours are wanted; None: all, R = N.
        backend: "torch" and "faiss" are exact, the one where the features are, the other on the CPU;
            "ivf" is approximate, by faiss's inverted lists, and pays from some 100,000 images on; the lists lie
            on the features' GPU or on the CPU, see `faiss_search.reason_for_cpu`.
        block: B, rows compared at a time.
        progress: show a bar.

    Returns:
        similarity (R, min(k, N)) float32 in descending order after the image itself, and index
        (R, min(k, N)) int64, both on the features' device. Equal similarities within a list stand by
        rising index; which of several equals enters as the last one is the backend's choice.

    Raises:
        ValueError: features are not (N, D), k or block is below 1, or the backend is unknown.
        ImportError: "faiss" or "ivf" was asked for and faiss is not installed.
    """
    if features.ndim != 2:
        raise ValueError(f"features must be (N, D), got shape {tuple(features.shape)}")
    if k < 1 or block < 1:
        raise ValueError(f"k and block must be at least 1, got {k} and {block}")
    if backend not in _SEARCHES:
        raise ValueError(f"backend must be one of {', '.join(_SEARCHES)}, got {backend!r}")
    features = features.detach().float()
    num_images = len(features)
    k = min(k, num_images)
    if num_images == 0:
        return features.new_empty(0, 0), torch.empty(0, 0, dtype=torch.int64, device=features.device)
    if rows is None and backend == "torch":
        return _nearest_of_all(features, k, block, progress)
    search = _SEARCHES[backend](features, k)
    rows = torch.arange(num_images, device=features.device) if rows is None else rows.to(features.device)
    similarity = features.new_empty(len(rows), k)
    index = torch.empty(len(rows), k, dtype=torch.int64, device=features.device)
    for start in tqdm(range(0, len(rows), block), desc="neighbours", disable=not progress, leave=False):
        some = slice(start, start + block)
        similarity[some], index[some] = _ordered(features[rows[some]], *search(rows[some]))
    return similarity, index


def _nearest_of_all(features: torch.Tensor, k: int, block: int, progress: bool) -> tuple[torch.Tensor, torch.Tensor]:
    size = len(features)
    similarity = features.new_full((size, k), -torch.inf)
    index = torch.zeros(size, k, dtype=torch.int64, device=features.device)

    def merge(rows: slice, products: torch.Tensor, first: int) -> None:
        """The best k so far of `rows` and those among products with the images from `first` on."""
        values, found = products.topk(min(k, products.shape[1]), dim=1)
        values, place = torch.cat([similarity[rows], values], dim=1).topk(k, dim=1)
        index[rows] = torch.cat([index[rows], found + first], dim=1).gather(1, place)
        similarity[rows] = values

    blocks = [slice(start, start + block) for start in range(0, size, block)]
    pairs = [(rows, others) for rows in blocks for others in blocks if rows.start <= others.start]
    for rows, others in tqdm(pairs, desc="neighbours", disable=not progress, leave=False):
        products = features[rows] @ features[others].T
        if rows == others:
            products.fill_diagonal_(torch.inf)
        else:
            merge(others, products.T.contiguous(), rows.start)
        merge(rows, products, others.start)
    for rows in blocks:
        similarity[rows], index[rows] = _ordered(features[rows], similarity[rows], index[rows])
    return similarity, index


def _torch_search(features: torch.Tensor, k: int) -> Search:
    def search(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        products = features[rows] @ features.T
        products[torch.arange(len(rows), device=rows.device), rows] = torch.inf
        return products.topk(k, dim=1)

    return search


def _ivf_search(features: torch.Tensor, k: int) -> Search:
    approximate, exact = list_search(features, k), _torch_search(features, k)

    def search(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, found = approximate(rows)
        short = (found < 0).any(dim=1)
        if short.any():
            values[short], found[short] = exact(rows[short])
        return values, found

    return search


_SEARCHES = {"torch": _torch_search, "faiss": flat_search, "ivf": _ivf_search}


def _ordered(features: torch.Tensor, values: torch.Tensor, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sort (B, k) lists by falling similarity, then rising index; then give the image, marked with
    infinity, the dot product with itself."""
    by_index = found.argsort(dim=1)
    values, found = values.gather(1, by_index), found.gather(1, by_index)
    order = values.argsort(dim=1, descending=True, stable=True)
    values, found = values.gather(1, order), found.gather(1, order)
    values[:, 0] = features.square().sum(dim=1)
    return values, found
