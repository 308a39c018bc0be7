"""The camera stage: people told apart within each camera alone (after CALR).

Legend: N images of a modality, C images of the camera, T tokens, D token width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from tokenmatcher.contracts import OUTLIER, EpochRecord, Modality, PseudoLabels
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.errors import SettingError
from tokenmatcher.images.batches import Batching
from tokenmatcher.methods.base import Prepared, Stage
from tokenmatcher.methods.contrast import ContrastObjective, ContrastTargets
from tokenmatcher.methods.labelling import described, notes_on_labels
from tokenmatcher.mining.clusters import centroids, cluster, silhouette
from tokenmatcher.schedules import cosine

if TYPE_CHECKING:
    from tokenmatcher.methods.tokenmatcher import TokenMatcher


class OneCamera(Stage):
    """One camera's images, clustered and trained on alone, starting from stage 1's weights. The labelling with the best
    silhouette is kept, for stage 2's camera filter; the weights are not."""

    def __init__(self, method: TokenMatcher, modality: Modality, camera: int, *, first: bool) -> None:
        self.method, self.modality, self.camera, self.first = method, modality, camera, first
        recipe, config = method.recipe, method.recipe.camera
        self.name, self.place = "camera", {"stage": "camera", "camera": camera}
        self.epochs = config.camera_epochs_visible if modality is Modality.VISIBLE else config.camera_epochs_infrared
        self.index = np.flatnonzero(method.images[modality].cameras == camera)
        self.images = {modality: self.index}
        self.start, self.keeps_weights = ("1", recipe.schedule.stage2_start), False
        self.rate_setting = "camera_lr"
        self.eps = eps_within(camera, config.camera_eps, method.dataset)
        self.batching = Batching(
            iters=config.camera_iters,
            identities={modality: config.camera_batch_size // recipe.data.num_instances},
            instances=recipe.data.num_instances,
            other_cameras=False,
            twins=False,
            jitter_plain=True,
        )

    def rate(self, epoch: int) -> float:
        config = self.method.recipe.camera
        return cosine(epoch, config.camera_schedule_epochs, config.camera_lr, config.camera_lr_min)

    def prepare(self, epoch: int, features: Mapping[Modality, Tensor], record: EpochRecord) -> Prepared | None:
        method, m, config = self.method, self.modality, self.method.recipe.camera
        if epoch == 0:
            method.best_silhouette = -2.0
        if method.local_labels is None or (self.first and epoch == 0):
            method.local_labels = {m: np.full(len(method.images[m]), OUTLIER) for m in Modality}
        own = features[m]
        found, score = method.machine.team.decide(partial(self._label, own))
        record.labels[m.value] = described(found, method.images[m].identities[self.index])
        record.facts["silhouette"] = score
        record.lap("cluster")
        if found.num_clusters < 2:
            record.notes.append(f"{found.num_clusters} clusters: this camera is left as it is")
            return None
        record.notes += notes_on_labels(found, m, k1=config.camera_k1, people=self.batching.identities[m])
        if epoch >= config.camera_keep_from and score > method.best_silhouette:
            method.best_silhouette = score
            method.local_labels[m][self.index] = found.labels
        labels = np.full(len(method.images[m]), OUTLIER)
        labels[self.index] = found.labels
        targets = ContrastTargets({m: PseudoLabels(labels)}, {m: method.machine.team.broadcast(centroids(own, found))})
        return Prepared(ContrastObjective(targets, method.recipe.losses), {m: labels})

    def _label(self, features: Tensor) -> tuple[PseudoLabels, float]:
        """The camera's labels and their silhouette."""
        recipe, config = self.method.recipe, self.method.recipe.camera
        found = cluster(
            features,
            k1=config.camera_k1,
            k2=config.camera_k2,
            eps=self.eps,
            min_samples=recipe.clusters.min_samples,
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
