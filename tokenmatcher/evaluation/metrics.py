"""Retrieval scores across modalities: CMC, mAP and mINP.

Shapes: Q queries, G gallery images, P (query, match) pairs, M matches of the query that has most, R ranks.
Ranks count from 1. Images of equal similarity stand in gallery order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

NUM_RANKS = 20
_BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one or more retrieval runs, as fractions 0..1.

    `cmc` (R,) float64: entry r is the share of queries whose first match has rank r+1 or better.
    `mAP`: mean over queries of the average precision.
    `mINP`: mean over queries of (number of matches) / (rank of the last match).
    """

    cmc: np.ndarray
    mAP: float
    mINP: float

    def __post_init__(self) -> None:
        cmc = np.array(self.cmc, dtype=np.float64)
        if cmc.ndim != 1 or cmc.size < NUM_RANKS:
            raise ValueError(f"cmc must hold at least {NUM_RANKS} ranks, got shape {cmc.shape}")
        values = np.append(cmc, [self.mAP, self.mINP])
        if not ((values >= 0) & (values <= 1 + 1e-9)).all():
            raise ValueError("scores are fractions between 0 and 1")
        if (np.diff(cmc) < -1e-9).any():
            raise ValueError("cmc must not fall")
        cmc.setflags(write=False)
        object.__setattr__(self, "cmc", cmc)

    @property
    def rank1(self) -> float:
        return float(self.cmc[0])

    @property
    def rank5(self) -> float:
        return float(self.cmc[4])

    @property
    def rank10(self) -> float:
        return float(self.cmc[9])

    @property
    def rank20(self) -> float:
        return float(self.cmc[19])

    def to_dict(self) -> dict[str, float]:
        """The six numbers of the field's tables, as fractions."""
        return {
            "rank1": self.rank1,
            "rank5": self.rank5,
            "rank10": self.rank10,
            "rank20": self.rank20,
            "mAP": float(self.mAP),
            "mINP": float(self.mINP),
        }


