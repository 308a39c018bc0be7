"""What bfloat16 in the backbone does to labels, neighbours, matches and scores.

    python -m benchmarks.precision           needs sh run_demo.sh's data and checkpoints

Demo: the trained network's features in float32, bfloat16 and float16 (autocast on the CPU), each put through the
epoch's mining and the test. Yardstick: what one step of training does to the same figures, with labels, neighbours and
matches by the very weights, at stage 2's rate, after WARM steps that have filled the optimiser's moments.

ViT-B/16: the error of the paper's network at 384x128 in bfloat16 on rendered people, relative to the features' spread
about their mean (weights by seed, batch norm statistics from the pictures themselves, since no trained file is at
hand). Features of its width made by rule then get errors of that size.

Agreement: labels by adjusted Rand index, outliers as a cluster of their own; neighbours by edges in both over edges in
either; matches, with float32's labels on both sides, by the share of clusters with the same first partner.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from benchmarks.labels import people
from benchmarks.machine import benchmark_parser, write_result
from benchmarks.step import DemoSteps
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.sysu import sysu_benchmark
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.images.augment import normalise, to_float
from tokenmatcher.machine import Machine
from tokenmatcher.mining.clusters import centroids, pseudo_labels
from tokenmatcher.mining.matchers.greedy import match_clusters
from tokenmatcher.mining.neighbours import token_neighbours
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.embedder import Embedder, extract
from tokenmatcher.people import World, render
from tokenmatcher.presets import preset
from tokenmatcher.training.step import train_step

PRECISIONS = ("fp32", "bf16", "fp16")
WARM = 10


def mined(features, recipe, labels=None):
    """Labels, neighbours and matches of one epoch; matches of `labels` where these are given."""
    config = recipe.clusters
    own = {
        m: pseudo_labels(f, k1=config.k1, k2=config.k2, eps=config.eps, min_samples=config.min_samples)
        for m, f in features.items()
    }
    chosen = labels or own
    match = match_clusters(
        *(centroids(features[m], chosen[m]) for m in Modality), capacity=recipe.mining.match_capacity
    )
    neighbours = {
        (a, b): token_neighbours(
            features[a],
            features[b],
            num_tokens=recipe.model.num_tokens,
            ratio=recipe.mining.neighbour_ratio,
            votes=recipe.mining.votes,
        )
        for a in Modality
        for b in Modality
    }
    return own, match, neighbours


def agreement(exact, features, recipe):
    """Of what is mined from `features` with what was mined from float32's."""
    labels, match, neighbours = exact
    found, _, edges = mined(features, recipe)
    matched = mined(features, recipe, labels)[1]
    pairs = [
        [set(zip(n.anchors.tolist(), n.indices.tolist(), strict=True)) for n in (neighbours[way], edges[way])]
        for way in neighbours
    ]
    return {
        "labels": {m.value: float(adjusted_rand_score(labels[m].labels, found[m].labels)) for m in Modality},
        "clusters": {m.value: [labels[m].num_clusters, found[m].num_clusters] for m in Modality},
        "neighbours": {
            f"{a.value[:3]}-{b.value[:3]}": len(x & y) / max(1, len(x | y))
            for (a, b), (x, y) in zip(neighbours, pairs, strict=True)
        },
        "matches": float(np.mean([np.mean(match.first_match(m) == matched.first_match(m)) for m in Modality])),
    }


def relative_error(exact, rough):
    """Root mean square of the error over that of the features about their mean."""
    return float((rough - exact).square().mean().sqrt() / (exact - exact.mean(0)).square().mean().sqrt())


