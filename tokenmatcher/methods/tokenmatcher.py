"""TokenMatcher: Diverse Tokens Matching for Unsupervised Visible-Infrared Person Re-Identification (AAAI 2025).

Three stages, each from pseudo labels that are found again every epoch:

    1       each modality alone:  L = L_visible + L_infrared + lambda_diversity L_diversity
    camera  each camera alone, from stage 1's weights, with the same loss; only its labels are kept
    2       both together:        L = L_visible + L_infrared + lambda_diversity L_diversity
                                      + lambda_neighbour L_neighbour + lambda_cross L_cross + lambda_fusion L_fusion

    L_visible, L_infrared   an image against the memory of its modality's clusters; in stage 2 the memory is mixed
    L_diversity             class tokens of an image are to differ
    L_neighbour             DTNL: an image is pulled to those that all its class tokens, each on its own, call alike
    L_cross                 an image against the other modality's clusters; its own is the one matched to its cluster
    L_fusion                HF: two clusters that share a match are one person split by camera, and are pulled together

Legend: N images of a modality, B images of it in a batch, K its clusters, P pairs, T tokens, D token width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tokenmatcher.contracts import NO_PARTNER, OUTLIER, ClusterMatch, EpochRecord, Modality, Neighbours, PseudoLabels
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.images.batches import Batching
from tokenmatcher.losses import cluster_contrast, neighbour_contrast
from tokenmatcher.machine import Machine
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.methods.base import Images, Method, Objective, Prepared, PublishedScores, Stage, View, Views
from tokenmatcher.methods.camera import LocalLabels, OneCamera
from tokenmatcher.methods.contrast import (
    ContrastObjective,
    batch_pairs,
    contrast_targets,
    own_losses,
    own_weights,
    rows_on,
)
from tokenmatcher.methods.facts import examples_of, facts_of, notes_on_targets
from tokenmatcher.methods.labelling import label_modalities
from tokenmatcher.methods.numbers import LossConfig, TokenMatcherRecipe
from tokenmatcher.methods.targets import JointTargets
from tokenmatcher.mining.cameras import drop_split_neighbours
from tokenmatcher.mining.clusters import centroids
from tokenmatcher.mining.matchers import greedy
from tokenmatcher.mining.matchers.base import Clusters, Matcher, ask
from tokenmatcher.mining.neighbours import token_neighbours
from tokenmatcher.presets.tokenmatcher import PUBLISHED, PUBLISHED_SCORES, TOKENMATCHER
from tokenmatcher.recipe import Presets
from tokenmatcher.schedules import rate_of


class TokenMatcher(Method):
    """local: the camera stage's product."""

    name: ClassVar[str] = "tokenmatcher"
    presets: ClassVar[Presets] = TOKENMATCHER
    published: ClassVar[Mapping[str, str]] = PUBLISHED
    published_scores: ClassVar[PublishedScores] = PUBLISHED_SCORES
    recipe: TokenMatcherRecipe
    matcher: Matcher

    def __init__(
        self, recipe: TokenMatcherRecipe, dataset: Dataset, images: Images, machine: Machine, matcher: Matcher | None
    ) -> None:
        super().__init__(recipe, dataset, images, machine, matcher)
        self.local = LocalLabels({m: len(images[m]) for m in Modality})

    @classmethod
    def stage_names(cls, dataset: Dataset) -> tuple[str, ...]:
        return ("1", "camera", "2") if dataset.many_cameras else ("1", "2")

    def stages(self) -> list[Stage]:
        cameras = [(m, int(camera)) for m in Modality for camera in np.unique(self.images[m].cameras)]
        return [
            Separate(self),
            *(
                OneCamera(
                    self.recipe, self.dataset, self.images, self.machine, self.local, *place, first=place == cameras[0]
                )
                for place in cameras
                if self.dataset.many_cameras
            ),
            Together(self),
        ]

    def objective(self, targets: JointTargets, epoch: int) -> Objective:
        """What an epoch of stage 2 minimises; the place for one more term."""
        return JointObjective(targets, self.recipe.losses, epoch)

    def label(
        self, features: Mapping[Modality, Tensor], stage: str, record: EpochRecord
    ) -> dict[Modality, PseudoLabels]:
        """Pseudo labels of both modalities, described in the record.

        Raises:
            SettingError: a modality has fewer than two clusters.
        """
        return label_modalities(
            features,
            self.images,
            dict.fromkeys(Modality, self.recipe.clusters),
            self.machine,
            record,
            stage,
            people={m: self.recipe.data.people(m) for m in Modality},
            other_cameras=stage == "1" and self.dataset.many_cameras,
        )

    @classmethod
    def departures(cls, recipe: TokenMatcherRecipe, dataset: Dataset, matcher: Matcher | None) -> list[str]:
        last = "stage 2 starts from stage 1's last weights, not the best on the test set"
        return [
            "pictures are resized once, before augmentation",
            "memories are written after the backward pass",
            TOTAL_MATCHING if matcher is greedy.match else OTHER_MATCHER,
            *([last] if recipe.schedule.stage2_start == "last" else []),
            *(CAMERA_DEPARTURES if dataset.many_cameras else []),
            *(REGDB_DEPARTURES if dataset.name == "regdb" else []),
        ]

    def state(self) -> dict[str, Any]:
        return self.local.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.local.restore(state)


