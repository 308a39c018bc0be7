"""The camera stage: people told apart within each camera alone (after CALR).

Legend: N images of a modality, C images of the camera, T tokens, D token width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import OUTLIER, EpochRecord, Modality, PseudoLabels
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.errors import SettingError
from tokenmatcher.images.batches import Batching
from tokenmatcher.machine import Machine
from tokenmatcher.methods.base import Images, Prepared, Stage
from tokenmatcher.methods.contrast import ContrastObjective
from tokenmatcher.methods.labelling import described, notes_on_labels
from tokenmatcher.methods.numbers import TokenMatcherRecipe
from tokenmatcher.methods.targets import ContrastTargets
from tokenmatcher.mining.clusters import centroids, cluster, silhouette
from tokenmatcher.schedules import cosine

NO_SILHOUETTE = -2.0  # below any


class LocalLabels:
    """People told apart within each camera.

    labels: (N,) of each modality, -1 where there is none, numbered anew in each camera; None: no camera was looked at.
    best: the silhouette of what is kept of the camera at hand.
    """

    def __init__(self, counts: Mapping[Modality, int]) -> None:
        self.counts = counts
        self.labels: dict[Modality, np.ndarray] | None = None
        self.best = NO_SILHOUETTE

    def begin(self, *, first: bool) -> None:
        """Another camera, or the first of all."""
        self.best = NO_SILHOUETTE
        if first or self.labels is None:
            self.labels = {m: np.full(count, OUTLIER) for m, count in self.counts.items()}

    def offer(self, modality: Modality, index: np.ndarray, found: PseudoLabels, score: float) -> None:
        """A labelling of a camera's images `index`; it is kept if no other had a better silhouette."""
        if score > self.best:
            assert self.labels is not None
            self.best = score
            self.labels[modality][index] = found.labels

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        labels = None if self.labels is None else {m.value: torch.from_numpy(self.labels[m]) for m in self.labels}
        return {"local_labels": labels, "silhouette": self.best}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned.

        Raises:
            ValueError: it does not fit the images; nothing is changed.
        """
        labels, best = state["local_labels"], state["silhouette"]
        if type(best) is not float or not abs(best) <= 2:
            raise ValueError("silhouette")
        if labels is not None:
            for m, count in self.counts.items():
                found = labels[m.value]
                if not isinstance(found, Tensor) or found.dtype != torch.int64 or found.shape != (count,):
                    raise ValueError(f"local labels of {m}")
                if count and int(found.min()) < OUTLIER:
                    raise ValueError(f"local labels of {m}")
            labels = {m: labels[m.value].numpy().copy() for m in self.counts}
        self.labels, self.best = labels, best


class OneCamera(Stage):
    """One camera's images, clustered and trained on alone, starting from stage 1's weights. The labelling with the best
    silhouette is kept in `local`, for stage 2's camera filter; the weights are not."""

    def __init__(
        self,
        recipe: TokenMatcherRecipe,
        dataset: Dataset,
        images: Images,
        machine: Machine,
        local: LocalLabels,
        modality: Modality,
        camera: int,
        *,
        first: bool,
    ) -> None:
        self.recipe, self.machine, self.local = recipe, machine, local
        self.modality, self.camera, self.first = modality, camera, first
        config = recipe.camera
        self.name, self.place = "camera", {"stage": "camera", "camera": camera}
        self.epochs = config.camera_epochs_visible if modality is Modality.VISIBLE else config.camera_epochs_infrared
        self.count, self.identities = len(images[modality]), images[modality].identities
        self.index = np.flatnonzero(images[modality].cameras == camera)
        self.images = {modality: self.index}
        self.start, self.keeps_weights = ("1", recipe.schedule.stage2_start), False
        self.rate_setting = "camera_lr"
        self.eps = eps_within(camera, config.camera_eps, dataset)
        self.batching = Batching(
            iters=config.camera_iters,
            identities={modality: config.camera_batch_size // recipe.data.num_instances},
            instances=recipe.data.num_instances,
            other_cameras=False,
            twins=False,
            jitter_plain=True,
        )

    def rate(self, epoch: int) -> float:
        config = self.recipe.camera
        return cosine(epoch, config.camera_schedule_epochs, config.camera_lr, config.camera_lr_min)

    def prepare(self, epoch: int, features: Mapping[Modality, Tensor], record: EpochRecord) -> Prepared | None:
        m, config, team = self.modality, self.recipe.camera, self.machine.team
        if epoch == 0:
            self.local.begin(first=self.first)
        found, score = team.decide(partial(self._label, features[m]))
        record.labels[m.value] = described(found, self.identities[self.index])
        record.facts["silhouette"] = score
        record.lap("cluster")
        if found.num_clusters < 2:
            record.notes.append(f"{'one' if found.num_clusters else 'no'} cluster: this camera is left as it is")
            return None
        record.notes += notes_on_labels(
            found, m, k1=config.camera_k1, k1_setting="camera_k1", people=self.batching.identities[m]
        )
        if epoch >= config.camera_keep_from:
            self.local.offer(m, self.index, found, score)
        labels = np.full(self.count, OUTLIER)
        labels[self.index] = found.labels
        targets = ContrastTargets({m: PseudoLabels(labels)}, {m: team.broadcast(centroids(features[m], found))})
        return Prepared(ContrastObjective(targets, self.recipe.losses), {m: labels})

    def _label(self, features: Tensor) -> tuple[PseudoLabels, float]:
        """The camera's labels and their silhouette."""
        config = self.recipe.camera
        found = cluster(
            features,
            k1=config.camera_k1,
            k2=config.camera_k2,
            eps=self.eps,
            min_samples=self.recipe.clusters.min_samples,
        )
        return found.labels, silhouette(found.similarity, found.labels)


def eps_within(camera: int, values: Sequence[float], dataset: Dataset) -> float:
    """The DBSCAN radius within a camera: the one value, or its own.

    Raises:
        SettingError: there are neither one value nor as many as the data set has cameras.
    """
    numbers = sorted({number for m in Modality for number in dataset.cameras[m]})
    if len(values) not in (1, len(numbers)):
        raise SettingError(
            f"{{camera_eps}} takes one value or {len(numbers)}, of cameras {numbers[0]} to {numbers[-1]}; "
            f"got {len(values)}"
        )
    return values[0] if len(values) == 1 else values[numbers.index(camera)]
