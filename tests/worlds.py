"""Clusters of random images, for matchers."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch.nn import functional

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.mining.clusters import centroids
from tokenmatcher.mining.matchers.base import Clusters

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED


def world(seed, visible, infrared, *, kind="random", tokens=4, width=3, unit_views=False):
    """So many clusters, 1 to 4 images of each, and outliers; `kind` says how alike the images are."""
    rng = np.random.default_rng(seed)
    features, labels = {}, {}
    for m, count in ((VISIBLE, visible), (INFRARED, infrared)):
        own = np.concatenate([np.repeat(np.arange(count), rng.integers(1, 5, count)), np.full(rng.integers(0, 4), -1)])
        labels[m] = PseudoLabels(rng.permutation(own).astype(np.int64))
        values = rng.standard_normal((len(own), tokens * width))
        if kind == "tied":
            values = np.sign(values[:, :1]) * np.ones_like(values)
        elif kind == "crowded":
            values = values / 10 + 2
        features[m] = torch.from_numpy(values).float()
        if unit_views:
            features[m] = functional.normalize(features[m], dim=1)
    centres = {m: centroids(features[m], labels[m]) for m in Modality}
    return Clusters(features, labels, centres, tokens, capacity=2, ranked=5, unit_views=unit_views)


WORLDS = st.builds(
    world,
    st.integers(0, 9999),
    st.integers(1, 12),
    st.integers(1, 12),
    kind=st.sampled_from(("random", "tied", "crowded")),
    tokens=st.integers(1, 5),
    unit_views=st.booleans(),
)
