"""Which images make each batch of an epoch, and the batches themselves.

Legend: N images, P identities and S instances of each in a batch of P*S, I iterations, B images of a modality.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import OUTLIER, Modality
from tokenmatcher.images.augment import Augmenter, apply
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.machine import Machine


@dataclass(frozen=True, eq=False)
class Batch:
    """A step's images.

    images: (B, 3, H, W) float32, augmented; where several processes share the batch, this one's part of it.
    index: (B,) the image each came from, of the whole batch.
    depth_draws: (R, B) for the backbone's stochastic depth, modalities one after the other, this process's part.
    """

    images: dict[Modality, Tensor]
    index: dict[Modality, np.ndarray]
    depth_draws: Tensor | None = None


@dataclass(frozen=True)
class Batching:
    """What the batches of a stage are made of.

    iters: steps an epoch.
    identities: pseudo identities of each modality in a batch.
    instances: images of each.
    other_cameras: draw the instances of an identity from cameras other than the first one's, where it has any.
    twins: give each visible image a one-channel twin, behind all the plain copies.
    jitter_plain: jitter also the plain visible copies.
    jitter_infrared: jitter the infrared images; None: as the plain visible ones.
    """

    iters: int
    identities: Mapping[Modality, int]
    instances: int
    other_cameras: bool
    twins: bool
    jitter_plain: bool
    jitter_infrared: bool | None = None

    def images(self, modality: Modality) -> int:
        """Images of a modality in a batch, twins among them."""
        doubled = 2 if self.twins and modality is Modality.VISIBLE else 1
        return self.identities[modality] * self.instances * doubled


def plan_epoch(
    labels: np.ndarray,
    cameras: np.ndarray,
    *,
    iters: int,
    identities: int,
    instances: int,
    rng: np.random.Generator,
    other_cameras: bool,
) -> np.ndarray:
    """(I, P*S) int64 image indices, the S instances of an identity side by side.

    Pseudo identities come in random order. A batch that the order's end would leave incomplete is dropped and
    a new order begins, so none stands twice in a batch (unless there are fewer than P: then each comes once
    before any comes again). Of each, one image is drawn, then S-1 more: with `other_cameras` from cameras other
    than the first one's where it has any, else from its other images; with replacement where these are fewer
    than S, so also where there are exactly S-1, as published.

    Args:
        labels: (N,) pseudo label, -1 left out.
        cameras: (N,) camera of each image.

    Raises:
        ValueError: no image has a label.
    """
    members = np.flatnonzero(labels != OUTLIER)
    if members.size == 0:
        raise ValueError("no image has a pseudo label")
    members = members[np.argsort(labels[members], kind="stable")]
    groups = np.split(members, np.flatnonzero(np.diff(labels[members])) + 1)
    needed = iters * identities
    whole = len(groups) // identities * identities or len(groups)
    rounds = -(-needed // whole)
    stream = np.concatenate([rng.permutation(len(groups))[:whole] for _ in range(rounds)])[:needed]
    drawn = [_draw(groups[identity], cameras, instances, rng, other_cameras) for identity in stream]
    return np.stack(drawn).reshape(iters, identities * instances)


def _draw(
    group: np.ndarray, cameras: np.ndarray, instances: int, rng: np.random.Generator, other_cameras: bool
) -> np.ndarray:
    first = group[rng.integers(group.size)]
    pool = group[cameras[group] != cameras[first]] if other_cameras else group[:0]
    if pool.size == 0:
        pool = group[group != first]
    if pool.size == 0:
        pool = group
    rest = rng.choice(pool, size=instances - 1, replace=pool.size < instances)
    return np.concatenate([[first], rest])


def plan_batches(
    labels: Mapping[Modality, np.ndarray],
    sets: Mapping[Modality, ImageSet],
    batching: Batching,
    rng: np.random.Generator,
) -> dict[Modality, np.ndarray]:
    """(I, P*S) of every modality that has labels, see `plan_epoch`."""
    return {
        modality: plan_epoch(
            found,
            sets[modality].cameras,
            iters=batching.iters,
            identities=batching.identities[modality],
            instances=batching.instances,
            rng=rng,
            other_cameras=batching.other_cameras,
        )
        for modality, found in labels.items()
    }


def make_batches(
    sets: Mapping[Modality, ImageSet],
    plans: dict[Modality, np.ndarray],
    augmenter: Augmenter,
    batching: Batching,
    machine: Machine,
    *,
    depth_branches: int = 0,
) -> Iterator[Batch]:
    """The batches of an epoch, in order. Processes that share them all draw for the whole of each.

    Args:
        plans: (I, B) of each modality, from `plan_batches`.
        depth_branches: R, residual branches with stochastic depth.
    """
    for rows in zip(*plans.values(), strict=True):
        images: dict[Modality, Tensor] = {}
        index: dict[Modality, np.ndarray] = {}
        depth: list[Tensor] = []
        for modality, chosen in zip(plans, rows, strict=True):
            count = len(chosen)
            if modality is Modality.INFRARED:
                jitter = batching.jitter_plain if batching.jitter_infrared is None else batching.jitter_infrared
                parameters = augmenter.infrared(count, jitter=jitter, jitter_plain=batching.jitter_plain)
            elif batching.twins:
                parameters = augmenter.visible_twins(count, jitter_plain=batching.jitter_plain)
                chosen = np.concatenate([chosen, chosen])
            else:
                parameters = augmenter.visible(count, jitter=batching.jitter_plain)
            part = machine.team.shard(len(chosen))
            pixels = sets[modality].store.batch(chosen[part], machine.device)
            images[modality] = apply(pixels, parameters.part(part), augmenter.config)
            index[modality] = chosen
            depth.append(torch.rand(depth_branches, len(chosen), generator=augmenter.generator)[:, part])
        yield Batch(images, index, torch.cat(depth, dim=1))
