"""SDCL: Shallow-Deep Collaborative Learning for Unsupervised Visible-Infrared Person Re-Identification (CVPR 2024).

Two stages of one run, each from pseudo labels that are found again every epoch; a network with a deep and a shallow
branch, each with memories of its own:

    L = sum over branches of  L_visible + L_infrared + lambda_within (L_vis-vis + L_inf-inf)
                              + lambda_to_infrared L_vis-inf, in even epochs
                              + lambda_to_visible L_inf-vis, in odd epochs

    L_visible, L_infrared   an image against the memory of clusters: in stage 1 of its own modality's, in stage 2 of the
                            infrared ones, which visible images then belong to (collaborative ranking association)
    L_a-b                   collaborative neighbour learning: an image of a is pulled to the images of b that both
                            branches call alike, by instance memories; the shallow branch's counts `shallow_share` times

Stage 2 goes on with the weights and the optimiser of stage 1. No loss joins modalities but L_a-b, and in stage 2 the
shared memory.

Legend: N images of a modality, B images of it in a batch, K clusters, D width of a branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tokenmatcher.contracts import EpochRecord, Modality, PseudoLabels
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.errors import SettingError
from tokenmatcher.images.batches import Batching
from tokenmatcher.machine import Machine
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.methods.base import Images, Method, Prepared, PublishedScores, Stage
from tokenmatcher.methods.labelling import FEWEST, label_modalities
from tokenmatcher.methods.sdcl_facts import association_examples, association_facts, neighbour_facts
from tokenmatcher.methods.sdcl_objective import SDCLObjective, SDCLTargets, ways_of
from tokenmatcher.mining.association import associate
from tokenmatcher.mining.clusters import centroids
from tokenmatcher.mining.matchers.base import Matcher
from tokenmatcher.presets.sdcl import PUBLISHED, PUBLISHED_SCORES, SDCLRecipe
from tokenmatcher.presets.sdcl import SDCL as PRESETS
from tokenmatcher.recipe import ClusterConfig, Presets
from tokenmatcher.schedules import rate_of

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED
NO_CLUSTERS = -1  # of the epoch before, where there was none


class SDCL(Method):
    """clusters: how many each modality had in the epoch before."""

    name: ClassVar[str] = "sdcl"
    presets: ClassVar[Presets] = PRESETS
    published: ClassVar[Mapping[str, str]] = PUBLISHED
    published_scores: ClassVar[PublishedScores] = PUBLISHED_SCORES
    default_matcher: ClassVar[str | None] = None
    document: ClassVar[str] = 'docs/methods.md, "SDCL"'
    recipe: SDCLRecipe

    def __init__(
        self, recipe: SDCLRecipe, dataset: Dataset, images: Images, machine: Machine, matcher: Matcher | None
    ) -> None:
        super().__init__(recipe, dataset, images, machine, matcher)
        self.clusters = dict.fromkeys(Modality, NO_CLUSTERS)

    @classmethod
    def stage_names(cls, dataset: Dataset) -> tuple[str, ...]:
        return "1", "2"

    def stages(self) -> list[Stage]:
        return [Separate(self), Together(self)]

    def label(
        self, features: Mapping[Modality, Tensor], stage: str, record: EpochRecord, *, associated: bool
    ) -> dict[Modality, PseudoLabels]:
        """Pseudo labels of both modalities, which both branches share, described in the record.

        Args:
            associated: visible images are trained on by their association, and their own labels only say which are
                outliers: one cluster is enough, and batches are not drawn from them.

        Raises:
            SettingError: a modality has too few clusters.
        """
        recipe = self.recipe
        labels = label_modalities(
            features,
            self.images,
            self.last_clusters(recipe) if associated else dict.fromkeys(Modality, recipe.clusters),
            self.machine,
            record,
            stage,
            people={VISIBLE: 0 if associated else recipe.data.people(VISIBLE), INFRARED: recipe.data.people(INFRARED)},
            other_cameras=self.dataset.many_cameras,
            k1_settings={VISIBLE: "k1_visible" if associated else "k1", INFRARED: "k1"},
            fewest={VISIBLE: 1 if associated else FEWEST, INFRARED: FEWEST},
        )
        if labels[VISIBLE].num_clusters == 1:
            record.notes.append("visible: one cluster, which tells no more than which images are outliers")
        for m in Modality:
            if 2 * labels[m].num_clusters < self.clusters[m]:
                record.notes.append(
                    f"{m}: {labels[m].num_clusters} clusters, {self.clusters[m]} an epoch before; if they go on "
                    "vanishing, a momentum_first of 0.9 to 0.99 holds the memories still in epoch 0"
                )
            self.clusters[m] = labels[m].num_clusters
        return labels

    @classmethod
    def last_clusters(cls, recipe: SDCLRecipe) -> Mapping[Modality, ClusterConfig]:
        return {VISIBLE: replace(recipe.clusters, k1=recipe.mining.k1_visible), INFRARED: recipe.clusters}

    @classmethod
    def departures(cls, recipe: SDCLRecipe, dataset: Dataset, matcher: Matcher | None) -> list[str]:
        last = "stage 2 starts from stage 1's last weights, not the best on the test set"
        return [
            "pictures are resized once, before augmentation",
            "where there are fewer clusters than places in a batch, some come twice",
            *([] if recipe.losses.sequential else ["gradients are those of the memories as the losses saw them"]),
            *([last] if recipe.schedule.stage2_start == "last" else []),
            "of equal scores in a list the earliest place wins",
        ]

    def state(self) -> dict[str, Any]:
        return {"clusters": {m.value: count for m, count in self.clusters.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        counts = {m: state["clusters"][m.value] for m in Modality}
        if any(type(count) is not int or count < NO_CLUSTERS for count in counts.values()):
            raise ValueError("clusters")
        self.clusters = counts


class Phase(Stage):
    """What both stages have in common; `which`, 0 or 1, picks from the recipe's pairs of numbers."""

    tested_by = "rank1"

    def __init__(self, method: SDCL, which: int) -> None:
        self.method, self.which, recipe = method, which, method.recipe
        self.name = f"{which + 1}"
        self.place = {"stage": self.name}
        self.epochs, self.images = recipe.schedule.epochs[which], dict.fromkeys(Modality)
        self.before = sum(recipe.schedule.epochs[:which])
        self.batching = Batching(
            iters=recipe.schedule.iters[which],
            identities={m: recipe.data.people(m) for m in Modality},
            instances=recipe.data.num_instances,
            other_cameras=True,
            twins=True,
            jitter_plain=recipe.data.jitter_everywhere,
        )

    def rate(self, epoch: int) -> float:
        return rate_of(self.method.recipe.schedule, self.which, epoch, before=self.before)

    def objective(
        self,
        features: Mapping[Modality, Tensor],
        labels: Mapping[Modality, np.ndarray],
        memories: Mapping[Modality, tuple[ClusterMemory, ClusterMemory]],
        record: EpochRecord,
    ) -> SDCLObjective:
        """Of an epoch; with what is known of its neighbours in the record."""
        method, recipe = self.method, self.method.recipe
        ways = ways_of(self.before + record.epoch, recipe.mining)
        instances = {m: tuple(F.normalize(part, dim=1) for part in branches(features[m])) for m in Modality}
        identities = {m: method.images[m].identities for m in Modality}
        record.facts["neighbours"] = neighbour_facts(instances, identities, ways, recipe.mining.neighbour_ratio)
        return SDCLObjective(
            SDCLTargets(labels=labels, memories=memories, instances=instances, ways=ways), recipe, self.which
        )

    def memory(self, features: Tensor, labels: PseudoLabels, epoch: int) -> tuple[ClusterMemory, ClusterMemory]:
        """Of the deep and of the shallow branch; `epoch` counts over both stages."""
        losses, team = self.method.recipe.losses, self.method.machine.team
        momentum = losses.momentum_first if epoch == 0 else losses.momentum
        deep, shallow = (ClusterMemory(team.broadcast(centroids(x, labels)), momentum) for x in branches(features))
        return deep, shallow


