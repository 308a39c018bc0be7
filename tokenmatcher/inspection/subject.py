"""A run's model and the pictures it is looked at with.

Legend: N images, T tokens, D token width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.datasets.protocols import Benchmark
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.inspection.folder import LoggedRun
from tokenmatcher.machine import Machine
from tokenmatcher.models.base import Network
from tokenmatcher.models.embedder import Embedder, extract
from tokenmatcher.models.files import load_file
from tokenmatcher.models.networks import build_network
from tokenmatcher.models.weights import build_model
from tokenmatcher.recipe import Recipe

RANDOM_START = "none"


@dataclass(eq=False)
class Subject:
    """A run's model on its data set.

    path: of the checkpoint. content: what it holds.
    start: the network that training began with; None: it is not there.
    training: the images that the run trained on. index: (N,) rows of these that are looked at.
    benchmark, evaluator: None: there is no test.
    """

    run: LoggedRun
    dataset: Dataset
    data_dir: Path
    path: Path
    content: Mapping[str, Any]
    network: Network
    recipe: Recipe
    machine: Machine
    training: Mapping[Modality, ImageSet]
    index: Mapping[Modality, np.ndarray]
    start: Network | None = None
    start_note: str = ""
    benchmark: Benchmark | None = None
    evaluator: Evaluator | None = None

    @property
    def note(self) -> str:
        """What the checkpoint says it is."""
        return str(self.content.get("note", self.path.name))

    def training_records(self) -> dict[Modality, list[ImageRecord]]:
        """Of the rows `index`."""
        found = {}
        for m, images in self.training.items():
            columns = (images.paths, images.cameras.tolist(), images.identities.tolist())
            found[m] = [
                ImageRecord(columns[0][row], m, columns[1][row], columns[2][row]) for row in self.index[m].tolist()
            ]
        return found

    def training_features(self, network: Network) -> dict[Modality, Tensor]:
        """(N, T*D) raw features of the rows `index`, as clustering sees them, on the CPU."""
        return {
            m: extract(Embedder(network, m), images.clustered, self.machine, index=self.index[m]).cpu()
            for m, images in self.training.items()
        }

    def test_features(self, network: Network) -> Tensor:
        """(N, T*D) unit features of the benchmark's images."""
        assert self.evaluator is not None
        return self.evaluator.features(network)

    def test_records(self) -> dict[Modality, tuple[np.ndarray, list[ImageRecord]]]:
        """Rows of the benchmark's images of each modality, and their records."""
        assert self.benchmark is not None
        images = self.benchmark.images
        rows = {m: np.array([n for n, one in enumerate(images) if one.modality is m], dtype=np.int64) for m in Modality}
        return {m: (own, [images[row] for row in own.tolist()]) for m, own in rows.items()}


def open_subject(
    run: LoggedRun,
    dataset: Dataset,
    data_dir: Path,
    machine: Machine,
    *,
    which: str = "last",
    most_images: int = 0,
    start: str = RANDOM_START,
    store_dir: Path | None = None,
    seed: int = 0,
) -> Subject:
    """Read the run's model and its pictures.

    Args:
        which: "last" or "best", of the latest stage that has one.
        most_images: of each modality of the training images; people are drawn where there are more; 0: all.
        start: the weights that training began with: a file, or RANDOM_START.

    Raises:
        UserError: no such checkpoint, one of other data, or pictures that are not as they should be.
    """
    path = run.checkpoint(which)
    if path is None:
        raise SettingError(
            "{path}: holds no {which}.pt to look at pictures with; without {data_dir} there is a page without pictures",
            path=run.path,
            which=which,
        )
    content = load_file(path)
    network, _ = build_model(content, source=str(path))
    recipe = run.recipe()
    if (own := content.get("dataset", run.dataset)) != dataset.name:
        raise UserError(f"{path}: was trained on {own}, not on {dataset.name}")
    records = dataset.training(data_dir, run.trial)
    _demand_same_images(path, content, records, data_dir)
    suffix = "" if run.trial is None else f"-trial{run.trial}"
    store = store_dir or dataset.store_dir(data_dir)
    height, width = network.config.height, network.config.width
    training = {
        m: ImageSet.load(  # as training keeps them, so that they are decoded once
            records[m],
            m,
            store,
            f"train-{m}{suffix}",
            height=height,
            width=width,
            interpolation=recipe.data.cluster_resize,
            progress=machine.progress,
        )
        for m in Modality
    }
    benchmark = evaluator = None
    if dataset.has_test(data_dir, run.trial):
        benchmark = dataset.tested(data_dir, run.trial)
        evaluator = Evaluator(benchmark, machine, height=height, width=width, store_dir=store, suffix=suffix)
    began_with, note = _start(run, network, start)
    return Subject(
        run=run,
        dataset=dataset,
        data_dir=data_dir,
        path=path,
        content=content,
        network=network.to(machine.device),
        recipe=recipe,
        machine=machine,
        training=training,
        index=_people_drawn({m: training[m].identities for m in Modality}, most_images, seed),
        start=None if began_with is None else began_with.to(machine.device),
        start_note=note,
        benchmark=benchmark,
        evaluator=evaluator,
    )


def unit(features: Mapping[Modality, Tensor]) -> dict[Modality, Tensor]:
    """Rows of length 1."""
    return {m: F.normalize(own, dim=1) for m, own in features.items()}


def _demand_same_images(
    path: Path, content: Mapping[str, Any], records: Mapping[Modality, Sequence[ImageRecord]], data_dir: Path
) -> None:
    trained = (content.get("run") or {}).get("images") or {}
    for m, own in records.items():
        if (count := trained.get(m.value, len(own))) != len(own):
            raise UserError(
                f"{path}: was trained on {count:,} {m} images, {data_dir} holds {len(own):,}: it is another's data"
            )


def _people_drawn(identities: Mapping[Modality, np.ndarray], most: int, seed: int) -> dict[Modality, np.ndarray]:
    """(N,) rows of each modality: all, or those of people drawn until there are `most` images of one; the same people
    in both, whose order does not hang on what else is there. Where nobody knows who is who, as many images."""
    if not most or all(len(own) <= most for own in identities.values()):
        return {m: np.arange(len(own)) for m, own in identities.items()}
    names = np.unique(np.concatenate(list(identities.values())))
    if len(names) == 1:
        draw = {m: np.random.default_rng(seed).choice(len(own), min(most, len(own)), replace=False)
                for m, own in identities.items()}  # fmt: skip
        return {m: np.sort(rows) for m, rows in draw.items()}
    order = sorted(names.tolist(), key=lambda name: np.random.default_rng([seed, name + 1]).random())
    rows: dict[Modality, list[int]] = {m: [] for m in identities}
    for name in order:
        own = {m: np.flatnonzero(identities[m] == name).tolist() for m in rows}
        if any(rows.values()) and any(len(rows[m]) + len(own[m]) > most for m in rows):
            break
        for m in rows:
            rows[m] += own[m]
    return {m: np.sort(np.array(found[:most], dtype=np.int64)) for m, found in rows.items()}


def _start(run: LoggedRun, network: Network, path: str) -> tuple[Network | None, str]:
    """The network that training began with, and a line about it; its fresh parts as the run's seed draws them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(run.flags.get("seed", 1)))
        if path == RANDOM_START:
            return build_network(network.config).eval(), "random weights"
        if not Path(path).is_file():
            return None, f"{path}, which is not there"
        found, _ = build_model(load_file(path), source=path, config=network.config)
        return found.eval(), path
