"""Whose pictures a calibration measures: those whose people are known, or else clusters in place of people.

Legend: N pictures of a modality, T tokens, D token width.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tokenmatcher.cli import bars
from tokenmatcher.commands.testing import trial_of
from tokenmatcher.contracts import NO_PARTNER, OUTLIER, UNKNOWN, ImageRecord, Modality
from tokenmatcher.datasets import DATASETS, find_dataset
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.evaluation.evaluate import TEST_INTERPOLATION
from tokenmatcher.evaluation.threshold import Side
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.machine import Machine
from tokenmatcher.methods.labelling import demand_clusters, label_images
from tokenmatcher.mining.clusters import centroids
from tokenmatcher.mining.matchers.base import Clusters
from tokenmatcher.mining.matchers.greedy import match
from tokenmatcher.models.base import Network
from tokenmatcher.models.embedder import Embedder, extract
from tokenmatcher.recipe import Recipe, common_recipe

Records = Mapping[Modality, Sequence[ImageRecord]]
Cameras = frozenset[tuple[int, int]]


@dataclass(frozen=True)
class Measured:
    """Pictures of both modalities, and what they are.

    source: how it is known who is on them. certain: whether it is.
    same_place: cameras at one place.
    dataset: its name. trial: of a data set that has some.
    left_out: whether there are more pictures than were drawn.
    """

    sides: Mapping[Modality, Side]
    source: str
    certain: bool
    same_place: Cameras
    dataset: str
    trial: int | None
    left_out: bool


def sides_of(given: argparse.Namespace, content: Mapping[str, Any], network: Network) -> Measured:
    """The test images where they are there, else the training images; drawn where there are many.

    Raises:
        UserError: no such data set, trial, or pictures.
    """
    dataset = _dataset(given, content)
    if dataset.in_one_file and given.data_dir:
        raise SettingError(
            "{data_dir} {path}: {name} says itself where its pictures are", path=given.data_dir, name=dataset.title
        )
    data_dir = given.data_dir or dataset.default_dir
    if dataset.trials is None:
        trial = dataset.check_trial(given.trial)
    else:
        trial = trial_of(given.checkpoint, content, given.trial, dataset)
    machine = Machine.chosen(given.device, "fp32", progress=bars(given.no_progress))
    network, random = network.to(machine.device), np.random.default_rng(given.seed)

    def embed(modality: Modality, records: Sequence[ImageRecord]) -> Tensor:
        images = ImageSet.load(
            records,
            modality,
            given.store_dir or dataset.store_dir(data_dir),
            f"calibrate-{modality}" + ("" if trial is None else f"-trial{trial}"),
            height=network.config.height,
            width=network.config.width,
            interpolation=TEST_INTERPOLATION,
            progress=machine.progress,
        )
        return extract(Embedder(network, modality), images.store, machine)

    records, kind, same_place = _records(dataset, data_dir, trial)
    apart = not dataset.many_cameras
    if any(record.identity != UNKNOWN for of in records.values() for record in of):
        known = {m: [record for record in of if record.identity != UNKNOWN] for m, of in records.items()}
        drawn = {m: [of[row] for row in _drawn(len(of), given.images, random).tolist()] for m, of in known.items()}
        people = {m: np.array([record.identity for record in of], dtype=np.int64) for m, of in drawn.items()}
        features = {m: embed(m, of) for m, of in drawn.items()}
        return Measured(
            _sides(features, people, drawn, apart=apart),
            f"identities of the {kind} images",
            True,
            same_place,
            dataset.name,
            trial,
            any(len(drawn[m]) < len(known[m]) for m in Modality),
        )
    features = {m: embed(m, of) for m, of in records.items()}
    try:
        people = people_by_clusters(features, _recipe(given, content), network.parts, machine)
    except SettingError:  # its advice is for a run that is trained
        raise UserError(f"{given.checkpoint}: nobody knows who is on the pictures, and they do not cluster") from None
    rows = {m: np.flatnonzero(of != OUTLIER) for m, of in people.items()}
    left_out = any(len(of) > given.images for of in rows.values())
    rows = {m: of[_drawn(len(of), given.images, random)] for m, of in rows.items()}
    return Measured(
        _sides(
            {m: features[m][torch.from_numpy(of).to(machine.device)] for m, of in rows.items()},
            {m: people[m][of] for m, of in rows.items()},
            {m: [records[m][row] for row in of.tolist()] for m, of in rows.items()},
            apart=apart,
        ),
        f"pseudo labels of the {kind} images",
        False,
        same_place,
        dataset.name,
        trial,
        left_out,
    )


def people_by_clusters(
    features: Mapping[Modality, Tensor], recipe: Recipe, parts: int, machine: Machine
) -> dict[Modality, np.ndarray]:
    """(N,) whom each picture of (N, T*D) raw features shows: its cluster, in both modalities one number where the
    clusters are matched; OUTLIER where there is none.

    Raises:
        SettingError: the clusters of a modality cannot be told apart.
    """
    labels = {m: label_images(features[m], recipe.clusters, machine) for m in Modality}
    for m in Modality:
        demand_clusters(labels[m], m, recipe.clusters, "calibration")
    means = {m: centroids(features[m], labels[m]) for m in Modality}
    partners = match(Clusters(features, labels, means, parts, capacity=2))
    larger, smaller = partners.larger, partners.larger.other
    partner = partners.partner[larger]
    own = np.where(partner != NO_PARTNER, partner, labels[smaller].num_clusters + np.arange(len(partner)))
    found = labels[larger].labels
    return {smaller: labels[smaller].labels, larger: np.where(found == OUTLIER, OUTLIER, own[found])}


def _dataset(given: argparse.Namespace, content: Mapping[str, Any]) -> Dataset:
    name = given.dataset or content.get("dataset")
    if given.dataset is None and not any(kind.name == name for kind in DATASETS):
        raise SettingError(
            "{checkpoint} {path}: names no data set of ours ({name}); give {dataset}", path=given.checkpoint, name=name
        )
    return find_dataset(str(name))


def _recipe(given: argparse.Namespace, content: Mapping[str, Any]) -> Recipe:
    """How a run clustered, which its checkpoint knows."""
    if "recipe" not in content:
        raise UserError(f"{given.checkpoint}: does not say how to cluster, and nobody knows who is on the pictures")
    return common_recipe(content["recipe"])


def _records(dataset: Dataset, data_dir: Path, trial: int | None) -> tuple[Records, str, Cameras]:
    """Of both modalities; which they are; cameras that are at one place."""
    if not dataset.has_test(data_dir, trial):
        return dataset.training(data_dir, trial), "training", frozenset()
    benchmark = dataset.tested(data_dir, trial)
    records = {m: [record for record in benchmark.images if record.modality is m] for m in Modality}
    return records, "test", frozenset().union(*(protocol.excluded_cameras for protocol in benchmark.protocols))


def _drawn(count: int, most: int, random: np.random.Generator) -> np.ndarray:
    """Rows of `count` pictures: all, or `most` of them by chance, in order."""
    return np.arange(count) if count <= most else np.sort(random.choice(count, most, replace=False))


def _sides(
    features: Mapping[Modality, Tensor], people: Mapping[Modality, np.ndarray], records: Records, *, apart: bool
) -> dict[Modality, Side]:
    """People numbered over both modalities; features of unit length, on the CPU.

    Args:
        apart: each modality has one camera, which are two whatever their numbers (RegDB's are both 1).
    """
    shift = {Modality.VISIBLE: 0, Modality.INFRARED: 10**6 if apart else 0}
    names = np.unique(np.concatenate([people[m] for m in Modality]))
    return {
        m: Side(
            F.normalize(features[m], dim=1).cpu(),
            np.searchsorted(names, people[m]),
            np.array([record.camera for record in records[m]], dtype=np.int64) + shift[m],
        )
        for m in Modality
    }
