import numpy as np
import pytest
import torch
from evaluation.test_metrics import slow_scores
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


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize(("excluded", "own"), [(frozenset({(3, 2)}), False), (frozenset(), True), (frozenset(), False)])
def test_every_rule_of_a_protocol_counts(distinct, excluded, own):
    """By close calls, against the slow loop; and each rule matters on them."""
    rng = np.random.default_rng(0)
    records = [ImageRecord(None, m, int(rng.choice([2, 3])), int(rng.integers(4))) for m in Modality for _ in range(30)]
    features = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((60, 3))).float(), dim=1)
    query, gallery = np.arange(30, 60), np.arange(30)

    def scores(excluded, own, distinct):
        protocol = Protocol("all", (Trial(query, gallery),), excluded, distinct, own)
        evaluate = object.__new__(Evaluator)
        evaluate.benchmark = Benchmark(tuple(records), (protocol,))
        evaluate.features = lambda network: features
        return evaluate(None)["all"]

    found = scores(excluded, own, distinct)
    similarity = (features[30:] @ features[:30].T).numpy()
    ids, cameras = (np.array([getattr(record, name) for record in records]) for name in ("identity", "camera"))
    cmc, mean_precision, mean_penalty = slow_scores(
        similarity, ids[query], ids[gallery], cameras[query], cameras[gallery], excluded, distinct, own
    )
    assert [found[f"rank{k}"] for k in (1, 5, 10, 20)] == pytest.approx([cmc[k - 1] for k in (1, 5, 10, 20)])
    assert (found["mAP"], found["mINP"]) == pytest.approx((mean_precision, mean_penalty))
    others = [scores(excluded, own, not distinct)]
    others += [scores(frozenset(), False, distinct)] if excluded or own else []
    assert all(other["rank5"] != found["rank5"] or other["mAP"] != found["mAP"] for other in others)


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
