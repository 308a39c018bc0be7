"""Pseudo labels of a whole modality, as every method makes them; what is unlike the usual in them: a stop with advice
where training cannot use them, or a note for the log."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tokenmatcher.contracts import EpochRecord, Modality, PseudoLabels
from tokenmatcher.errors import SettingError
from tokenmatcher.evaluation.diagnostics import clustering_agreement
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.machine import Machine
from tokenmatcher.mining.clusters import pseudo_labels
from tokenmatcher.mining.faiss_search import reason_for_cpu
from tokenmatcher.mining.knn import nearest
from tokenmatcher.recipe import ClusterConfig

FEWEST = 2  # clusters between which something can be told apart
SEARCHES = {"exact": "torch", "approximate": "ivf"}  # `neighbour_search`, as backend of `nearest`


def label_images(features: Tensor, config: ClusterConfig, machine: Machine) -> PseudoLabels:
    """Pseudo labels of (N, D) features; the processes of a team share the search for neighbours."""
    unit, count, team = F.normalize(features, dim=1), len(features), machine.team
    mine = torch.arange(count, device=features.device)[team.shard(count)]
    own = nearest(
        unit,
        max(config.k1, config.k2),
        rows=mine if len(mine) < count else None,
        backend=SEARCHES[config.neighbour_search],
        progress=machine.progress,
    )
    lists = team.all_gather(own[0], count), team.all_gather(own[1], count)
    return team.decide(
        lambda: pseudo_labels(
            features,
            k1=config.k1,
            k2=config.k2,
            eps=config.eps,
            min_samples=config.min_samples,
            neighbours=lists,
            progress=machine.progress,
        )
    )


def label_modalities(
    features: Mapping[Modality, Tensor],
    images: Mapping[Modality, ImageSet],
    clusters: Mapping[Modality, ClusterConfig],
    machine: Machine,
    record: EpochRecord,
    stage: str,
    *,
    people: Mapping[Modality, int],
    other_cameras: bool,
    k1_settings: Mapping[Modality, str] = dict.fromkeys(Modality, "k1"),
    fewest: Mapping[Modality, int] = dict.fromkeys(Modality, FEWEST),
) -> dict[Modality, PseudoLabels]:
    """Pseudo labels of both modalities, each alone, described in the record.

    Args:
        features: (N, D) of each, not normalised.
        stage: its name, for messages.
        people: pseudo identities of each in a batch; 0 where batches are not drawn from these labels.
        other_cameras: the pictures of a cluster are to be drawn from several cameras.
        k1_settings: the numbers that k1 comes from, for notes.
        fewest: clusters without which there is no training.

    Raises:
        SettingError: a modality has fewer.
    """
    labels = {}
    for m in Modality:
        labels[m] = label_images(features[m], clusters[m], machine)
        demand_clusters(labels[m], m, clusters[m], f"stage {stage} epoch {record.epoch}", fewest[m])
        record.labels[m.value] = described(labels[m], images[m].identities)
        record.notes += notes_on_labels(
            labels[m],
            m,
            k1=clusters[m].k1,
            k1_setting=k1_settings[m],
            people=people[m],
            cameras=images[m].cameras if other_cameras else None,
        )
        record.notes += note_on_search(features[m], m, clusters[m], machine)
    record.lap("cluster")
    return labels


def described(labels: PseudoLabels, identities: np.ndarray) -> dict[str, float]:
    """Clusters, outliers, and agreement with the true identities (N,), for the log."""
    agreement = clustering_agreement(labels, identities)
    return {"clusters": labels.num_clusters, "outliers": labels.num_outliers, **agreement}


def demand_clusters(
    found: PseudoLabels, modality: Modality, config: ClusterConfig, title: str, fewest: int = FEWEST
) -> None:
    """There must be two clusters at least, or nothing can be told apart; `fewest` 1: one is enough.

    Raises:
        SettingError: there are fewer; says what to change.
    """
    if found.num_clusters == 0:
        raise SettingError(
            f"{title}: all {len(found)} {modality} images are outliers; a larger {{eps}} than {config.eps} makes "
            f"clusters, a smaller {{min_samples}} than {config.min_samples} if there are fewer images of a person"
        )
    if found.num_clusters < fewest:
        raise SettingError(
            f"{title}: all {len(found) - found.num_outliers} {modality} images that are no outliers form one cluster; "
            f"a smaller {{eps}} than {config.eps} or {{k1}} than {config.k1} divides it, and another start if features "
            "have collapsed"
        )


def notes_on_labels(
    found: PseudoLabels,
    modality: Modality,
    *,
    k1: int,
    people: int,
    k1_setting: str = "k1",
    cameras: np.ndarray | None = None,
) -> list[str]:
    """What is unlike the usual in a labelling, and what is done then.

    Args:
        k1: neighbours that it was made with.
        people: places for clusters in a batch.
        k1_setting: the number that `k1` is.
        cameras: (N,) of its images, where the pictures of a cluster are to be drawn from several.
    """
    notes = []
    if len(found) < k1:
        notes.append(f"{modality}: {len(found)} images, fewer than {k1_setting} {k1}: all are near each other")
    if found.num_clusters < people:
        notes.append(f"{modality}: {found.num_clusters} clusters for {people} places in a batch: some come twice")
    if cameras is not None and len(np.unique(cameras)) == 1:
        notes.append(f"{modality}: one camera, from which all pictures of a cluster are drawn")
    return notes


def note_on_search(features: Tensor, modality: Modality, config: ClusterConfig, machine: Machine) -> list[str]:
    """A note where an approximate search of (N, D) features could not use the GPU."""
    if config.neighbour_search != "approximate" or machine.device.type != "cuda":
        return []
    reason = reason_for_cpu(features)
    return [f"{modality}: neighbours searched on the CPU, {reason}"] if reason else []
