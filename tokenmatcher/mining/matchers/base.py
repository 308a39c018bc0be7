"""The door for matchers: which visible cluster is which infrared one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from tokenmatcher.contracts import ClusterMatch, Modality, PseudoLabels


@dataclass(frozen=True, eq=False)
class Clusters:
    """What a matcher may look at. Legend: N images of a modality, K its clusters, T tokens, D token width.

    features: (N, T*D) of every image as the epoch starts, not normalised.
    labels: of every image.
    centroids: (K, T*D) unit rows.
    num_tokens: T.
    capacity: clusters that one cluster may be matched to, as far as a matcher asks.
    """

    features: Mapping[Modality, Tensor]
    labels: Mapping[Modality, PseudoLabels]
    centroids: Mapping[Modality, Tensor]
    num_tokens: int
    capacity: int


Matcher = Callable[[Clusters], ClusterMatch]
