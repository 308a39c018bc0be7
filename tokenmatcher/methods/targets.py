"""What an epoch trains towards: the results of mining, frozen.

Legend: N images of a modality, K its clusters, T tokens, D token width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tokenmatcher.contracts import ClusterMatch, Modality, Neighbours, PseudoLabels

Pair = tuple[Modality, Modality]


@dataclass(frozen=True, eq=False)
class ContrastTargets:
    """Stage 1 and the camera stage: labels, and (K, T*D) unit centroids, of each modality trained."""

    labels: dict[Modality, PseudoLabels]
    centroids: dict[Modality, Tensor]


@dataclass(frozen=True, eq=False)
class JointTargets(ContrastTargets):
    """Of an epoch of stage 2.

    mixed: (K, T*D) unit centroids over both modalities' members.
    instances: (N, T*D) unit features of all images as the epoch starts.
    neighbours: for (anchor modality, target modality).
    """

    mixed: dict[Modality, Tensor]
    instances: dict[Modality, Tensor]
    neighbours: dict[Pair, Neighbours]
    match: ClusterMatch
