"""Jaccard similarity of k-reciprocal neighbourhoods, sparse from end to end.

After k-reciprocal re-ranking (Zhong et al., CVPR 2017). Image i is described by V(i), a distribution over the
images near it; two images are alike as far as their descriptions overlap:

    m(i, j) = sum_c min(V(i, c), V(j, c))      similarity = m / (2 - m)      Jaccard distance = 1 - similarity

V has some dozens of entries a row, and a pair that shares no column has similarity 0, so nothing dense is needed.

Sizes: N images, D width, E stored entries of V, P pairs (i, j, c) that share a column.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from tqdm import tqdm

from tokenmatcher.mining.knn import nearest

# A block of rows in `_overlaps` ends at this many pairs, or at this many accumulators (rows times N).
PAIRS_PER_BLOCK = 1 << 16
CELLS_PER_BLOCK = 1 << 20
# `_overlaps` sorts where rows of accumulators would have more cells than this for each pair.
CELLS_PER_PAIR = 32
# Feature values gathered at a time in `_dot_products`.
VALUES_PER_CHUNK = 1 << 21


def jaccard_similarity(
    features: torch.Tensor,
    k1: int,
    k2: int,
    *,
    max_distance: float = 1.0,
    neighbours: tuple[torch.Tensor, torch.Tensor] | None = None,
    progress: bool = False,
) -> sparse.csr_matrix:
    """1 - Jaccard distance of every pair of images that overlap; what is not stored is 0.

    Args:
        features: (N, D) unit rows, on any device.
        k1: neighbours in the k-reciprocal sets, the image itself counted.
        k2: neighbours over which V is averaged, the image itself counted; 1 leaves V as it is.
        max_distance: pairs farther apart than this are left out: DBSCAN needs none beyond its eps.
        neighbours: what `nearest` says of max(k1, k2) neighbours; None: they are searched for exactly.
        progress: show bars.

    Returns:
        (N, N) float32, symmetric, values in (0, 1], the diagonal stored and exactly 1.

    Raises:
        ValueError: k1 or k2 is below 1.
    """
    if k1 < 1 or k2 < 1:
        raise ValueError(f"k1 and k2 must be at least 1, got {k1} and {k2}")
    if len(features) == 0:
        return sparse.csr_matrix((0, 0), dtype=np.float32)
    similarity, index = nearest(features, max(k1, k2), progress=progress) if neighbours is None else neighbours
    encoding = _encode(features.detach().float(), similarity.cpu().numpy(), index.cpu().numpy(), k1, k2)
    return _overlaps(encoding, max_distance, progress)


def _adjacency(index: np.ndarray, k: int) -> sparse.csr_matrix:
    """(N, N) int32, 1 where j is one of the first k of i's list."""
    rows = index[:, :k]
    indptr = np.arange(len(rows) + 1) * rows.shape[1]
    ones = np.ones(rows.size, dtype=np.int32)
    return sparse.csr_matrix((ones, np.sort(rows, axis=1).ravel(), indptr), shape=(len(rows), len(rows)))


def _reciprocal(index: np.ndarray, k: int) -> sparse.csr_matrix:
    """(N, N) int32, 1 where each of i and j is among the other's first k. Symmetric."""
    forward = _adjacency(index, k)
    return forward.multiply(forward.T.tocsr()).tocsr()


def _encode(features: torch.Tensor, similarity: np.ndarray, index: np.ndarray, k1: int, k2: int) -> sparse.csr_matrix:
    """V, (N, N) float32 with rows that sum to 1."""
    full = _reciprocal(index, k1)
    half = _reciprocal(index, int(np.around(k1 / 2)) + 1)  # np.around rounds half to even
    # half is symmetric, so entry (i, c) of full @ half counts the members that R(i) and H(c) share.
    shared = (full @ half).multiply(full).tocsr()
    sizes = np.diff(half.indptr)
    shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.int32)
    shared.eliminate_zeros()
    members = (full + shared @ half).tocsr()
    members.sort_indices()

    rows = np.repeat(np.arange(len(index)), np.diff(members.indptr))
    cosine = _cosines(features, similarity, index, rows, members.indices)
    weights = np.exp(2 * cosine - 2)
    totals = np.bincount(rows, weights, minlength=len(index))
    encoding = sparse.csr_matrix(
        ((weights / totals[rows]).astype(np.float32), members.indices, members.indptr), shape=members.shape
    )
    if k2 > 1:
        near = _adjacency(index, k2).astype(np.float32)
        encoding = ((near @ encoding) / np.float32(min(k2, len(index)))).tocsr()
        encoding.sort_indices()
    return encoding


