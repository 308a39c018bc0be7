"""What stage 2's targets look like, for the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tokenmatcher.contracts import Modality
from tokenmatcher.evaluation.diagnostics import neighbour_quality, right_matches
from tokenmatcher.methods.targets import JointTargets


def facts_of(targets: JointTargets, identities: Mapping[Modality, np.ndarray]) -> dict[str, Any]:
    """What matches and neighbours look like, by the true identities (N,), for the log."""
    match, labels = targets.match, targets.labels
    return {
        "match": {
            "ratio": labels[Modality.VISIBLE].num_clusters / labels[Modality.INFRARED].num_clusters,
            **match.facts,
            "fused_pairs": len(match.fused),
            "right": right_matches(match, labels, identities),
        },
        "neighbours": {
            f"{anchor.value[:3]}-{target.value[:3]}": neighbour_quality(found, identities[anchor], identities[target])
            for (anchor, target), found in targets.neighbours.items()
        },
    }


def notes_on_targets(targets: JointTargets) -> list[str]:
    """What is unlike the usual in them, and what is done then."""
    notes = [
        f"no {anchor} image has {target} neighbours: that term is 0"
        for (anchor, target), found in targets.neighbours.items()
        if len(found.indices) == 0
    ]
    if not len(targets.match.fused):
        notes.append("no clusters share a match: nothing is fused")
    return notes
