"""Pseudo labels: DBSCAN on the sparse Jaccard distance, cluster centroids, and the silhouette of a labelling.

Sizes: N images, D width, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from sklearn.cluster import DBSCAN
from sklearn.neighbors import sort_graph_by_row_values
from torch.nn import functional

from tokenmatcher.contracts import OUTLIER, PseudoLabels
from tokenmatcher.mining.jaccard import jaccard_similarity


@dataclass(frozen=True, eq=False)
class Clustering:
    """A labelling and the (N, N) Jaccard similarities it was made from (see `jaccard_similarity`)."""

    labels: PseudoLabels
    similarity: sparse.csr_matrix


def cluster(
    features: torch.Tensor,
    *,
    k1: int,
    k2: int,
    eps: float,
    min_samples: int,
    max_distance: float = 1.0,
    neighbours: tuple[torch.Tensor, torch.Tensor] | None = None,
    progress: bool = False,
) -> Clustering:
    """Cluster images by the Jaccard distance of their neighbourhoods (DBSCAN, Ester et al., KDD 1996).

    Args:
        features: (N, D) raw features; distances are between their L2-normalised rows. N may be 0.
        k1, k2: see `jaccard_similarity`.
        eps: DBSCAN radius, a Jaccard distance.
        min_samples: images within eps, the image itself counted, that make a core.
        max_distance: pairs to keep in the similarity, at least eps. 1 keeps all that `silhouette` needs.
        neighbours: of the normalised features, see `jaccard_similarity`; None: they are searched for exactly.
        progress: show bars.

    Raises:
        ValueError: eps does not lie in (0, max_distance], or features hold a value that is not finite.
    """
    if not 0 < eps <= max_distance:
        raise ValueError(f"eps must lie in (0, {max_distance}], got {eps}")
    if not torch.isfinite(features).all():
        raise ValueError("features hold a value that is not finite")
    unit = functional.normalize(features.detach().float(), dim=1)
    similarity = jaccard_similarity(unit, k1, k2, max_distance=max_distance, neighbours=neighbours, progress=progress)
    return Clustering(PseudoLabels(_dbscan(similarity, eps, min_samples)), similarity)


def pseudo_labels(
    features: torch.Tensor,
    *,
    k1: int,
    k2: int,
    eps: float,
    min_samples: int,
    neighbours: tuple[torch.Tensor, torch.Tensor] | None = None,
    progress: bool = False,
) -> PseudoLabels:
    """The labels of `cluster` alone, without computing a similarity that DBSCAN does not look at."""
    found = cluster(
        features,
        k1=k1,
        k2=k2,
        eps=eps,
        min_samples=min_samples,
        max_distance=eps,
        neighbours=neighbours,
        progress=progress,
    )
    return found.labels


def _dbscan(similarity: sparse.csr_matrix, eps: float, min_samples: int) -> np.ndarray:
    """(N,) labels. The graph holds exactly the pairs within eps, distance 0 written out: what is not
    stored is far away, not near."""
    size = similarity.shape[0]
    if size == 0:
        return np.empty(0, dtype=np.int64)
    distance = 1 - similarity.data
    near = distance <= eps
    indptr = np.concatenate([[0], np.cumsum(near)])[similarity.indptr]
    graph = sparse.csr_matrix((distance[near], similarity.indices[near], indptr), shape=similarity.shape)
    graph = sort_graph_by_row_values(graph, warn_when_not_sorted=False)
    return DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(graph).astype(np.int64)


def centroids(features: torch.Tensor, labels: PseudoLabels) -> torch.Tensor:
    """Mean of each cluster's raw features, then L2: (N, D) -> (K, D) float32, on the features' device.

    Raises:
        ValueError: features and labels differ in length.
    """
    if len(features) != len(labels):
        raise ValueError(f"{len(features)} features, but {len(labels)} labels")
    label = torch.from_numpy(labels.labels.copy()).to(features.device)
    clustered = label != OUTLIER
    label, members = label[clustered], features.detach()[clustered].float()
    total = members.new_zeros(labels.num_clusters, features.shape[1]).index_add_(0, label, members)
    count = torch.bincount(label, minlength=labels.num_clusters)
    return functional.normalize(total / count[:, None], dim=1)


def silhouette(similarity: sparse.csr_matrix, labels: PseudoLabels) -> float:
    """Mean silhouette on the Jaccard distance (Rousseeuw 1987), in -1..1; larger is better.

    For a clustered image, with a = its mean distance to the rest of its cluster and b = the smallest mean
    distance to another cluster, s = (b - a) / max(a, b), or 0 if it is alone in its cluster. Outliers are no
    cluster and take no part in a and b, but count as 0 in the mean over all N images, so that a labelling
    cannot win by throwing images away. With fewer than two clusters there is no b: -1.

    Args:
        similarity: (N, N), all overlapping pairs stored (`max_distance` 1), the diagonal 1.
        labels: of the same N images.

    Raises:
        ValueError: similarity and labels differ in size.
    """
    if similarity.shape != (len(labels), len(labels)):
        raise ValueError(f"similarity is {similarity.shape}, but there are {len(labels)} labels")
    num_clusters = labels.num_clusters
    if num_clusters < 2:
        return -1.0
    members = np.flatnonzero(labels.labels != OUTLIER)
    label = labels.labels[members]
    count = np.bincount(label, minlength=num_clusters)
    belongs = sparse.csr_matrix((np.ones(members.size), (members, label)), shape=(len(labels), num_clusters))
    # Entry (i, c): the sum of i's similarities to cluster c. What is not stored is a mean distance of 1.
    sums = (similarity[members] @ belongs).tocoo()
    own = sums.col == label[sums.row]

    rest = count[label] - 1
    to_own = np.zeros(members.size)
    to_own[sums.row[own]] = sums.data[own]
    within = (rest - (to_own - 1)) / np.maximum(rest, 1)
    closest = np.zeros(members.size)
    np.maximum.at(closest, sums.row[~own], sums.data[~own] / count[sums.col[~own]])
    between = 1 - closest
    larger = np.maximum(within, between)
    scores = np.where((rest > 0) & (larger > 0), (between - within) / np.where(larger > 0, larger, 1), 0)
    return float(scores.sum() / len(labels))
