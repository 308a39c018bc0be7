"""Exact nearest neighbours on unit vectors.

Sizes: N images, D width, k neighbours, B rows in a block.
"""

from __future__ import annotations

import torch

BLOCK = 1024


def nearest(
    features: torch.Tensor, k: int, *, backend: str = "torch", block: int = BLOCK
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k images most similar to each image, itself first.

    On unit vectors the order by dot product, descending, is the order by L2 distance, ascending.
    Only (B, N) similarities are held at a time.

    Args:
        features: (N, D) unit rows, on any device.
        k: neighbours wanted, the image itself counted; more than N gives N.
        backend: "torch" works where the features are; "faiss" searches a flat index on the CPU.
        block: B, rows compared at a time.

    Returns:
        similarity (N, min(k, N)) float32 in descending order after the image itself, and index
        (N, min(k, N)) int64, both on the features' device. Equal similarities within a list stand by
        rising index; which of several equals enters as the last one is the backend's choice.

    Raises:
        ValueError: features are not (N, D), k or block is below 1, or the backend is unknown.
        ImportError: "faiss" was asked for and is not installed.
    """
    if features.ndim != 2:
        raise ValueError(f"features must be (N, D), got shape {tuple(features.shape)}")
    if k < 1 or block < 1:
        raise ValueError(f"k and block must be at least 1, got {k} and {block}")
    if backend not in ("torch", "faiss"):
        raise ValueError(f"backend must be 'torch' or 'faiss', got {backend!r}")
    features = features.detach().float()
    num_images = len(features)
    k = min(k, num_images)
    if num_images == 0:
        return features.new_empty(0, 0), torch.empty(0, 0, dtype=torch.int64, device=features.device)
    search = _search_torch if backend == "torch" else _search_faiss
    return search(features, k, block)


def _search_torch(features: torch.Tensor, k: int, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    similarity = features.new_empty(len(features), k)
    index = torch.empty(len(features), k, dtype=torch.int64, device=features.device)
    for start in range(0, len(features), block):
        products = features[start : start + block] @ features.T
        own = torch.arange(start, start + len(products), device=features.device)
        # The image itself is lifted above all others, so that no duplicate of it can come first.
        products[own - start, own] = torch.inf
        values, found = products.topk(k, dim=1)
        rows = slice(start, start + len(products))
        similarity[rows], index[rows] = _ordered(features[rows], values, found)
    return similarity, index


def _search_faiss(features: torch.Tensor, k: int, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    try:
        import faiss
    except ImportError as error:
        raise ImportError("backend 'faiss' needs the package faiss-cpu; backend 'torch' needs nothing more") from error
    host = features.cpu().contiguous()
    flat = faiss.IndexFlatIP(host.shape[1])
    flat.add(host.numpy())
    similarity, index = torch.empty(len(host), k), torch.empty(len(host), k, dtype=torch.int64)
    for start in range(0, len(host), block):
        rows = slice(start, min(start + block, len(host)))
        values, found = map(torch.from_numpy, flat.search(host[rows].numpy(), k))
        own = torch.arange(rows.start, rows.stop)[:, None]
        missed = ~(found == own).any(dim=1)  # crowded out by duplicates of itself
        found[missed, -1] = own[missed, 0]
        values[found == own] = torch.inf
        similarity[rows], index[rows] = _ordered(host[rows], values, found)
    return similarity.to(features.device), index.to(features.device)


def _ordered(features: torch.Tensor, values: torch.Tensor, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sort (B, k) lists by falling similarity, then rising index; then give the image, marked with
    infinity, the dot product with itself."""
    by_index = found.argsort(dim=1)
    values, found = values.gather(1, by_index), found.gather(1, by_index)
    order = values.argsort(dim=1, descending=True, stable=True)
    values, found = values.gather(1, order), found.gather(1, order)
    values[:, 0] = features.square().sum(dim=1)
    return values, found