def _cosines(
    features: torch.Tensor, similarity: np.ndarray, index: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """(E,) dot products of the pairs (rows, columns): most are known from the neighbour lists, of the one
    image or of the other, and only the rest are computed."""
    size = np.int64(len(index))
    anchors = np.repeat(np.arange(size), index.shape[1])
    known = np.concatenate([anchors * size + index.ravel(), index.ravel() * size + anchors])
    known, first = np.unique(known, return_index=True)
    wanted = rows * size + columns
    place = np.minimum(np.searchsorted(known, wanted), known.size - 1)
    cosine = similarity.ravel()[first[place] % similarity.size]
    missing = np.flatnonzero(known[place] != wanted)
    cosine[missing] = _dot_products(features, rows[missing], columns[missing])
    return cosine


def _dot_products(features: torch.Tensor, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(E,) float32, the features are gathered in chunks that fit a cache."""
    chunk = max(1, VALUES_PER_CHUNK // max(1, features.shape[1]))
    left = torch.from_numpy(rows.astype(np.int64)).to(features.device)
    right = torch.from_numpy(columns.astype(np.int64)).to(features.device)
    products = features.new_empty(len(rows))
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        products[part] = torch.einsum("ed,ed->e", features[left[part]], features[right[part]])
    return products.cpu().numpy()


def _sums(cells: np.ndarray, values: np.ndarray, dense: bool) -> tuple[np.ndarray, np.ndarray]:
    """The distinct `cells` (P,), rising, and the sum of the positive `values` (P,) of each.

    `dense` keeps an accumulator for every cell there is, else cells are sorted. Values are added in the order
    given either way, so that both give the same bits.
    """
    if dense:
        sums = np.bincount(cells, values)
        cells = np.flatnonzero(sums)
        return cells, sums[cells]
    order = cells.argsort(kind="stable")
    first = np.diff(cells[order], prepend=-1) != 0
    group = np.empty(len(cells), dtype=np.int64)
    group[order] = np.cumsum(first) - 1
    return cells[order][first], np.bincount(group, values)


def _overlaps(encoding: sparse.csr_matrix, max_distance: float, progress: bool) -> sparse.csr_matrix:
    """m / (2 - m) for all pairs that share a column, (N, N).

    Each stored entry (i, c) meets the entries below it in column c, which gives every pair i < j once.
    """
    size = encoding.shape[0]
    order = sparse.csr_matrix(
        (np.arange(encoding.nnz), encoding.indices, encoding.indptr), shape=encoding.shape
    ).tocsc()
    position = np.empty(encoding.nnz, dtype=np.int64)  # of each entry in column order
    position[order.data] = np.arange(encoding.nnz)
    column_rows, column_values = order.indices.astype(np.int64), encoding.data[order.data]
    partners = order.indptr[encoding.indices + 1] - position - 1
    work = np.concatenate([[0], np.cumsum(partners)])[encoding.indptr]

    # Accumulators for whole rows are fastest, but their cost grows with N * N; beyond that, sorting is.
    dense = size * size <= CELLS_PER_PAIR * work[-1]
    rows_per_block = max(1, CELLS_PER_BLOCK // size) if dense else size
    # Most pairs are too far apart. This bound on m, a rounding error below the exact one, drops them early.
    limit = min(max_distance, 1.0)
    least = (1 - 1e-6) * 2 * (1 - limit) / (2 - limit)
    found_rows, found_columns, found_values = [], [], []
    bar = tqdm(total=size, desc="overlaps", disable=not progress, leave=False)
    start = 0
    while start < size:
        stop = int(np.searchsorted(work, work[start] + PAIRS_PER_BLOCK, side="right")) - 1
        stop = min(max(stop, start + 1), start + rows_per_block, size)
        entries = slice(encoding.indptr[start], encoding.indptr[stop])
        counts = partners[entries]
        offsets = np.cumsum(counts) - counts
        below = np.repeat(position[entries] + 1 - offsets, counts) + np.arange(counts.sum())
        smaller = np.minimum(np.repeat(encoding.data[entries], counts), column_values[below])
        local = np.repeat(np.arange(stop - start), np.diff(encoding.indptr[start : stop + 1]))
        cells = np.repeat(local * size, counts) + column_rows[below]
        cells, overlap = _sums(cells, smaller, dense)
        enough = overlap > least
        cells, overlap = cells[enough], overlap[enough]
        values = np.minimum(overlap / (2 - overlap), 1).astype(np.float32)
        near = 1 - values <= max_distance
        rows, columns = np.divmod(cells[near], size)
        found_rows.append((rows + start).astype(np.int32))
        found_columns.append(columns.astype(np.int32))
        found_values.append(values[near])
        bar.update(stop - start)
        start = stop
    bar.close()
    triangle = sparse.csr_matrix(
        (np.concatenate(found_values), (np.concatenate(found_rows), np.concatenate(found_columns))),
        shape=encoding.shape,
    )
    identity = sparse.identity(size, dtype=np.float32, format="csr")
    result = (triangle + triangle.T + identity).tocsr()
    result.sort_indices()
    return result
