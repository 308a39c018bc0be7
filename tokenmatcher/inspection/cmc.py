"""CMC curves of a model, trial by trial, and of each pair of cameras alone.

Sizes: N images of a benchmark, R ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tokenmatcher.datasets.protocols import Benchmark, Protocol, Trial
from tokenmatcher.evaluation.metrics import Scores, cross_modality_scores, mean_scores


@dataclass(frozen=True)
class CameraPair:
    """Queries by one camera ranking the images of another alone. queries: how many have a match there, the mean over
    the trials."""

    query: int
    gallery: int
    scores: Scores
    queries: float


def trial_scores(benchmark: Benchmark, protocol: Protocol, features: Tensor) -> list[Scores]:
    """Of every trial of a protocol.

    Args:
        features: (N, D) unit features of the benchmark's images.
    """
    return [_scored(benchmark, protocol, trial.query, trial.gallery, features) for trial in protocol.trials]


def camera_pairs(benchmark: Benchmark, protocol: Protocol, features: Tensor) -> list[CameraPair]:
    """Of every query camera with every gallery camera that it sees; pairs without any match are left out."""
    cameras = benchmark.cameras
    seen = sorted(
        {
            (int(q), int(g))
            for trial in protocol.trials
            for q in np.unique(cameras[trial.query])
            for g in np.unique(cameras[trial.gallery])
        }
        - set(protocol.excluded_cameras)
    )
    found = []
    for query_camera, gallery_camera in seen:
        if protocol.own_camera_excluded and query_camera == gallery_camera:
            continue
        scores, counts = [], []
        for trial in protocol.trials:
            query = trial.query[cameras[trial.query] == query_camera]
            gallery = trial.gallery[cameras[trial.gallery] == gallery_camera]
            matched = int(np.isin(benchmark.identities[query], benchmark.identities[gallery]).sum())
            if matched:
                scores.append(_scored(benchmark, protocol, query, gallery, features))
                counts.append(matched)
        if scores:
            found.append(CameraPair(query_camera, gallery_camera, mean_scores(scores), float(np.mean(counts))))
    return found


def by_direction(benchmark: Benchmark) -> dict[str, tuple[Protocol, Trial]]:
    """The first protocol of each direction ("infrared-to-visible") and its first trial."""
    found: dict[str, tuple[Protocol, Trial]] = {}
    for protocol in benchmark.protocols:
        trial = protocol.trials[0]
        query = benchmark.images[int(trial.query[0])].modality
        found.setdefault(f"{query}-to-{query.other}", (protocol, trial))
    return found


def _scored(
    benchmark: Benchmark, protocol: Protocol, query: np.ndarray, gallery: np.ndarray, features: Tensor
) -> Scores:
    return cross_modality_scores(
        features[query.tolist()] @ features[gallery.tolist()].T,
        benchmark.identities[query],
        benchmark.identities[gallery],
        benchmark.cameras[query],
        benchmark.cameras[gallery],
        excluded_cameras=protocol.excluded_cameras,
        own_camera_excluded=protocol.own_camera_excluded,
        distinct_identities=protocol.distinct_identities,
    )
