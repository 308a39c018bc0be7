import numpy as np
import pytest
import torch
from PIL import Image
from rounding import product

from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.datasets.protocols import Benchmark, Protocol, Trial
from tokenmatcher.evaluation import evaluate as module
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.machine import Machine


class Flat(torch.nn.Module):
    """Stands for a network: the mean colour of a picture is its feature."""

    class config:
        unit_views = False

    def forward(self, visible=None, infrared=None):
        images = visible if visible is not None else infrared
        features = images.mean((2, 3))
        return type("Output", (), {"features": features, "tokens": features[:, None]})


@pytest.fixture
def benchmark(tmp_path):
    rng = np.random.default_rng(0)
    records = []
    for number in range(12):
        identity = number % 4
        modality, camera = (Modality.VISIBLE, 1) if number < 8 else (Modality.INFRARED, 3)
        colour = np.array([60 * identity, 200 - 60 * identity, 30]) + rng.integers(0, 9, 3)
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.tile(colour.astype(np.uint8), (16, 8, 1))).save(path)
        records.append(ImageRecord(path, modality, camera, identity))
    trials = tuple(Trial(np.arange(8, 12), np.arange(start, start + 4)) for start in (0, 4))
    protocol = Protocol("all", trials, frozenset({(3, 2)}), distinct_identities=True)
    return Benchmark(tuple(records), (protocol,))


def test_each_image_is_embedded_once_and_scored_by_every_trial(benchmark, tmp_path, monkeypatch):
    embedded = []
    real = module.extract

    def counting(embedder, store, machine):
        embedded.append((embedder.modality, len(store)))
        return real(embedder, store, machine)

    monkeypatch.setattr(module, "extract", counting)
    evaluate = Evaluator(benchmark, Machine(), height=16, width=8, store_dir=tmp_path / "store")
    scores = evaluate(Flat())
    assert sorted(embedded) == [(Modality.INFRARED, 4), (Modality.VISIBLE, 8)]
    assert scores["all"]["rank1"] == 1.0
    assert len(scores["all"]["trials"]) == 2
    features = evaluate.features(Flat())
    assert features.norm(dim=1).numpy() == pytest.approx(1, abs=product(3))
