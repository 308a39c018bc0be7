"""What SDCL's neighbours and associations look like, for the log.

Legend: N images of a modality, K infrared clusters, D width of a branch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import OUTLIER, UNKNOWN, Modality, PseudoLabels
from tokenmatcher.evaluation.diagnostics import (
    majority_identities,
    matchable_share,
    neighbour_quality,
    right_matches,
)
from tokenmatcher.methods.sdcl_objective import Pair, name_of
from tokenmatcher.mining.matchers.ranking import match_of_images
from tokenmatcher.mining.neighbours import token_neighbours

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED
SAMPLED = 1024  # anchors whose neighbours are looked at: steps find them anew, and nobody else needs them
EXAMPLES, SHOWN = 4, 6  # clusters, and images of each modality of one


def neighbour_facts(
    instances: Mapping[Modality, Sequence[Tensor]],
    identities: Mapping[Modality, np.ndarray],
    ways: Sequence[Pair],
    ratio: float,
) -> dict[str, dict[str, float]]:
    """Neighbours as the epoch starts, of anchors spread over all images: how many, and how many of them right.

    Args:
        instances: (N, D) unit features, deep and shallow.
    """
    found = {}
    for anchor, target in ways:
        rows = spread(np.arange(len(identities[anchor])), SAMPLED)
        index = torch.from_numpy(rows).to(instances[anchor][0].device)
        neighbours = token_neighbours(
            torch.cat([part[index] for part in instances[anchor]], dim=1),
            torch.cat(list(instances[target]), dim=1),
            num_tokens=2,
            ratio=ratio,
            votes=2,
        )
        found[name_of((anchor, target))] = neighbour_quality(neighbours, identities[anchor][rows], identities[target])
    return found


def association_facts(
    found: np.ndarray,
    trained: np.ndarray,
    labels: Mapping[Modality, PseudoLabels],
    identities: Mapping[Modality, np.ndarray],
    people: int,
) -> tuple[dict[str, Any], list[str]]:
    """Of visible images and of the match of clusters that follows from theirs; and notes.

    Args:
        found: (N,) infrared cluster of each visible image.
        trained: (N,) the same of those that are trained on.
        people: places for clusters in a batch.
    """
    infrared = labels[INFRARED]
    match = match_of_images(found, labels[VISIBLE], infrared.num_clusters)
    names = majority_identities(infrared, identities[INFRARED])
    known = (trained != OUTLIER) & (identities[VISIBLE] != UNKNOWN)
    right = names[trained[known]] == identities[VISIBLE][known]
    reached = len(np.unique(trained[trained != OUTLIER]))
    facts = {
        "match": {
            "ratio": labels[VISIBLE].num_clusters / infrared.num_clusters,
            **match.facts,
            "right": right_matches(match, labels, identities),
            "matchable": matchable_share(labels, identities, match.larger),
        },
        "association": {
            "trained": float((trained != OUTLIER).mean()),
            "right": float(right.mean()) if right.size else float("nan"),
            "clusters_without": infrared.num_clusters - reached,
        },
    }
    notes = []
    if reached < people:
        clusters = f"{reached} {'cluster' if reached == 1 else 'clusters'}"
        notes.append(f"visible images belong to {clusters} for {people} places in a batch: some come twice")
    return facts, notes


def association_examples(
    trained: Mapping[Modality, np.ndarray], clusters: int
) -> dict[str, list[list[tuple[Modality, int]]]]:
    """A few infrared clusters that visible images belong to: infrared images, then visible ones."""
    reached = np.intersect1d(np.arange(clusters), trained[VISIBLE])
    return {
        "associations": [
            [
                (m, int(row))
                for m in (INFRARED, VISIBLE)
                for row in spread(np.flatnonzero(trained[m] == cluster), SHOWN // 2)
            ]
            for cluster in spread(reached, EXAMPLES)
        ]
    }


def spread(values: np.ndarray, most: int) -> np.ndarray:
    """At most so many, evenly from first to last."""
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, most).round().astype(int)]
