"""Clusterings that training cannot use, or uses in another way than meant: a stop with advice, or a note in the log."""

from __future__ import annotations

import numpy as np

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.errors import UserError
from tokenmatcher.recipe import Recipe
from tokenmatcher.training.targets import JointTargets


def demand_clusters(found: PseudoLabels, modality: Modality, recipe: Recipe, title: str) -> None:
    """There must be two clusters at least, or nothing can be told apart.

    Raises:
        UserError: there are fewer; says what to change.
    """
    config = recipe.clusters
    if found.num_clusters == 0:
        raise UserError(
            f"{title}: all {len(found)} {modality} images are outliers; a larger --eps than {config.eps} makes "
            f"clusters, a smaller --min-samples than {config.min_samples} if there are fewer images of a person"
        )
    if found.num_clusters == 1:
        raise UserError(
            f"{title}: all {len(found) - found.num_outliers} {modality} images that are no outliers form one cluster; "
            f"a smaller --eps than {config.eps} or --k1 than {config.k1} divides it, and another start if features "
            "have collapsed"
        )


def notes_on_labels(
    found: PseudoLabels, modality: Modality, *, k1: int, people: int, cameras: np.ndarray | None = None
) -> list[str]:
    """What is unlike the usual in a labelling, and what is done then.

    Args:
        k1: neighbours that it was made with.
        people: places for clusters in a batch.
        cameras: (N,) of its images, where the pictures of a cluster are to be drawn from several.
    """
    notes = []
    if len(found) < k1:
        notes.append(f"{modality}: {len(found)} images, fewer than k1 {k1}: all are near each other")
    if found.num_clusters < people:
        notes.append(f"{modality}: {found.num_clusters} clusters for {people} places in a batch: some come twice")
    if cameras is not None and len(np.unique(cameras)) == 1:
        notes.append(f"{modality}: one camera, from which all pictures of a cluster are drawn")
    return notes


def notes_on_targets(targets: JointTargets) -> list[str]:
    """Likewise of stage 2's targets."""
    notes = [
        f"no {anchor} image has {target} neighbours: that term is 0"
        for (anchor, target), found in targets.neighbours.items()
        if len(found.indices) == 0
    ]
    if not len(targets.match.fused_pairs()):
        notes.append("no clusters share a match: nothing is fused")
    return notes