def cross_modality_scores(
    similarity: np.ndarray | torch.Tensor,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray | None = None,
    gallery_cameras: np.ndarray | None = None,
    *,
    excluded_cameras: Collection[tuple[int, int]] = (),
    own_camera_excluded: bool = False,
    distinct_identities: bool,
) -> Scores:
    """Scores of ranking the gallery for every query, the largest similarity first.

    Args:
        similarity: (Q, G), larger is closer; hand in the negative of a distance.
        query_ids, gallery_ids: (Q,), (G,) true identities.
        query_cameras, gallery_cameras: (Q,), (G,); needed only where cameras are excluded.
        excluded_cameras: pairs (query camera, gallery camera). Such a query does not see any image of
            that gallery camera, whoever is in it. SYSU-MM01: {(3, 2)}, which stand in the same place.
        own_camera_excluded: a query does not see images of its own identity by its own camera (LLCM).
        distinct_identities: CMC ranks count each gallery identity once, at its best image (SYSU-MM01),
            instead of every image (RegDB). mAP and mINP use the list of images either way.

    A query without a match among the images it sees counts in none of the three means. A CMC that runs
    past the end of the gallery keeps its last value.

    Sources: the SYSU-MM01, RegDB and LLCM rules of the cross-modality baselines; mINP from Ye et al., "Deep
    Learning for Person Re-identification: A Survey and Outlook", eq. 13.

    Raises:
        ValueError: shapes that do not fit, a similarity that is not finite, or no query with a match.
    """
    similarity = _as_matrix(similarity)
    num_queries, num_gallery = similarity.shape
    query_ids = _as_vector(query_ids, num_queries, "query_ids")
    gallery_ids = _as_vector(gallery_ids, num_gallery, "gallery_ids")
    if excluded_cameras or own_camera_excluded:
        if query_cameras is None or gallery_cameras is None:
            raise ValueError("excluding cameras needs query_cameras and gallery_cameras")
        query_cameras = _as_vector(query_cameras, num_queries, "query_cameras")
        gallery_cameras = _as_vector(gallery_cameras, num_gallery, "gallery_cameras")

    firsts, precisions, inverse_penalties = [], [], []
    block_rows = max(1, _BLOCK_ELEMENTS // max(1, num_gallery))
    for start in range(0, num_queries, block_rows):
        rows = slice(start, start + block_rows)
        block = similarity[rows].copy()
        if not np.isfinite(block).all():
            raise ValueError("similarity holds values that are not finite")
        matches = query_ids[rows, None] == gallery_ids
        for query_camera, gallery_camera in excluded_cameras:
            assert query_cameras is not None and gallery_cameras is not None
            hidden = np.ix_(query_cameras[rows] == query_camera, gallery_cameras == gallery_camera)
            block[hidden], matches[hidden] = -np.inf, False
        if own_camera_excluded:
            assert query_cameras is not None and gallery_cameras is not None
            hidden = matches & (query_cameras[rows, None] == gallery_cameras)
            block[hidden], matches[hidden] = -np.inf, False
        found = matches.any(axis=1)
        if not found.all():
            block, matches = block[found], matches[found]
        if not len(block):
            continue
        ranks, counts = _match_ranks(block, matches)
        order = np.arange(1, ranks.shape[1] + 1)
        last = ranks[np.arange(len(ranks)), counts - 1]
        precisions.append(np.where(order <= counts[:, None], order / ranks, 0.0).sum(axis=1) / counts)
        inverse_penalties.append(counts / last)
        firsts.append(_first_identity_ranks(block, matches, gallery_ids) if distinct_identities else ranks[:, 0])

    if not firsts:
        raise ValueError("no query has a match in the gallery")
    first = np.concatenate(firsts)
    cmc = (first[:, None] <= np.arange(1, NUM_RANKS + 1)).mean(axis=0)
    return Scores(cmc, float(np.concatenate(precisions).mean()), float(np.concatenate(inverse_penalties).mean()))


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The mean of each number over trials.

    Raises:
        ValueError: no scores, or CMC curves of different length.
    """
    if not scores:
        raise ValueError("no scores to take the mean of")
    if len({score.cmc.size for score in scores}) > 1:
        raise ValueError("the CMC curves differ in length")
    return Scores(
        np.mean([score.cmc for score in scores], axis=0),
        float(np.mean([score.mAP for score in scores])),
        float(np.mean([score.mINP for score in scores])),
    )


def _match_ranks(block: np.ndarray, matches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks (Q, M) of each query's matches, ascending and filled up with a large number, and their count (Q,).

    Values are sorted, not indices, because that is several times faster; a match's rank is then its
    place among them, and only where a value occurs twice does the order of the gallery have to be asked.
    """
    num_gallery = block.shape[1]
    rows, columns = np.divmod(np.flatnonzero(matches), num_gallery)
    counts = matches.sum(axis=1)
    slots = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
    values = np.full((len(block), int(counts.max())), np.inf, dtype=block.dtype)
    values[rows, slots] = block[rows, columns]

    ascending = np.sort(block, axis=1)
    upper = torch.searchsorted(torch.from_numpy(ascending), torch.from_numpy(values), right=True).numpy()[rows, slots]
    ranks = np.full(values.shape, np.iinfo(np.int64).max)
    ranks[rows, slots] = 1 + num_gallery - upper

    tied = np.flatnonzero((upper > 1) & (ascending[rows, upper - 2] == values[rows, slots]))
    for some in np.array_split(tied, 1 + tied.size * num_gallery // _BLOCK_ELEMENTS):
        row, column = rows[some], columns[some, None]
        earlier = (block[row] == values[row, slots[some], None]) & (np.arange(num_gallery) < column)
        ranks[row, slots[some]] += earlier.sum(axis=1)
    return np.sort(ranks, axis=1), counts


def _first_identity_ranks(block: np.ndarray, matches: np.ndarray, gallery_ids: np.ndarray) -> np.ndarray:
    """(Q,) rank of each query's identity among the gallery's identities, each at its best image."""
    columns = np.argsort(gallery_ids, kind="stable")
    grouped = np.take(block, columns, axis=1)
    starts = np.flatnonzero(np.append(True, np.diff(gallery_ids[columns]) != 0))
    best_of_identity = np.maximum.reduceat(grouped, starts, axis=1)
    best = np.where(matches, block, -np.inf).max(axis=1, keepdims=True)
    ranks: np.ndarray = 1 + (best_of_identity > best).sum(axis=1)

    # As good an image of somebody else is ahead if it stands before the query's best match.
    tied = np.flatnonzero((best_of_identity == best).sum(axis=1) > 1)
    equal = block[tied] == best[tied]
    place = np.argmax(equal & matches[tied], axis=1)
    earlier = (equal & (np.arange(block.shape[1]) < place[:, None]))[:, columns]
    others = np.logical_or.reduceat(earlier, starts, axis=1) & (best_of_identity[tied] == best[tied])
    ranks[tied] += others.sum(axis=1)
    return ranks


def _as_matrix(similarity: np.ndarray | torch.Tensor) -> np.ndarray:
    if isinstance(similarity, torch.Tensor):
        similarity = similarity.detach().cpu()
        similarity = (similarity if similarity.dtype == torch.float64 else similarity.float()).numpy()
    similarity = np.asarray(similarity)
    if similarity.dtype not in (np.float32, np.float64):
        similarity = similarity.astype(np.float64)
    if similarity.ndim != 2:
        raise ValueError(f"similarity must be (queries, gallery), got shape {similarity.shape}")
    return similarity


def _as_vector(values: np.ndarray, length: int, name: str) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (length,):
        raise ValueError(f"{name} must have shape ({length},) to fit the similarity, got {values.shape}")
    return values