TOTAL_MATCHING = "matching leaves no cluster unmatched, whichever modality has more, and raises its capacity for that"
OTHER_MATCHER = "clusters are matched by another matcher than the published one"
REGDB_DEPARTURES = ("an image's neighbours are found by its own index",)
CAMERA_DEPARTURES = (
    "the camera filter drops every neighbour that it finds",
    "in the camera stage's silhouette outliers are no cluster and count 0",
)


class BothModalities(Stage):
    """What stages 1 and 2 have in common; `which`, 0 or 1, picks from the recipe's pairs of numbers."""

    def __init__(self, method: TokenMatcher, which: int, *, other_cameras: bool, jitter_plain: bool) -> None:
        self.method, self.which, recipe = method, which, method.recipe
        self.name = f"{which + 1}"
        self.place = {"stage": self.name}
        self.epochs, self.images = recipe.schedule.epochs[which], dict.fromkeys(Modality)
        self.batching = Batching(
            iters=recipe.schedule.iters[which],
            identities={m: recipe.data.people(m) for m in Modality},
            instances=recipe.data.num_instances,
            other_cameras=other_cameras,
            twins=True,
            jitter_plain=jitter_plain,
        )

    def rate(self, epoch: int) -> float:
        return rate_of(self.method.recipe.schedule, self.which, epoch)


class Separate(BothModalities):
    """Stage 1."""

    tested_by = "mAP"

    def __init__(self, method: TokenMatcher) -> None:
        super().__init__(method, 0, other_cameras=True, jitter_plain=method.recipe.data.jitter_everywhere)

    def prepare(self, epoch: int, features: Mapping[Modality, Tensor], record: EpochRecord) -> Prepared:
        labels = self.method.label(features, self.name, record)
        targets = contrast_targets(features, labels, self.method.machine.team)
        record.lap("mine")
        return Prepared(ContrastObjective(targets, self.method.recipe.losses), {m: labels[m].labels for m in Modality})


class Together(BothModalities):
    """Stage 2."""

    tested_by = "rank1"

    def __init__(self, method: TokenMatcher) -> None:
        super().__init__(method, 1, other_cameras=False, jitter_plain=True)
        self.start = ("1", method.recipe.schedule.stage2_start)

    def prepare(self, epoch: int, features: Mapping[Modality, Tensor], record: EpochRecord) -> Prepared:
        method, labels = self.method, self.method.label(features, self.name, record)
        targets = joint_targets(
            features,
            labels,
            method.recipe,
            method.matcher,
            cameras={m: method.images[m].cameras for m in Modality},
            local_labels=method.local.labels,
            machine=method.machine,
        )
        record.facts |= facts_of(targets, {m: method.images[m].identities for m in Modality})
        record.notes += notes_on_targets(targets)
        record.examples = examples_of(targets)
        record.lap("mine")
        return Prepared(method.objective(targets, epoch), {m: labels[m].labels for m in Modality})


def joint_targets(
    features: Mapping[Modality, Tensor],
    labels: dict[Modality, PseudoLabels],
    recipe: TokenMatcherRecipe,
    matcher: Matcher,
    *,
    cameras: Mapping[Modality, np.ndarray],
    local_labels: Mapping[Modality, np.ndarray] | None,
    machine: Machine,
) -> JointTargets:
    """Clusters matched, neighbours mined by all class tokens (DTNL), centroids mixed.

    Args:
        features: (N, T*D) of both modalities, not normalised.
        cameras: (N,) of each modality.
        local_labels: (N,) the camera stage's labels, or None where there was none.
    """
    team, config, num_tokens = machine.team, recipe.mining, recipe.model.num_tokens
    own = contrast_targets(features, labels, team)
    clusters = Clusters(
        features,
        labels,
        own.centroids,
        num_tokens,
        capacity=config.match_capacity,
        threshold=config.match_threshold,
        ranked=config.match_ranked,
    )
    match = team.decide(lambda: ask(matcher, clusters))
    neighbours = {}
    for anchor in Modality:
        for target in Modality:
            part = token_neighbours(
                features[anchor][team.shard(len(features[anchor]))],
                features[target],
                num_tokens=num_tokens,
                ratio=config.neighbour_ratio,
                votes=config.votes,
            )
            found = Neighbours.joined(team.all_gather_object(part))
            if anchor is target and local_labels is not None:
                found = drop_split_neighbours(found, cameras[anchor], local_labels[anchor])
            neighbours[anchor, target] = found
    return JointTargets(
        labels=labels,
        centroids=own.centroids,
        mixed={m: team.broadcast(mixed_centroids(features, labels, match, m)) for m in Modality},
        instances={m: F.normalize(features[m], dim=1) for m in Modality},
        neighbours=neighbours,
        match=match,
    )


