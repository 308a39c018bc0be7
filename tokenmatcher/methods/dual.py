"""Augmented dual-contrastive learning: stage 1 of ADCA and of PGM, and what their second stages are made of.

    1       each modality alone:  L = L_visible + L_infrared

    L_visible, L_infrared   an image against the memory of its modality's clusters; a visible image comes twice, plain
                            and as its one-channel twin

Legend: N images of a modality, B images of it in a batch, K its clusters, D feature width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tokenmatcher.contracts import ClusterMatch, EpochRecord, Modality, PseudoLabels
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.images.batches import Batching
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.methods.base import Method, Prepared, Stage, Views
from tokenmatcher.methods.contrast import contrast_targets, own_contrast
from tokenmatcher.methods.facts import match_examples, match_facts
from tokenmatcher.methods.labelling import label_modalities
from tokenmatcher.methods.targets import ContrastTargets
from tokenmatcher.mining.matchers.base import Clusters, Matcher, ask
from tokenmatcher.models.networks import NETWORKS
from tokenmatcher.presets.dual import DualRecipe
from tokenmatcher.schedules import rate_of

WRITES = {"each": ClusterMemory.update, "hard": ClusterMemory.update_hardest}  # by `memory_update`


OTHER_MATCHER = "clusters are matched by another matcher than the published one"


class DualObjective:
    """L = L_visible + L_infrared.

    Args:
        memories: of each modality's clusters.
        temperature: of the softmax.
        write: how a batch goes into a memory, a name of WRITES.
    """

    def __init__(
        self,
        labels: Mapping[Modality, PseudoLabels],
        memories: Mapping[Modality, ClusterMemory],
        *,
        temperature: float,
        write: str,
    ) -> None:
        self.labels = {m: found.labels for m, found in labels.items()}
        self.memories, self.temperature, self.write = memories, temperature, WRITES[write]
        self.weights = {m.value: 1.0 for m in Modality}

    def all_memories(self) -> list[ClusterMemory]:
        return list(self.memories.values())

    def losses(self, views: Views) -> dict[str, Tensor]:
        return own_contrast(views, self.labels, self.memories, self.temperature)

    def update(self, views: Views) -> None:
        for m, view in views.items():
            self.write(self.memories[m], view.features, self.labels[m][view.index])


class DualMethod(Method):
    """Two stages; a subclass says what the second one is."""

    recipe: DualRecipe
    matcher: Matcher

    @classmethod
    def stage_names(cls, dataset: Dataset) -> tuple[str, ...]:
        return "1", "2"

    @abstractmethod
    def stages(self) -> list[Stage]: ...

    @classmethod
    def departures(cls, recipe: Any, dataset: Dataset, matcher: Matcher | None) -> list[str]:
        last = "stage 2 starts from stage 1's last weights, not the best on the test set"
        return [
            "where there are fewer clusters than places in a batch, some come twice",
            *([last] if recipe.schedule.stage2_start == "last" else []),
        ]

    def labels(self, features: Mapping[Modality, Tensor], stage: str, record: EpochRecord) -> ContrastTargets:
        """Pseudo labels of both modalities, described in the record, and centroids.

        Raises:
            SettingError: a modality has fewer than two clusters.
        """
        recipe = self.recipe
        labels = label_modalities(
            features,
            self.images,
            dict.fromkeys(Modality, recipe.clusters),
            self.machine,
            record,
            stage,
            people={m: recipe.data.people(m) for m in Modality},
            other_cameras=self.dataset.many_cameras,
        )
        return contrast_targets(features, labels, self.machine.team)

    def match(self, features: Mapping[Modality, Tensor], targets: ContrastTargets, record: EpochRecord) -> ClusterMatch:
        """Which visible cluster is which infrared one, described in the record."""
        config = self.recipe.matching
        clusters = Clusters(
            features,
            targets.labels,
            targets.centroids,
            NETWORKS[self.recipe.model.network].parts_of(self.recipe.model),
            capacity=config.match_capacity,
            threshold=config.match_threshold,
            ranked=config.match_ranked,
            unit_views=self.recipe.model.unit_views,
        )
        match = self.machine.team.decide(lambda: ask(self.matcher, clusters))
        identities = {m: self.images[m].identities for m in Modality}
        record.facts["match"] = match_facts(match, targets.labels, identities)
        record.notes += match.notes
        record.examples = {"matches": match_examples(match, targets.labels)}
        return match

    def memories(self, targets: ContrastTargets) -> dict[Modality, ClusterMemory]:
        return {m: ClusterMemory(targets.centroids[m], self.recipe.losses.momentum) for m in Modality}


class DualStage(Stage):
    """What both stages have in common; `which`, 0 or 1, picks from the recipe's pairs of numbers."""

    tested_by = "mAP"

    def __init__(self, method: DualMethod, which: int, *, jitter_infrared: bool = False) -> None:
        self.method, self.which, recipe = method, which, method.recipe
        self.name = f"{which + 1}"
        self.place = {"stage": self.name}
        self.epochs, self.images = recipe.schedule.epochs[which], dict.fromkeys(Modality)
        self.write = recipe.losses.memory_update[which]
        self.batching = Batching(
            iters=recipe.schedule.iters[which],
            identities={m: recipe.data.people(m) for m in Modality},
            instances=recipe.data.num_instances,
            other_cameras=True,
            twins=True,
            jitter_plain=recipe.data.jitter_everywhere,
            jitter_infrared=recipe.data.jitter_everywhere or jitter_infrared,
        )
        if which == 1:
            self.start = ("1", recipe.schedule.stage2_start)

    def rate(self, epoch: int) -> float:
        return rate_of(self.method.recipe.schedule, self.which, epoch)


class Separate(DualStage):
    """Stage 1."""

    def __init__(self, method: DualMethod, *, jitter_infrared: bool = False) -> None:
        super().__init__(method, 0, jitter_infrared=jitter_infrared)

    def prepare(self, epoch: int, features: Mapping[Modality, Tensor], record: EpochRecord) -> Prepared:
        targets = self.method.labels(features, self.name, record)
        record.lap("mine")
        return prepared(
            targets,
            DualObjective(
                targets.labels,
                self.method.memories(targets),
                temperature=self.method.recipe.losses.temperature,
                write=self.write,
            ),
        )


def prepared(targets: ContrastTargets, objective: DualObjective) -> Prepared:
    """Batches are drawn from both modalities' labels."""
    return Prepared(objective, {m: found.labels for m, found in targets.labels.items()})
