"""Neighbours by faiss: exact on the CPU, or approximate by inverted lists on the features' GPU or the CPU.

Sizes: N images, D width, k neighbours, B rows searched at a time.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import torch

# One inverted list for IMAGES_PER_LIST images, about as many as there are of a person, so that a person's images
# are not thinned out in lists of others; a query looks into PROBES of them.
IMAGES_PER_LIST, PROBES = 64, 32
# Images that a list's centre is learned from, and rounds of that: more of either finds hardly more.
POINTS_PER_LIST, ROUNDS = 32, 5
# On a GPU faiss rounds each list's memory up, to whole blocks of 32 images and to powers of two: that many times the
# images themselves are kept free for them. On top comes the memory that faiss works in.
ROOM, WORKING_BYTES = 2.5, 1 << 29
GIB = 2**30

# A search takes rows (B,) and returns their k neighbours as (similarity, index), in any order; the image
# itself is among them with an infinite similarity, so that no duplicate of it can come first. An index of -1 stands
# where the lists that were looked into held fewer than k images.
Search = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def flat_search(features: torch.Tensor, k: int) -> Search:
    """Exact, on the CPU, among features (N, D)."""
    index = _faiss().IndexFlatIP(features.shape[1])
    index.add(features.cpu().contiguous().numpy())
    return _search_in(index, features, k, on_cpu=True)


def list_search(features: torch.Tensor, k: int) -> Search:
    """Approximate, by inverted lists on the features' GPU, or on the CPU where `reason_for_cpu` has one."""
    faiss, on_cpu = _faiss(), bool(reason_for_cpu(features))
    width, lists = features.shape[1], math.ceil(len(features) / IMAGES_PER_LIST)
    vectors: Any
    if on_cpu:
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        vectors = features.cpu().contiguous().numpy()
    else:
        importlib.import_module("faiss.contrib.torch_utils")  # teaches faiss to read tensors where they are
        resources, config = faiss.StandardGpuResources(), faiss.GpuIndexIVFFlatConfig()
        resources.setTempMemory(WORKING_BYTES)
        config.device = features.device.index
        index = faiss.GpuIndexIVFFlat(resources, width, lists, faiss.METRIC_INNER_PRODUCT, config)
        vectors = features.contiguous()
    index.cp.niter, index.cp.max_points_per_centroid = ROUNDS, POINTS_PER_LIST
    index.cp.min_points_per_centroid = 1
    index.nprobe = min(PROBES, lists)
    index.train(vectors)
    index.add(vectors)
    return _search_in(index, features, k, on_cpu=on_cpu)


def reason_for_cpu(features: torch.Tensor) -> str:
    """Why inverted lists of these features (N, D) lie on the CPU; empty where they lie on the features' GPU."""
    if features.device.type != "cuda":
        return "the features are there"
    if _faiss().get_num_gpus() == 0:
        return "faiss finds no GPU: it is faiss-cpu, or the driver is too old for it"
    torch.cuda.empty_cache()  # what PyTorch keeps for later is free for faiss
    needed = ROOM * len(features) * (4 * features.shape[1] + 8) + WORKING_BYTES
    free = torch.cuda.mem_get_info(features.device)[0]
    return f"the lists take {needed / GIB:.1f} GiB, {free / GIB:.1f} are free" if needed > free else ""


def _faiss() -> Any:
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise ImportError(
            "this search needs the package faiss-gpu or faiss-cpu; backend 'torch' needs nothing more"
        ) from error


def _search_in(index: Any, features: torch.Tensor, k: int, *, on_cpu: bool) -> Search:
    """A search in a faiss index, which takes arrays on the CPU and tensors on a GPU."""

    def search(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        queries = features[rows]
        if on_cpu:
            values, found = map(torch.from_numpy, index.search(queries.cpu().numpy(), k))
        else:
            values, found = index.search(queries, k)
        own = rows.to(found.device)[:, None]
        missed = ~(found == own).any(dim=1)  # crowded out by duplicates of itself
        found[missed, -1] = own[missed, 0]
        values[found == own] = torch.inf
        return values.to(features.device), found.to(features.device)

    return search
