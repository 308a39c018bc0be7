"""Images as points on a plane, those that a model finds alike near each other: t-SNE (van der Maaten, Hinton 2008)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from sklearn.manifold import TSNE
from torch import Tensor

from tokenmatcher.contracts import UNKNOWN

PERPLEXITY = 30.0


def places(features: Tensor, *, seed: int = 0) -> np.ndarray:
    """(N, 2) of (N, D) unit features; with fewer than three images a line."""
    count = len(features)
    if count < 3:
        return np.stack([np.arange(count), np.zeros(count)], axis=1).astype(np.float32)
    method = TSNE(
        metric="cosine",
        init="random" if count <= features.shape[1] and count < 5 else "pca",
        perplexity=min(PERPLEXITY, (count - 1) / 3),
        random_state=seed % 2**32,  # scikit-learn takes no more
    )
    found: np.ndarray = method.fit_transform(features.numpy())
    return found


def whole_people(identities: Sequence[np.ndarray], most: int, seed: int = 0) -> list[np.ndarray]:
    """Rows of each of several sets (N,), at most `most` in all: people drawn by chance, each with all images, so that
    it can be seen whether they stand together; images drawn by chance where nobody is known.

    A person with more images than there is room for is cut off, so that there is always somebody.
    """
    random = np.random.default_rng(seed)
    lengths = [len(own) for own in identities]
    total = sum(lengths)
    if total <= most:
        return [np.arange(length) for length in lengths]
    everybody = np.concatenate(identities)
    known = everybody != UNKNOWN
    if not known.any():
        rows = np.sort(random.choice(total, most, replace=False))
    else:
        chosen: list[np.ndarray] = []
        room = most
        for person in random.permutation(np.unique(everybody[known])):
            own = np.flatnonzero(everybody == person)
            if len(own) > room and chosen:
                continue
            chosen.append(own[:room])
            room -= len(chosen[-1])
            if room <= 0:
                break
        rows = np.sort(np.concatenate(chosen))
    starts = np.cumsum([0, *lengths])
    return [rows[(rows >= a) & (rows < b)] - a for a, b in pairwise(starts.tolist())]
