"""ADCA: Augmented Dual-Contrastive Aggregation Learning for Unsupervised Visible-Infrared Person Re-Identification
(ACM MM 2022).

Two stages, each from pseudo labels that are found again every epoch:

    1       each modality alone:                L = L_visible + L_infrared
    2       the same, on aggregated memories:   m_v <- 0.1 m_v + 0.9 m_r  before each epoch

    L_visible, L_infrared   an image against the memory of its modality's clusters (`methods.dual`)
    m_v, m_r                vectors of a visible and of an infrared cluster that are accepted as one person: those with
                            most pairs of similar images between them, one to one (`mining.matchers.counts`)

What joins the modalities is the visible memory alone: infrared clusters are not changed, and images of one modality are
never scored against the other's clusters. A visible cluster that is accepted with none is trained as in stage 1.

Legend: K clusters of a modality, D feature width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from torch import Tensor

from tokenmatcher.contracts import NO_PARTNER, EpochRecord, Modality
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.methods.base import Prepared, PublishedScores, Stage
from tokenmatcher.methods.contrast import rows_on
from tokenmatcher.methods.dual import OTHER_MATCHER, DualMethod, DualObjective, DualStage, Separate, prepared
from tokenmatcher.mining.matchers import counts
from tokenmatcher.mining.matchers.base import Matcher
from tokenmatcher.presets.adca import ADCA as PRESETS
from tokenmatcher.presets.adca import PUBLISHED, PUBLISHED_SCORES, ADCARecipe
from tokenmatcher.recipe import Presets


class ADCA(DualMethod):
    """See this file's head."""

    name: ClassVar[str] = "adca"
    presets: ClassVar[Presets] = PRESETS
    published: ClassVar[Mapping[str, str]] = PUBLISHED
    published_scores: ClassVar[PublishedScores] = PUBLISHED_SCORES
    default_matcher: ClassVar[str | None] = "counts"
    document: ClassVar[str] = 'docs/methods.md, "ADCA"'
    recipe: ADCARecipe

    def stages(self) -> list[Stage]:
        return [Separate(self), Aggregated(self)]

    @classmethod
    def departures(cls, recipe: ADCARecipe, dataset: Dataset, matcher: Matcher | None) -> list[str]:
        return [
            *super().departures(recipe, dataset, matcher),
            *([] if matcher is counts.match else [OTHER_MATCHER]),
            *(["aggregated vectors are made unit at once"] if recipe.matching.unit_memory else []),
            *(["the best epoch is told by all ten trials"] if dataset.name == "sysu" else []),
        ]


class Aggregated(DualStage):
    """Stage 2."""

    method: ADCA

    def __init__(self, method: ADCA) -> None:
        super().__init__(method, 1)

    def prepare(self, epoch: int, features: Mapping[Modality, Tensor], record: EpochRecord) -> Prepared:
        targets = self.method.labels(features, self.name, record)
        match = self.method.match(features, targets, record)
        config, losses = self.method.recipe.matching, self.method.recipe.losses
        memories = self.method.memories(targets)
        joined = aggregated(
            memories[Modality.VISIBLE].vectors,
            memories[Modality.INFRARED].vectors,
            match.partner[Modality.VISIBLE],
            share=config.aggregation,
        )
        memories[Modality.VISIBLE] = ClusterMemory(joined, losses.momentum, unit=config.unit_memory)
        record.lap("mine")
        return prepared(
            targets, DualObjective(targets.labels, memories, temperature=losses.temperature, write=self.write)
        )


def aggregated(visible: Tensor, infrared: Tensor, partner: np.ndarray, *, share: float) -> Tensor:
    """(K, D) visible cluster vectors, those with a partner drawn towards it: (1 - share) m_v + share m_r. These are
    shorter than 1, the more the less alike both are.

    Args:
        visible, infrared: (K, D) unit vectors of each modality's clusters.
        partner: (K,) infrared cluster of each visible one, -1 for none.
    """
    rows = np.flatnonzero(partner != NO_PARTNER)
    own, other = rows_on(rows, visible), rows_on(partner[rows], visible)
    return visible.index_copy(0, own, (1 - share) * visible[own] + share * infrared[other])