class Separate(Phase):
    """Stage 1."""

    def __init__(self, method: SDCL) -> None:
        super().__init__(method, 0)

    def prepare(self, epoch: int, features: Mapping[Modality, Tensor], record: EpochRecord) -> Prepared:
        labels = self.method.label(features, self.name, record, associated=False)
        numbers = {m: labels[m].labels for m in Modality}
        memories = {m: self.memory(features[m], labels[m], epoch) for m in Modality}
        objective = self.objective(features, numbers, memories, record)
        record.lap("mine")
        return Prepared(objective, numbers)


class Together(Phase):
    """Stage 2."""

    keeps_optimizer = True

    def __init__(self, method: SDCL) -> None:
        super().__init__(method, 1)
        self.start = ("1", method.recipe.schedule.stage2_start)

    def prepare(self, epoch: int, features: Mapping[Modality, Tensor], record: EpochRecord) -> Prepared:
        method, recipe = self.method, self.method.recipe
        labels = method.label(features, self.name, record, associated=True)
        ranked = recipe.mining.match_ranked
        if len(features[INFRARED]) < ranked:
            record.notes.append(
                f"{len(features[INFRARED])} infrared images, fewer than the {ranked} of an association: all rank"
            )
        found = method.machine.team.decide(
            lambda: associate(
                branches(features[VISIBLE]), branches(features[INFRARED]), labels[INFRARED], ranked=ranked
            )
        )
        trained = {VISIBLE: clustered(found, labels[VISIBLE]), INFRARED: labels[INFRARED].labels}
        if (trained[VISIBLE] < 0).all():
            raise SettingError(
                f"stage {self.name} epoch {record.epoch}: no visible image that is in a cluster belongs to an infrared "
                "one; a longer stage 1 ({epochs}) or a larger {eps} than "
                f"{recipe.clusters.eps} helps"
            )
        together = PseudoLabels(np.concatenate([labels[INFRARED].labels, found]))
        # Infrared first: every cluster has infrared members, and outliers of the visible clustering count.
        shared = self.memory(torch.cat([features[INFRARED], features[VISIBLE]]), together, self.before + epoch)
        identities = {m: method.images[m].identities for m in Modality}
        facts, notes = association_facts(found, trained[VISIBLE], labels, identities, recipe.data.people(VISIBLE))
        record.facts |= facts
        record.notes += notes
        record.examples = association_examples(trained, labels[INFRARED].num_clusters)
        objective = self.objective(features, trained, dict.fromkeys(Modality, shared), record)
        record.lap("mine")
        return Prepared(objective, trained)


def branches(features: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 2 D) -> deep and shallow, (N, D) each."""
    deep, shallow = features.chunk(2, dim=1)
    return deep, shallow


def clustered(found: np.ndarray, own: PseudoLabels) -> np.ndarray:
    """(N,) the infrared cluster of each visible image that is no outlier among the visible ones, else -1."""
    return np.where(own.labels < 0, -1, found)