def mixed_centroids(
    features: Mapping[Modality, Tensor],
    labels: Mapping[Modality, PseudoLabels],
    match: ClusterMatch,
    modality: Modality,
) -> Tensor:
    """(K, T*D) unit means over a cluster's own members and the members of the other modality's
    clusters whose partner it is."""
    own, guests = labels[modality].labels, labels[modality.other].labels
    partners = match.partner[modality.other]
    adopted = np.where(guests == OUTLIER, OUTLIER, partners[guests])
    together = PseudoLabels(np.concatenate([own, adopted]))
    return centroids(torch.cat([features[modality], features[modality.other]]), together)


class JointObjective:
    """Of an epoch of stage 2.

    Args:
        epoch: counted from 0; its parity says which way neighbours and fusion pull.
    """

    def __init__(self, targets: JointTargets, config: LossConfig, epoch: int) -> None:
        self.config, match = config, targets.match
        self.labels = {m: labels.labels for m, labels in targets.labels.items()}
        self.mixed = {m: ClusterMemory(targets.mixed[m], config.mixed_momentum) for m in Modality}
        self.partner = match.partner
        self.instances = targets.instances
        across = (Modality.VISIBLE, Modality.INFRARED)
        ways = [(m, m) for m in Modality] + [across if epoch % 2 == 0 else across[::-1]]
        self.neighbours = {way: targets.neighbours[way] for way in ways}
        self.fused_modality = match.larger
        self.fusion_memory = ClusterMemory(targets.centroids[match.larger], config.fusion_momentum)
        pairs = match.fused if epoch % 2 == 0 else match.fused[:, ::-1]
        self.fused_with = np.full(len(self.fusion_memory), -1)
        self.fused_with[pairs[:, 0]] = pairs[:, 1]
        self.weights = {
            **own_weights(config),
            "neighbour": config.lambda_neighbour,
            "cross": config.lambda_cross,
            "fusion": config.lambda_fusion_late if epoch > config.fusion_late_epoch else config.lambda_fusion,
        }

    def all_memories(self) -> list[ClusterMemory]:
        return [*self.mixed.values(), self.fusion_memory]

    def losses(self, views: Views) -> dict[str, Tensor]:
        terms = own_losses(views, self.labels, self.mixed, self.config)
        terms["neighbour"] = self._neighbour_loss(views)
        if cross := self._cross_losses(views):
            terms["cross"] = torch.stack(cross).sum()
        view = views[self.fused_modality]
        chosen, towards = self._fusion(view)
        if len(chosen):
            terms["fusion"] = cluster_contrast(
                view.features[rows_on(chosen, view.features)],
                self.fusion_memory.vectors,
                rows_on(towards, view.features),
                self.config.temperature,
            )
        return terms

    def update(self, views: Views) -> None:
        view = views[self.fused_modality]
        chosen, towards = self._fusion(view)
        self.fusion_memory.update(view.features[rows_on(chosen, view.features)], towards)
        for modality, view in views.items():
            self.mixed[modality.other].update(*self._matched(modality, view))
        for modality, view in views.items():
            self.mixed[modality].update(view.features, self.labels[modality][view.index])

    def _neighbour_loss(self, views: Views) -> Tensor:
        terms = []
        for (anchor, target), neighbours in self.neighbours.items():
            view = views[anchor]
            rows, found = batch_pairs(neighbours, view.index)
            terms.append(
                neighbour_contrast(
                    view.features,
                    self.instances[target],
                    rows_on(rows, view.features),
                    rows_on(found, view.features),
                    self.config.temperature,
                )
            )
        return torch.stack(terms).sum()

    def _cross_losses(self, views: Views) -> list[Tensor]:
        found = []
        for m, view in views.items():
            features, partners = self._matched(m, view)
            if len(partners):
                memory = self.mixed[m.other].vectors
                found.append(cluster_contrast(features, memory, rows_on(partners, features), self.config.temperature))
        return found

    def _matched(self, modality: Modality, view: View) -> tuple[Tensor, np.ndarray]:
        """Features of the images whose cluster has a partner, and the partner of each."""
        partners = self.partner[modality][self.labels[modality][view.index]]
        matched = np.flatnonzero(partners != NO_PARTNER)
        if len(matched) == len(partners):
            return view.features, partners
        return view.features[rows_on(matched, view.features)], partners[matched]

    def _fusion(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Batch rows that fusion pulls, and the cluster each is pulled to."""
        towards = self.fused_with[self.labels[self.fused_modality][view.index]]
        chosen = np.flatnonzero(towards >= 0)
        return chosen, towards[chosen]