def demo(checkpoint, data):
    """Each precision beside float32, and one step of training."""
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: no such file; sh run_demo.sh makes it")
    recipe = preset("sysu", "demo")
    steps = DemoSteps(WARM + 1, data_dir=data, start=checkpoint)
    size = {"height": recipe.model.height, "width": recipe.model.width}
    evaluate = Evaluator(sysu_benchmark(data), Machine(), store_dir=data / "store", **size)

    def features(precision="fp32"):
        return {
            m: extract(Embedder(steps.model, m), steps.sets[m].clustered, Machine(precision=precision))
            for m in Modality
        }

    def scores(precision="fp32"):
        evaluate.machine = Machine(precision=precision)
        return {name: {key: found[key] for key in ("rank1", "mAP")} for name, found in evaluate(steps.model).items()}

    plain = features()
    exact = mined(plain, recipe)
    result = {"fp32": {"scores": scores()}}
    for precision in PRECISIONS[1:]:
        rough = features(precision)
        result[precision] = {
            "error": {m.value: relative_error(plain[m], rough[m]) for m in Modality},
            **agreement(exact, rough, recipe),
            "scores": scores(precision),
        }
    for number, batch in enumerate(steps.batches()):
        if number == WARM:
            plain = features()
            exact, result["before the step"] = mined(plain, recipe), {"scores": scores()}
        steps.model.train()
        train_step(steps.model, steps.objective, batch, steps.optimizer, Machine())
    later = features()
    result["one step later"] = {
        "error": {m.value: relative_error(plain[m], later[m]) for m in Modality},
        **agreement(exact, later, recipe),
        "scores": scores(),
    }
    return result


def vit_error(count):
    """Relative error of the paper's network, by precision, on `count` rendered people."""
    torch.manual_seed(0)
    config = replace(preset("sysu", "paper").model, bn_groups=1, drop_path=0.0)
    model, world = TokenViT(config), World(height=config.height, width=config.width)
    pictures = np.stack([render(world, person, 1 + person % 2, person).transpose(2, 0, 1) for person in range(count)])
    images = torch.from_numpy(pictures)
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.momentum = 1.0  # the statistics of the one pass below
    with torch.no_grad():
        model.train()(normalise(to_float(images)))
    model.eval()
    embedder, found = Embedder(model, Modality.VISIBLE), {}
    for precision in PRECISIONS:
        with torch.inference_mode(), Machine(precision=precision).autocast():
            found[precision] = torch.cat([embedder(part) for part in images.split(8)])
    return {p: relative_error(found["fp32"], found[p]) for p in PRECISIONS[1:]}


def vit_sized(errors, counts, width):
    """Agreement on features by rule, of the paper's width, after errors of the measured size."""
    recipe, random = preset("sysu", "paper"), torch.Generator().manual_seed(1)
    everybody = people(sum(counts.values()), width)
    shift = torch.randn(width, generator=random) / width**0.5  # as long as a person
    split = everybody.split([counts[m] for m in Modality])
    features = {
        m: part + (0.5 * shift if m is Modality.INFRARED else 0) for m, part in zip(Modality, split, strict=True)
    }
    exact, result = mined(features, recipe), {}
    for precision, error in errors.items():
        rough = {}
        for m, values in features.items():
            spread = (values - values.mean(0)).square().mean().sqrt()
            rough[m] = values + error * spread * torch.randn(values.shape, generator=random)
        result[precision] = {"error": error, **agreement(exact, rough, recipe)}
    return result


def main():
    parser = benchmark_parser("precision", "What bfloat16 does to labels, neighbours, matches and scores.")
    parser.add_argument("--data-dir", type=Path, default=Path("data/demo"), help="(default %(default)s)")
    parser.add_argument("--logs-dir", type=Path, default=Path("logs/demo"), help="(default %(default)s)")
    parser.add_argument("--images", type=int, default=64, help="through ViT-B/16 (default %(default)s)")
    given = parser.parse_args()
    result = {
        "demo": {stage: demo(given.logs_dir / stage / "last.pt", given.data_dir) for stage in ("stage1", "stage2")},
    }
    errors = vit_error(given.images)
    counts = {Modality.VISIBLE: 6000, Modality.INFRARED: 3000}
    result["vit_b"] = {"images": given.images, "features": vit_sized(errors, counts, 4 * 768)}
    for name, found in [*result["demo"].items(), ("vit_b", result["vit_b"]["features"])]:
        for precision, values in found.items():
            print(name, precision, {key: value for key, value in values.items() if key != "clusters"})
    write_result(given.out, "precision", result)


if __name__ == "__main__":
    run(main)
