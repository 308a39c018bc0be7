"""The camera stage: people told apart within each camera alone (after CALR).

Starting each time from stage 1's weights, a camera's images are clustered and trained on for some epochs; its
labelling with the best silhouette is kept. Only these local labels are used afterwards, the weights are not.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import OUTLIER, Modality, PseudoLabels
from tokenmatcher.data.batches import plan_epoch
from tokenmatcher.mining.clusters import centroids, cluster, silhouette
from tokenmatcher.recipe import Recipe
from tokenmatcher.training.degenerate import notes_on_labels
from tokenmatcher.training.engine import cosine
from tokenmatcher.training.epoch import close_epoch, train_planned
from tokenmatcher.training.objectives import ContrastObjective
from tokenmatcher.training.run import LAST, Clock, Run
from tokenmatcher.training.targets import ContrastTargets


def camera_stage(run: Run) -> None:
    """Fill `run.local_labels`; leaves stage 1's weights in the model."""
    places = [(m, int(camera)) for m in Modality for camera in np.unique(run.sets[m].cameras)]
    resumed = run.take_up("camera")
    if resumed is None:
        run.local_labels = {m: np.full(len(run.sets[m]), OUTLIER) for m in Modality}
        resumed = {"camera": 0, "start": run.stage_one_weights(), **_FRESH}
    start: dict[str, Tensor] = resumed["start"]
    for place in range(resumed["camera"], len(places)):
        _one_camera(run, places, place, resumed)
        resumed = {"camera": place + 1, "start": start, **_FRESH}
    run.model.load_state_dict(start)
    _save(run, resumed)


_FRESH: dict[str, Any] = {"epoch": 0, "optimizer": None, "best": -2.0}


def _save(run: Run, state: dict[str, Any]) -> None:
    note = f"camera stage, {state['camera']} cameras done"
    run.save(run.folder_of("camera") / LAST, note, state={"stage": "camera", **state})
    close_epoch(run, run.folder_of("camera"))


def _one_camera(run: Run, places: list[tuple[Modality, int]], place: int, resumed: dict[str, Any]) -> None:
    """Train on one camera from `resumed` on, keeping its best labels in `run.local_labels`."""
    (modality, camera), recipe = places[place], run.recipe
    config = recipe.camera
    assert run.local_labels is not None
    index = np.flatnonzero(run.sets[modality].cameras == camera)
    epochs = config.camera_epochs_visible if modality is Modality.VISIBLE else config.camera_epochs_infrared
    if resumed["epoch"] == 0:
        run.model.load_state_dict(resumed["start"])
    optimizer, best = run.optimizer(resumed["optimizer"]), resumed["best"]
    for epoch in range(resumed["epoch"], epochs):
        clock = Clock()
        entry: dict[str, Any] = {"stage": "camera", "camera": camera, "epoch": epoch, "seconds": clock.seconds}
        features = run.extract(modality, index) if epoch else run.at_start(modality)[torch.from_numpy(index)]
        clock.lap("extract")
        found, score = run.team.decide(partial(_label, features, camera, recipe))
        entry |= {"labels": {modality.value: run.describe(found, modality, index)}, "silhouette": score}
        clock.lap("cluster")
        if found.num_clusters < 2:
            run.log.epoch({**entry, "notes": [f"{found.num_clusters} clusters: this camera is left as it is"]})
            return
        people = config.camera_batch_size // recipe.data.num_instances
        entry["notes"] = notes_on_labels(found, modality, k1=config.camera_k1, people=people)
        if epoch >= config.camera_keep_from and score > best:
            best = score
            run.local_labels[modality][index] = found.labels
        labels = np.full(len(run.sets[modality]), OUTLIER)
        labels[index] = found.labels
        targets = ContrastTargets(
            {modality: PseudoLabels(labels)}, {modality: run.team.same(centroids(features, found))}
        )
        plan = plan_epoch(
            labels,
            run.sets[modality].cameras,
            iters=config.camera_iters,
            identities=people,
            instances=recipe.data.num_instances,
            rng=run.random.order,
            other_cameras=False,
        )
        rate = cosine(epoch, config.camera_schedule_epochs, config.camera_lr, config.camera_lr_min)
        result = train_planned(
            run,
            ContrastObjective(targets, recipe.losses),
            {modality: plan},
            optimizer,
            rate,
            place={"stage": "camera", "epoch": epoch, "camera": camera},
            twins=False,
            jitter_plain=True,
        )
        clock.lap("train")
        entry |= {"lr": rate, **asdict(result)}
        run.log.epoch(entry)
        state = {"camera": place, "start": resumed["start"], "epoch": epoch + 1, "best": best}
        _save(run, {**state, "optimizer": optimizer.state_dict()})


def _label(features: Tensor, camera: int, recipe: Recipe) -> tuple[PseudoLabels, float]:
    """One camera's labels and their silhouette."""
    config = recipe.camera
    found = cluster(
        features,
        k1=config.camera_k1,
        k2=config.camera_k2,
        eps=config.camera_eps[camera - 1],
        min_samples=recipe.clusters.min_samples,
    )
    return found.labels, silhouette(found.similarity, found.labels)
