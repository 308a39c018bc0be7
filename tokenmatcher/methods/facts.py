"""What stage 2's targets look like, for the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tokenmatcher.contracts import NO_PARTNER, ClusterMatch, Modality, PseudoLabels
from tokenmatcher.evaluation.diagnostics import matchable_share, neighbour_quality, right_matches
from tokenmatcher.methods.targets import JointTargets

EXAMPLES, SHOWN = 4, 6  # groups of a topic, and pictures of a group beside its first


def facts_of(targets: JointTargets, identities: Mapping[Modality, np.ndarray]) -> dict[str, Any]:
    """What matches and neighbours look like, by the true identities (N,), for the log."""
    return {
        "match": {**match_facts(targets.match, targets.labels, identities), "fused_pairs": len(targets.match.fused)},
        "neighbours": {
            f"{anchor.value[:3]}-{target.value[:3]}": neighbour_quality(found, identities[anchor], identities[target])
            for (anchor, target), found in targets.neighbours.items()
        },
    }


def match_facts(
    match: ClusterMatch, labels: Mapping[Modality, PseudoLabels], identities: Mapping[Modality, np.ndarray]
) -> dict[str, Any]:
    """What a match looks like, by the true identities (N,), for the log."""
    return {
        "ratio": labels[Modality.VISIBLE].num_clusters / labels[Modality.INFRARED].num_clusters,
        **match.facts,
        "right": right_matches(match, labels, identities),
        "matched": _matched_share(match),
        "matchable": matchable_share(labels, identities, match.larger),
    }


def _matched_share(match: ClusterMatch) -> float:
    """Of all clusters, of either modality, those that have a partner."""
    partners = np.concatenate([match.partner[m] for m in Modality])
    return float((partners != NO_PARTNER).mean())


def examples_of(targets: JointTargets) -> dict[str, list[list[tuple[Modality, int]]]]:
    """A few images with their neighbours, and clusters with their partners, spread over all."""
    groups: dict[str, list[list[tuple[Modality, int]]]] = {}
    for (anchor, target), found in targets.neighbours.items():
        chosen = _spread(np.flatnonzero(found.counts), EXAMPLES)
        groups[f"neighbours {anchor}-{target}"] = [
            [(anchor, row), *((target, one) for one in _spread(found.row(row), SHOWN))] for row in chosen
        ]
    groups["matches"] = match_examples(targets.match, targets.labels)
    return groups


def match_examples(match: ClusterMatch, labels: Mapping[Modality, PseudoLabels]) -> list[list[tuple[Modality, int]]]:
    """A few clusters with their partners, spread over all."""
    own, other = match.larger, match.larger.other
    return [
        [
            (m, one)
            for m, cluster in ((own, k), (other, match.partner[own][k]))
            for one in _spread(np.flatnonzero(labels[m].labels == cluster), SHOWN // 2)
        ]
        for k in _spread(np.flatnonzero(match.partner[own] != NO_PARTNER), EXAMPLES)
    ]


def _spread(values: np.ndarray, most: int) -> list[int]:
    """At most so many, evenly from first to last."""
    if len(values) <= most:
        return list(map(int, values))
    return [int(values[place]) for place in np.linspace(0, len(values) - 1, most).round().astype(int)]


def notes_on_targets(targets: JointTargets) -> list[str]:
    """What is unlike the usual in them, and what is done then."""
    notes = [
        f"no {anchor} image has {target} neighbours: that term is 0"
        for (anchor, target), found in targets.neighbours.items()
        if len(found.indices) == 0
    ]
    if targets.match.facts.get("raised"):
        raised = targets.match.facts["capacity"]
        notes.append(f"matching's capacity raised to {raised}: one modality has that many times the other's clusters")
    notes += targets.match.notes
    if not len(targets.match.fused):
        notes.append("no clusters share a match: nothing is fused")
    return notes
