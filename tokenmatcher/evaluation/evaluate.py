"""A model through a data set's test protocols.

Legend: N images of the benchmark, T tokens, D token width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.protocols import Benchmark, Protocol
from tokenmatcher.evaluation.metrics import cross_modality_scores, mean_scores
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.machine import Machine
from tokenmatcher.models.base import Network
from tokenmatcher.models.embedder import Embedder, extract

TEST_INTERPOLATION = "lanczos"


class Evaluator:
    """Scores a model on a benchmark; each image is decoded once for all calls and embedded once a call."""

    def __init__(
        self,
        benchmark: Benchmark,
        machine: Machine,
        *,
        height: int,
        width: int,
        store_dir: Path,
        suffix: str = "",
    ) -> None:
        """`suffix` tells the stores of splits apart that lie in one `store_dir`."""
        self.benchmark, self.machine = benchmark, machine
        self.rows = {
            modality: np.flatnonzero([record.modality is modality for record in benchmark.images])
            for modality in Modality
        }
        self.sets = {
            modality: ImageSet.load(
                [benchmark.images[row] for row in rows],
                modality,
                store_dir,
                f"test-{modality}{suffix}",
                height=height,
                width=width,
                interpolation=TEST_INTERPOLATION,
                progress=machine.progress,
            )
            for modality, rows in self.rows.items()
        }

    def features(self, network: Network) -> Tensor:
        """(N, T*D) unit features of the benchmark's images, on the CPU."""
        found = {}
        for modality, images in self.sets.items():
            found[modality] = extract(Embedder(network, modality, unit=True), images.store, self.machine).cpu()
        everything = torch.empty(len(self.benchmark.images), found[Modality.VISIBLE].shape[1])
        for modality, rows in self.rows.items():
            everything[torch.from_numpy(rows)] = found[modality]
        return everything

    def __call__(self, network: Network) -> dict[str, dict[str, Any]]:
        """By protocol: rank1, rank5, rank10, rank20, mAP, mINP as fractions, means over the `trials` beside them."""
        features = self.features(network)
        return {protocol.name: self._score(protocol, features) for protocol in self.benchmark.protocols}

    def _score(self, protocol: Protocol, features: Tensor) -> dict[str, Any]:
        identities, cameras = self.benchmark.identities, self.benchmark.cameras
        trials = [
            cross_modality_scores(
                features[torch.from_numpy(trial.query.copy())] @ features[torch.from_numpy(trial.gallery.copy())].T,
                identities[trial.query],
                identities[trial.gallery],
                cameras[trial.query],
                cameras[trial.gallery],
                excluded_cameras=protocol.excluded_cameras,
                own_camera_excluded=protocol.own_camera_excluded,
                distinct_identities=protocol.distinct_identities,
            )
            for trial in protocol.trials
        ]
        return {**mean_scores(trials).to_dict(), "trials": [trial.to_dict() for trial in trials]}
