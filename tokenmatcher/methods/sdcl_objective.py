"""What a step of SDCL minimises and remembers.

Legend: N images of a modality, B images of it in a batch, K clusters, D width of a branch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import Modality
from tokenmatcher.losses import neighbourhood_contrast, similarities
from tokenmatcher.memory import ClusterMemory, InstanceMemory, Memory, copied
from tokenmatcher.methods.base import Views
from tokenmatcher.methods.contrast import rows_on
from tokenmatcher.mining.neighbours import agreed_candidates
from tokenmatcher.presets.sdcl import SDCLMiningConfig, SDCLRecipe

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED
BRANCHES = ("deep", "shallow")
Pair = tuple[Modality, Modality]


def ways_of(epoch: int, config: SDCLMiningConfig) -> tuple[Pair, ...]:
    """Anchor and target modalities of the neighbours of an epoch, counted over both stages."""
    within = ((VISIBLE, VISIBLE), (INFRARED, INFRARED)) if epoch >= config.within_from else ()
    across = (((VISIBLE, INFRARED), (INFRARED, VISIBLE))[epoch % 2],) if epoch >= config.across_from else ()
    return (*within, *across)


def name_of(way: Pair) -> str:
    """For the log: "vis-inf"."""
    return "-".join(m.value[:3] for m in way)


@dataclass(frozen=True, eq=False)
class SDCLTargets:
    """Of an epoch.

    labels: (N,) cluster of each image, -1 for none.
    memories: that a modality's images are scored against, deep and shallow; in stage 2 both modalities' are the same.
    instances: (N, D) unit features of all images, deep and shallow.
    ways: of the neighbours.
    """

    labels: Mapping[Modality, np.ndarray]
    memories: Mapping[Modality, tuple[ClusterMemory, ClusterMemory]]
    instances: Mapping[Modality, tuple[Tensor, ...]]
    ways: tuple[Pair, ...]


class SDCLObjective:
    """The sum of `methods.sdcl`.

    With `sequential`, gradients are the published program's, which writes memories before the backward pass is done:
    of a term the values are of the memory as it was, the gradient's vectors those of the memory as it is by then. Of
    the instance memories these are the vectors after this step's writes; of a cluster memory that both modalities
    share, infrared images' are those that this step's visible images have just been written into.
    """

    def __init__(self, targets: SDCLTargets, recipe: SDCLRecipe, which: int) -> None:
        self.config, self.ratio = recipe.losses, recipe.mining.neighbour_ratio
        self.labels, self.memories, self.ways = targets.labels, targets.memories, targets.ways
        self.instances = {
            m: tuple(InstanceMemory(part, self.config.instance_momentum) for part in targets.instances[m])
            for m in Modality
        }
        weights = {
            (VISIBLE, VISIBLE): self.config.lambda_within[which],
            (INFRARED, INFRARED): self.config.lambda_within[which],
            (VISIBLE, INFRARED): self.config.lambda_to_infrared[which],
            (INFRARED, VISIBLE): self.config.lambda_to_visible[which],
        }
        shares = dict(zip(BRANCHES, (1.0, self.config.shallow_share), strict=True))
        self.weights = {
            **{f"{m}_{branch}": 1.0 for m in Modality for branch in BRANCHES},
            **{f"{name_of(way)}_{branch}": weights[way] * shares[branch] for way in self.ways for branch in BRANCHES},
        }

    def all_memories(self) -> Sequence[Memory]:
        clusters = {id(memory): memory for pair in self.memories.values() for memory in pair}  # once where shared
        return [*clusters.values(), *(memory for pair in self.instances.values() for memory in pair)]

    def losses(self, views: Views) -> dict[str, Tensor]:
        features = {m: view.features.chunk(2, dim=1) for m, view in views.items()}
        index = {m: rows_on(view.index, view.features) for m, view in views.items()}
        moved = self._moved(views) if self.config.sequential else {}
        terms = {}
        for m, view in views.items():
            labels = rows_on(self.labels[m][view.index], view.features)
            for place, branch in enumerate(BRANCHES):
                scores = similarities(features[m][place], self.memories[m][place].vectors, moved.get((m, place)))
                terms[f"{m}_{branch}"] = torch.nn.functional.cross_entropy(scores / self.config.temperature, labels)
        for anchor, target in self.ways:
            targets = [memory.vectors for memory in self.instances[target]]
            rows = [memory.vectors[index[anchor]] for memory in self.instances[anchor]]
            chosen = agreed_candidates(rows, targets, self.ratio)
            for place, branch in enumerate(BRANCHES):
                terms[f"{name_of((anchor, target))}_{branch}"] = neighbourhood_contrast(
                    features[anchor][place],
                    targets[place],
                    chosen,
                    self.config.temperature,
                    moved=moved.get(("instances", target, place)),
                )
        return terms

    def update(self, views: Views) -> None:
        """By visible images, each as itself and as its twin, then by infrared ones."""
        for m in (VISIBLE, INFRARED):
            view = views[m]
            for part, memory in zip(view.features.chunk(2, dim=1), self.memories[m], strict=True):
                memory.update(part, self.labels[m][view.index])
            for part, instances in zip(view.features.chunk(2, dim=1), self.instances[m], strict=True):
                instances.update(part, view.index, unit=self.config.instance_unit)

    def _moved(self, views: Views) -> dict[tuple[object, ...], Tensor]:
        """Memories as the published program's backward pass finds them, of those that its writes have reached."""
        found: dict[tuple[object, ...], Tensor] = {}
        for m, view in views.items():
            for place, part in enumerate(view.features.chunk(2, dim=1)):
                later = copied(self.instances[m][place])
                later.update(part, view.index, unit=self.config.instance_unit)
                found["instances", m, place] = later.vectors
        view = views[VISIBLE]
        for place, part in enumerate(view.features.chunk(2, dim=1)):
            shared = self.memories[VISIBLE][place]
            if shared is self.memories[INFRARED][place]:
                written = copied(shared)
                written.update(part, self.labels[VISIBLE][view.index])
                found[INFRARED, place] = written.vectors
        return found
