"""Jaccard similarity of k-reciprocal neighbourhoods, sparse from end to end, on the features' device.

After k-reciprocal re-ranking (Zhong et al., CVPR 2017). Image i is described by V(i), a distribution over the
images near it; two images are alike as far as their descriptions overlap:

    m(i, j) = sum_c min(V(i, c), V(j, c))      similarity = m / (2 - m)      Jaccard distance = 1 - similarity

V has some dozens of entries a row, and a pair that shares no column has similarity 0, so nothing dense is needed.
An entry (i, c) of a matrix is kept as the cell i * N + c; rising cells are rows with rising columns.

Sizes: N images, D width, E stored entries of V, P pairs of entries that share a column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from tqdm import tqdm

from tokenmatcher.mining.knn import nearest

# Rows of V made at a time.
ROWS_PER_BLOCK = 2048
# A block of rows in `_overlaps` ends at this many pairs: on the CPU they fit a cache.
PAIRS_PER_BLOCK = {"cpu": 1 << 17, "cuda": 1 << 24}
# Feature values gathered at a time in `_dot_products`.
VALUES_PER_CHUNK = {"cpu": 1 << 21, "cuda": 1 << 28}


class _Rows(NamedTuple):
    """A sparse (N, N) matrix: row i has the entries start[i] to start[i + 1], by rising column."""

    start: torch.Tensor  # (N + 1,) int64
    columns: torch.Tensor  # (E,) int64
    values: torch.Tensor  # (E,)


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
        features: (N, D) unit rows, on the CPU or a CUDA device; the work is done there.
        k1: neighbours in the k-reciprocal sets, the image itself counted.
        k2: neighbours over which V is averaged, the image itself counted; 1 leaves V as it is.
        max_distance: pairs farther apart than this are left out: DBSCAN needs none beyond its eps.
        neighbours: what `nearest` says of max(k1, k2) neighbours; None: they are searched for exactly.
        progress: show bars.

    Returns:
        (N, N) float32, symmetric, values in (0, 1], the diagonal stored and exactly 1.

    Raises:
        ValueError: k1 or k2 is below 1, or another kind of device.
    """
    if features.device.type not in PAIRS_PER_BLOCK:
        raise ValueError(f"features must be on one of {', '.join(PAIRS_PER_BLOCK)}, not on {features.device}")
    if k1 < 1 or k2 < 1:
        raise ValueError(f"k1 and k2 must be at least 1, got {k1} and {k2}")
    if len(features) == 0:
        return sparse.csr_matrix((0, 0), dtype=np.float32)
    features = features.detach().float()
    similarity, index = nearest(features, max(k1, k2), progress=progress) if neighbours is None else neighbours
    return _overlaps(_encode(features, similarity, index, k1, k2), max_distance, progress)


def _encode(features: torch.Tensor, similarity: torch.Tensor, index: torch.Tensor, k1: int, k2: int) -> _Rows:
    """V, float32 rows that sum to 1."""
    start, columns = _members(index, k1)
    weights = (2 * _cosines(features, similarity, index, start, columns).double() - 2).exp()
    count = start.diff()
    total = torch.segment_reduce(weights, "sum", lengths=count)
    encoding = _Rows(start, columns, (weights / total.repeat_interleave(count)).float())
    return _averaged(encoding, index[:, :k2]) if k2 > 1 else encoding


def _reciprocal(lists: torch.Tensor) -> torch.Tensor:
    """(N, k) lists of neighbours -> (N, k) bool: is i in the list of its neighbour, too?"""
    mutual = torch.empty_like(lists, dtype=torch.bool)
    for rows in torch.arange(len(lists), device=lists.device).split(ROWS_PER_BLOCK):
        mutual[rows] = (lists[lists[rows]] == rows[:, None, None]).any(dim=2)
    return mutual


