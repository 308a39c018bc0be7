"""PGM: Unsupervised Visible-Infrared Person Re-Identification via Progressive Graph Matching and Alternate Learning
(CVPR 2023).

Two stages, each from pseudo labels that are found again every epoch:

    1       each modality alone:  L = L_visible + L_infrared
    2       both together:        L = L_visible + L_infrared + lambda_cross L_cross

    L_visible, L_infrared   an image against the memory of its modality's clusters (`methods.dual`)
    L_cross                 in even epochs visible images against the infrared memory, in odd ones infrared images
                            against the visible memory; an image's own cluster there is its cluster's partner

Partners are assigned at the least cost, in rounds until no cluster of the larger modality is left
(`mining.matchers.hungarian`). The same two memories serve all terms, and a step writes both what was scored across and
what was scored within into them.

Legend: K clusters of a modality, B images of it in a batch, D feature width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from torch import Tensor

from tokenmatcher.contracts import NO_PARTNER, ClusterMatch, EpochRecord, Modality, PseudoLabels
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.losses import cluster_contrast
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.methods.base import Prepared, PublishedScores, Stage, View, Views
from tokenmatcher.methods.contrast import rows_on
from tokenmatcher.methods.dual import OTHER_MATCHER, DualMethod, DualObjective, DualStage, Separate, prepared
from tokenmatcher.mining.matchers import hungarian
from tokenmatcher.mining.matchers.base import Matcher
from tokenmatcher.presets.pgm import PGM as PRESETS
from tokenmatcher.presets.pgm import PUBLISHED, PUBLISHED_SCORES, PGMRecipe
from tokenmatcher.recipe import Presets


class PGM(DualMethod):
    """See this file's head."""

    name: ClassVar[str] = "pgm"
    presets: ClassVar[Presets] = PRESETS
    published: ClassVar[Mapping[str, str]] = PUBLISHED
    published_scores: ClassVar[PublishedScores] = PUBLISHED_SCORES
    default_matcher: ClassVar[str | None] = "hungarian"
    document: ClassVar[str] = 'docs/methods.md, "PGM"'
    recipe: PGMRecipe

    def stages(self) -> list[Stage]:
        return [Separate(self, jitter_infrared=self.recipe.matching.jitter_infrared), Alternate(self)]

    @classmethod
    def departures(cls, recipe: PGMRecipe, dataset: Dataset, matcher: Matcher | None) -> list[str]:
        return [
            *super().departures(recipe, dataset, matcher),
            *([TOTAL_MATCHING] if matcher is hungarian.match else [OTHER_MATCHER]),
            "gradients are those of the memories as the losses saw them",
        ]


TOTAL_MATCHING = "matching goes on until no cluster is left, whichever modality has more"


class Alternate(DualStage):
    """Stage 2."""

    method: PGM

    def __init__(self, method: PGM) -> None:
        super().__init__(method, 1)

    def prepare(self, epoch: int, features: Mapping[Modality, Tensor], record: EpochRecord) -> Prepared:
        targets = self.method.labels(features, self.name, record)
        match = self.method.match(features, targets, record)
        record.lap("mine")
        recipe = self.method.recipe
        return prepared(
            targets,
            AlternateObjective(
                targets.labels,
                self.method.memories(targets),
                match,
                epoch,
                weight=recipe.matching.lambda_cross,
                temperature=recipe.losses.temperature,
                write=self.write,
            ),
        )


class AlternateObjective(DualObjective):
    """L = L_visible + L_infrared + weight L_cross.

    Args:
        epoch: of stage 2, from 0; its parity says whose images are scored against the other modality's memory.
    """

    def __init__(
        self,
        labels: Mapping[Modality, PseudoLabels],
        memories: Mapping[Modality, ClusterMemory],
        match: ClusterMatch,
        epoch: int,
        *,
        weight: float,
        temperature: float,
        write: str,
    ) -> None:
        super().__init__(labels, memories, temperature=temperature, write=write)
        self.across = Modality.VISIBLE if epoch % 2 == 0 else Modality.INFRARED
        self.partner = match.partner[self.across]
        self.weights["cross"] = weight

    def losses(self, views: Views) -> dict[str, Tensor]:
        terms = super().losses(views)
        features, partners = self._matched(views[self.across])
        if len(partners):
            memory = self.memories[self.across.other].vectors
            terms["cross"] = cluster_contrast(features, memory, rows_on(partners, features), self.temperature)
        return terms

    def update(self, views: Views) -> None:
        """What was scored across first, as published; then each modality's own."""
        self.write(self.memories[self.across.other], *self._matched(views[self.across]))
        super().update(views)

    def _matched(self, view: View) -> tuple[Tensor, np.ndarray]:
        """Features of the images whose cluster has a partner, and the partner of each."""
        partners = self.partner[self.labels[self.across][view.index]]
        rows = np.flatnonzero(partners != NO_PARTNER)
        return view.features[rows_on(rows, view.features)], partners[rows]
