"""SDCL's collaborative ranking association: which infrared cluster a visible image belongs to.

An image has two descriptions, of a deep and of a shallow branch. Both rank the infrared images; what both lists agree
on is trusted, and then smoothed over the visible images most like it (SDCL, CVPR 2024).

Sizes: V visible images, R infrared images, K infrared clusters, D width, k places of a list.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tokenmatcher.contracts import OUTLIER, PseudoLabels
from tokenmatcher.mining.knn import nearest

BLOCK = 1024
SMOOTHED = 5  # visible images that vote, the image itself among them


def associate(
    visible: tuple[Tensor, Tensor], infrared: tuple[Tensor, Tensor], labels: PseudoLabels, *, ranked: int
) -> np.ndarray:
    """(V,) int64: the infrared cluster of each visible image, -1 for none.

    Args:
        visible, infrared: deep and shallow features, (V, D) and (R, D) each, of any length.
        labels: (R,) of the infrared images.
        ranked: k; more than R gives R.
    """
    deep, shallow = (functional.normalize(part.detach().float(), dim=1) for part in visible)
    lists = [
        labels.labels[most_similar(own, functional.normalize(other.detach().float(), dim=1), ranked)]
        for own, other in zip((deep, shallow), infrared, strict=True)
    ]
    return smoothed(agreed(*lists), torch.cat([deep, shallow], dim=1))


def most_similar(rows: Tensor, targets: Tensor, k: int, block: int = BLOCK) -> np.ndarray:
    """(V, min(k, R)) int64 rows of `targets` by falling dot product; of equals that are in, the lower row first."""
    found = [np.empty((0, min(k, len(targets))), dtype=np.int64)]
    for part in rows.split(block):
        values, index = (part @ targets.T).topk(min(k, len(targets)), dim=1)
        index, order = index.sort(dim=1)
        order = values.gather(1, order).argsort(dim=1, descending=True, stable=True)
        found.append(index.gather(1, order).cpu().numpy())
    return np.concatenate(found)


def agreed(deep: np.ndarray, shallow: np.ndarray) -> np.ndarray:
    """(V,) of the labels in each deep list the one that stands most often in the shallow list; the earliest of equals.

    Args:
        deep, shallow: (V, k) labels of the most similar infrared images; -1 is a label like any other.
    """
    if not deep.shape[1]:
        return np.full(len(deep), OUTLIER)
    score = np.zeros(deep.shape, dtype=np.int64)
    for place in range(shallow.shape[1]):
        score += deep == shallow[:, place : place + 1]
    return np.take_along_axis(deep, score.argmax(1)[:, None], axis=1)[:, 0]


def smoothed(found: np.ndarray, features: Tensor) -> np.ndarray:
    """(V,) the label that most of the images most similar to each have, itself among them; the lowest of equals.

    Args:
        found: (V,) labels, -1 the lowest.
        features: (V, 2 D) unit deep and shallow features side by side: their dot product is the sum of both cosines.
    """
    if not len(found):
        return found
    votes = np.sort(found[nearest(features, SMOOTHED)[1].cpu().numpy()], axis=1)
    counts = (votes[:, :, None] == votes[:, None, :]).sum(2)
    return np.take_along_axis(votes, counts.argmax(1)[:, None], axis=1)[:, 0]


def votes_of(found: np.ndarray, own: PseudoLabels, num_infrared: int) -> np.ndarray:
    """(visible K, K + 1) int64: how many images of each visible cluster belong to no infrared cluster, then to each.

    Args:
        found: (V,) from `associate`.
        own: (V,) the visible images' own clusters.
    """
    inside = own.labels != OUTLIER
    votes = np.zeros((own.num_clusters, num_infrared + 1), dtype=np.int64)
    np.add.at(votes, (own.labels[inside], found[inside] + 1), 1)
    return votes
