"""What an epoch trains towards: the results of mining, frozen.

Legend: N images of a modality, K its clusters, T tokens, D token width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tokenmatcher.contracts import OUTLIER, ClusterMatch, Modality, Neighbours, PseudoLabels
from tokenmatcher.distributed import ALONE, Team
from tokenmatcher.mining.cameras import drop_split_neighbours
from tokenmatcher.mining.clusters import centroids
from tokenmatcher.mining.matching import match_clusters
from tokenmatcher.mining.neighbours import token_neighbours
from tokenmatcher.recipe import MiningConfig

Pair = tuple[Modality, Modality]


@dataclass(frozen=True, eq=False)
class ContrastTargets:
    """Stage 1 and the camera stage: labels, and (K, T*D) unit centroids, of each modality trained."""

    labels: dict[Modality, PseudoLabels]
    centroids: dict[Modality, Tensor]


@dataclass(frozen=True, eq=False)
class JointTargets(ContrastTargets):
    """Stage 2.

    mixed: (K, T*D) unit centroids over both modalities' members.
    instances: (N, T*D) unit features of all images as the epoch starts.
    neighbours: for (anchor modality, target modality).
    """

    mixed: dict[Modality, Tensor]
    instances: dict[Modality, Tensor]
    neighbours: dict[Pair, Neighbours]
    match: ClusterMatch


def contrast_targets(
    features: dict[Modality, Tensor], labels: dict[Modality, PseudoLabels], team: Team = ALONE
) -> ContrastTargets:
    """Targets of stage 1 from raw features (N, T*D)."""
    return ContrastTargets(labels, {m: team.same(centroids(features[m], labels[m])) for m in features})


def joint_targets(
    features: dict[Modality, Tensor],
    labels: dict[Modality, PseudoLabels],
    config: MiningConfig,
    num_tokens: int,
    *,
    cameras: dict[Modality, np.ndarray],
    local_labels: dict[Modality, np.ndarray] | None,
    team: Team = ALONE,
) -> JointTargets:
    """Targets of stage 2 from raw features (N, T*D) of both modalities.

    Args:
        cameras: (N,) of each modality.
        local_labels: (N,) the camera stage's labels, or None where there was none.
        team: the processes that share the search for neighbours.
    """
    own = contrast_targets(features, labels, team)
    visible, infrared = own.centroids[Modality.VISIBLE], own.centroids[Modality.INFRARED]
    match = team.decide(lambda: match_clusters(visible, infrared, capacity=config.match_capacity))
    neighbours = {}
    for anchor in Modality:
        for target in Modality:
            part = token_neighbours(
                features[anchor][team.part(len(features[anchor]))],
                features[target],
                num_tokens=num_tokens,
                ratio=config.neighbour_ratio,
                votes=config.votes,
            )
            found = Neighbours.joined(team.join_objects(part))
            if anchor is target and local_labels is not None:
                found = drop_split_neighbours(found, cameras[anchor], local_labels[anchor])
            neighbours[anchor, target] = found
    return JointTargets(
        labels=labels,
        centroids=own.centroids,
        mixed={m: team.same(mixed_centroids(features, labels, match, m)) for m in Modality},
        instances={m: F.normalize(features[m], dim=1) for m in Modality},
        neighbours=neighbours,
        match=match,
    )


def mixed_centroids(
    features: dict[Modality, Tensor], labels: dict[Modality, PseudoLabels], match: ClusterMatch, modality: Modality
) -> Tensor:
    """(K, T*D) unit means over a cluster's own members and the members of the other modality's
    clusters whose first match it is."""
    own, guests = labels[modality].labels, labels[modality.other].labels
    adopted = np.where(guests == OUTLIER, OUTLIER, match.first_match(modality.other)[guests])
    together = PseudoLabels(np.concatenate([own, adopted]))
    return centroids(torch.cat([features[modality], features[modality.other]]), together)
