"""Diverse-token neighbours: images that several class tokens, each on its own, call alike.

Sizes: N anchors, M targets, T class tokens, D width of a token, B anchors in a block, E edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from tokenmatcher.contracts import Neighbours


def token_neighbours(
    anchors: torch.Tensor, targets: torch.Tensor, *, num_tokens: int, ratio: float, votes: int, block: int = 1024
) -> Neighbours:
    """The neighbours of each anchor among the targets, by vote of the class tokens (TokenMatcher, DTNL).

    Features are L2-normalised as a whole and cut into T slices that are not normalised again. To token t,
    target j is a candidate of anchor i if s_ij > ratio * max_j s_ij; it is a neighbour if at least `votes`
    tokens agree. Two consequences of that formula, kept as they are: where anchors and targets are the same
    images, an image is its own neighbour only if enough tokens say so (its own slice need not be the most
    similar one by dot product); and a token whose largest similarity is not positive has no candidate.

    Only (B, M) similarities are held at a time.

    Args:
        anchors: (N, T * D) features, on any device; N may be 0.
        targets: (M, T * D) features, on the same device; M may be 0.
        num_tokens: T.
        ratio: share of the row's largest similarity, in (0, 1).
        votes: tokens that must agree, 1..T.
        block: B.

    Raises:
        ValueError: shapes do not fit each other or T; ratio, votes or block out of range.
    """
    if anchors.ndim != 2 or targets.ndim != 2 or anchors.shape[1] != targets.shape[1]:
        raise ValueError(f"anchors {tuple(anchors.shape)} and targets {tuple(targets.shape)} must have one width")
    if num_tokens < 1 or anchors.shape[1] % num_tokens:
        raise ValueError(f"width {anchors.shape[1]} is not a multiple of {num_tokens} tokens")
    if not 1 <= votes <= num_tokens:
        raise ValueError(f"votes must lie in 1..{num_tokens}, got {votes}")
    if not 0 < ratio < 1 or block < 1:
        raise ValueError(f"ratio must lie in (0, 1) and block be at least 1, got {ratio} and {block}")
    counts = [np.zeros(1, dtype=np.int64)]
    columns = []
    if len(targets):
        slices = functional.normalize(targets.detach().float(), dim=1).chunk(num_tokens, dim=1)
        for rows in functional.normalize(anchors.detach().float(), dim=1).split(block):
            chosen = _votes(rows, slices, ratio) >= votes
            counts.append(chosen.sum(dim=1).cpu().numpy())
            columns.append(chosen.nonzero()[:, 1].cpu().numpy())
    else:
        counts.append(np.zeros(len(anchors), dtype=np.int64))
    return Neighbours(
        indptr=np.cumsum(np.concatenate(counts)),
        indices=np.concatenate([np.empty(0, dtype=np.int64), *columns]),
        num_targets=len(targets),
    )


def agreed_candidates(anchors: Sequence[torch.Tensor], targets: Sequence[torch.Tensor], ratio: float) -> torch.Tensor:
    """(B, M) bool: which targets are candidates of an anchor in all views, s_ij > ratio * max_j s_ij in each (SDCL's
    collaborative neighbours, with a deep and a shallow view).

    Args:
        anchors: unit rows (B, D), of each view.
        targets: unit rows (M, D), of each view.
        ratio: share of the row's largest similarity, in (0, 1).
    """
    return _votes(torch.cat(list(anchors), dim=1), targets, ratio) == len(targets)


def _votes(rows: torch.Tensor, slices: Sequence[torch.Tensor], ratio: float) -> torch.Tensor:
    """(B, M) uint8: how many tokens hold j to be a candidate of i."""
    agreed = torch.zeros(len(rows), len(slices[0]), dtype=torch.uint8, device=rows.device)
    for anchor, target in zip(rows.chunk(len(slices), dim=1), slices, strict=True):
        similarity = anchor @ target.T
        agreed += similarity > ratio * similarity.amax(dim=1, keepdim=True)
    return agreed