def _members(index: torch.Tensor, k1: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where V has entries, as `start` and `columns`: the k1-reciprocal neighbours R(i) of i, and the k1/2-reciprocal
    neighbours H(c) of every c among them for which more than 2/3 of H(c) lies in R(i)."""
    size = len(index)
    full = _reciprocal(index[:, :k1])
    half = index[:, : int(np.around(k1 / 2)) + 1]  # np.around rounds half to even
    half = torch.where(_reciprocal(half), half, -1)
    half_size = (half >= 0).sum(dim=1)
    count, columns = [], []
    for rows in torch.arange(size, device=index.device).split(ROWS_PER_BLOCK):
        row, place = full[rows].nonzero(as_tuple=True)
        near = index[rows[row], place]
        own = (row * size + near).sort().values
        candidates = half[near]
        cells = row[:, None] * size + candidates
        inside = (_find(own, cells)[1] & (candidates >= 0)).sum(dim=1)
        taken = (3 * inside > 2 * half_size[near])[:, None] & (candidates >= 0)
        members = torch.cat([own, cells[taken]]).unique()
        count.append((members // size).bincount(minlength=len(rows)))
        columns.append(members % size)
    return _starts(count), torch.cat(columns)


def _starts(count: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([count[0].new_zeros(1), torch.cat(count).cumsum(0)])


def _find(rising: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each of the `wanted` cells stands among the `rising` ones, and whether it is there at all."""
    place = torch.searchsorted(rising, wanted).clamp_(max=len(rising) - 1)
    return place, rising[place] == wanted


def _cosines(
    features: torch.Tensor, similarity: torch.Tensor, index: torch.Tensor, start: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """(E,) dot products of the entries' images: most are known from the neighbour lists, of the one image or of the
    other, and only the rest are computed."""
    size = len(index)
    rows = torch.repeat_interleave(start.diff())
    order = index.argsort(dim=1)
    known = index.gather(1, order).add_(torch.arange(size, device=index.device)[:, None] * size).flatten()
    values = similarity.gather(1, order).flatten()
    place, there = _find(known, rows * size + columns)
    cosines = values[place]
    rest = (~there).nonzero().squeeze(1)
    place, there = _find(known, columns[rest] * size + rows[rest])
    cosines[rest] = values[place]
    rest = rest[~there]
    cosines[rest] = _dot_products(features, rows[rest], columns[rest])
    return cosines


def _dot_products(features: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(E,) float32, the features are gathered in chunks."""
    chunk = max(1, VALUES_PER_CHUNK[features.device.type] // max(1, features.shape[1]))
    products = features.new_empty(len(rows))
    for part in torch.arange(len(rows), device=rows.device).split(chunk):
        products[part] = torch.einsum("ed,ed->e", features[rows[part]], features[columns[part]])
    return products


def _averaged(encoding: _Rows, near: torch.Tensor) -> _Rows:
    """Each row becomes the mean of its neighbours' rows, `near` (N, k2)."""
    size, k2 = near.shape
    count, columns, values = [], [], []
    for rows in near.split(ROWS_PER_BLOCK):
        each = encoding.start.diff()[rows.flatten()]
        offset = encoding.start[rows.flatten()] - each.cumsum(0) + each
        which = torch.repeat_interleave(each)
        entry = offset[which] + torch.arange(len(which), device=near.device)
        cells, sums = _sums(which // k2 * size + encoding.columns[entry], encoding.values[entry])
        count.append((cells // size).bincount(minlength=len(rows)))
        columns.append(cells % size)
        values.append(sums / k2)
    return _Rows(_starts(count), torch.cat(columns), torch.cat(values))


def _sums(cells: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The distinct `cells` (P,), rising, and the sum of the `values` (P,) of each: the same bits every time on one
    device, which adding by atomics would not give."""
    if len(cells) == 0:  # segment_reduce takes no empty input
        return cells, values
    cells, order = cells.sort(stable=True)
    cells, count = cells.unique_consecutive(return_counts=True)
    return cells, torch.segment_reduce(values[order], "sum", lengths=count)


def _overlaps(encoding: _Rows, max_distance: float, progress: bool) -> sparse.csr_matrix:
    """m / (2 - m) for all pairs that share a column, (N, N)."""
    size = len(encoding.start) - 1
    # Most pairs are too far apart. This bound on m, a rounding error below the exact one, drops them early.
    limit = min(max_distance, 1.0)
    least = (1 - 1e-6) * 2 * (1 - limit) / (2 - limit)
    rows, columns, values = [], [], []
    with tqdm(total=size, desc="overlaps", disable=not progress, leave=False) as bar:
        for cells, smaller, done in _shared(encoding):
            cells, overlap = _sums(cells, smaller)
            enough = overlap > least
            cells, overlap = cells[enough], overlap[enough]
            found = (overlap / (2 - overlap)).clamp_(max=1).float()
            near = 1 - found <= max_distance
            cells = cells[near]
            rows.append((cells // size).int().cpu())
            columns.append((cells % size).int().cpu())
            values.append(found[near].cpu())
            bar.update(done)
    upper = sparse.csr_matrix(
        (torch.cat(values).numpy(), (torch.cat(rows).numpy(), torch.cat(columns).numpy())), shape=(size, size)
    )
    result = (upper + upper.T + sparse.identity(size, dtype=np.float32, format="csr")).tocsr()
    result.sort_indices()
    return result


def _shared(encoding: _Rows) -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
    """Pairs of entries in one column, some rows at a time: their cells (i, j), i < j, the smaller of the two values,
    and how many rows these were.

    Each stored entry (i, c) meets the entries below it in column c, which gives every pair once.
    """
    start, columns, values = encoding
    device, size = start.device, len(start) - 1
    row = torch.repeat_interleave(start.diff())
    order = columns.argsort(stable=True)
    place = torch.empty_like(order)  # of each entry in column order
    place[order] = torch.arange(len(order), device=device)
    rows_by_column, values_by_column = row[order], values[order].double()
    partners = columns.bincount(minlength=size).cumsum(0)[columns] - place - 1
    ends = start.cpu()
    work = torch.cat([partners.new_zeros(1), partners.cumsum(0)])[start].cpu()  # pairs before each row
    first = 0
    while first < size:
        full = work[first] + PAIRS_PER_BLOCK[device.type]
        last = min(size, max(first + 1, int(torch.searchsorted(work, full, right=True)) - 1))
        entries = slice(int(ends[first]), int(ends[last]))
        count = partners[entries]
        which = torch.repeat_interleave(count, output_size=int(work[last] - work[first]))
        offset = place[entries] + 1 - count.cumsum(0) + count
        below = offset[which] + torch.arange(len(which), device=device)
        cells = (row[entries] * size)[which] + rows_by_column[below]
        yield cells, torch.minimum(values[entries].double()[which], values_by_column[below]), last - first
        first = last
