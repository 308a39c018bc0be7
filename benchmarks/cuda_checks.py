"""What a training step and the work between features and labels ask of a CUDA device, short of speed.

    python -m benchmarks.cuda_checks                    steps of both data sets, features, labels, neighbours, matching
    python -m benchmarks.cuda_checks --parts steps      one part; results of the others stay in the file

Memory: peak of PyTorch's allocator, `reserved` being what it took from the device; the libraries' own (context, cuBLAS,
cuDNN, faiss) comes on top. Steps: the paper's network and batch on random pictures of the data set's number, with
memories, instances and pictures on the device as in an epoch; three steps to warm up, then what waits in some more:
operations at which PyTorch reports a synchronisation, and copies to the device from memory that is not pinned, which
make the driver wait. Shapes in a step do not depend on values, those of labels and neighbours do: only for the latter
a stand-in for the CUDA runtime has to compute (`--simulated` notes in the file that it was one).
"""

import gc
import json
import os
import traceback
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.labels import SETTINGS, people
from benchmarks.machine import benchmark_parser, write_result
from benchmarks.step import joint_batching
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality, Neighbours, PseudoLabels
from tokenmatcher.errors import UserError
from tokenmatcher.images.augment import Augmenter
from tokenmatcher.images.batches import make_batches, plan_batches
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.images.store import ImageStore
from tokenmatcher.machine import Machine
from tokenmatcher.methods.contrast import ContrastObjective
from tokenmatcher.methods.targets import ContrastTargets, JointTargets
from tokenmatcher.methods.tokenmatcher import JointObjective, mixed_centroids
from tokenmatcher.mining.clusters import centroids, pseudo_labels
from tokenmatcher.mining.knn import nearest
from tokenmatcher.mining.matchers.greedy import match_clusters
from tokenmatcher.mining.neighbours import token_neighbours
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.embedder import Embedder, extract
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import table
from tokenmatcher.training.step import make_optimizer, set_learning_rate, train_step

PARTS = ("steps", "features", "labels", "neighbours", "matching")
# Images and clusters of an epoch.
IMAGES = {
    "sysu": {Modality.VISIBLE: (22_258, 600), Modality.INFRARED: (11_909, 430)},
    "regdb": {Modality.VISIBLE: (2_060, 206), Modality.INFRARED: (2_060, 206)},
}
NEIGHBOURS = 5  # of each image in each modality
WARM, STEPS = 3, 5
GIB = 2**30
CARDS = (24, 48, 80)
SPARE = 3 * GIB  # of a card, for the libraries' own memory and what the driver keeps


class PageableCopies(TorchDispatchMode):
    """Counts copies to the device from memory that is not pinned, by the line of the package they come from."""

    def __init__(self):
        super().__init__()
        self.lines = Counter()

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        result = operation(*arguments, **(named or {}))
        if operation in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = arguments[operation is torch.ops.aten.copy_.default]
            if result.is_cuda and not source.is_cuda and source.numel() and not source.is_pinned():
                self.lines[caller()] += 1
        return result


def caller():
    """The innermost line of the package on the stack."""
    frames = [frame for frame in traceback.extract_stack() if f"{os.sep}tokenmatcher{os.sep}" in frame.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "elsewhere"


def synchronisations(function):
    """Run `function`; the lines at which PyTorch waited for the device."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            function()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return Counter(f"{Path(w.filename).name}:{w.lineno}" for w in caught if "called a synchronizing" in str(w.message))


def pageable_copies(function):
    """Run `function`; the lines that copied to the device from memory that is not pinned."""
    with PageableCopies() as copies:
        function()
    return copies.lines


def peak(function):
    """Run `function`; bytes that it took beyond what was held before, and in all."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = function()
    return result, {
        "held_before": before,
        "allocated": torch.cuda.max_memory_allocated(),
        "reserved": torch.cuda.max_memory_reserved(),
    }


def pictures(dataset, recipe, random, device):
    """Random pictures of the data set's number, on the device where they fit, and labels by rule."""
    model, sets, labels = recipe.model, {}, {}
    for m, (count, clusters) in IMAGES[dataset].items():
        pixels = torch.randint(0, 256, (1, 3, model.height, model.width), dtype=torch.uint8)
        store = ImageStore(pixels.expand(count, -1, -1, -1)).to(device)
        sets[m] = ImageSet(m, store, random.integers(1, 3, count), np.zeros(count, dtype=np.int64), ())
        labels[m] = PseudoLabels(
            np.sort(np.concatenate([np.arange(clusters), random.integers(clusters, size=count - clusters)]))
        )
    return sets, labels


def objective_of(stage, recipe, labels, random, device):
    """A stage's objective with targets by rule, made on the host."""
    width = recipe.model.num_tokens * recipe.model.embed_dim
    features = {m: torch.randn(len(found), width) for m, found in labels.items()}
    own = {m: centroids(features[m], found) for m, found in labels.items()}
    if stage == "1":
        return ContrastObjective(ContrastTargets(labels, {m: c.to(device) for m, c in own.items()}), recipe.losses)
    capacity = recipe.mining.match_capacity
    match = match_clusters(own[Modality.VISIBLE], own[Modality.INFRARED], capacity=capacity).match(capacity)

    def some_neighbours(anchors, targets):
        spread = np.arange(NEIGHBOURS) * (targets // NEIGHBOURS) + random.integers(
            targets // NEIGHBOURS, size=(anchors, 1)
        )
        return Neighbours(NEIGHBOURS * np.arange(anchors + 1), spread.ravel(), targets)

    targets = JointTargets(
        labels=labels,
        centroids={m: values.to(device) for m, values in own.items()},
        mixed={m: mixed_centroids(features, labels, match, m).to(device) for m in Modality},
        instances={m: functional.normalize(values, dim=1).to(device) for m, values in features.items()},
        neighbours={(a, b): some_neighbours(len(labels[a]), len(labels[b])) for a in Modality for b in Modality},
        match=match,
    )
    return JointObjective(targets, recipe.losses, 0)


def steps(dataset, stage, precision, recompute, device):
    """Peak memory of a training step, and what one waits for."""
    recipe, random = preset(dataset, "paper"), np.random.default_rng(0)
    machine = Machine(device, precision)
    torch.manual_seed(0)

    def work():
        sets, labels = pictures(dataset, recipe, random, device)
        model = TokenViT(recipe.model).to(device).train()
        model.set_recompute(recompute)
        objective = objective_of(stage, recipe, labels, random, device)
        optimizer = make_optimizer(model, recipe.schedule)
        set_learning_rate(optimizer, recipe.schedule.lr[0])
        batching = joint_batching(recipe, WARM + 2 * STEPS, other_cameras=stage == "1")
        plans = plan_batches({m: labels[m].labels for m in Modality}, sets, batching, random)
        size, pixels = (recipe.model.height, recipe.model.width), torch.Generator().manual_seed(0)
        batches = make_batches(
            sets,
            plans,
            Augmenter(recipe.data, size, pixels),
            batching,
            machine,
            depth_branches=len(model.depth_modules),
        )

        def step():
            train_step(model, objective, next(batches), optimizer, machine)

        for _ in range(WARM):
            step()
        return [sum((kind(step) for _ in range(STEPS)), Counter()) for kind in (synchronisations, pageable_copies)]

    (waited, copied), memory = peak(work)
    return {
        "dataset": dataset,
        "stage": stage,
        "precision": precision,
        "recompute": recompute,
        "images": 2 * recipe.data.batch_size,
        "memory": memory,
        "synchronisations_per_step": waited.total() / STEPS,
        "pageable_copies_per_step": copied.total() / STEPS,
        "where": dict((waited + copied).most_common(12)),
    }


def all_steps(device):
    found = []
    for dataset in IMAGES:
        for stage, precision, recompute in (
            ("1", "bf16", False),
            ("2", "bf16", False),
            ("2", "bf16", True),
            ("2", "fp32", False),
            ("2", "fp32", True),
        ):
            try:
                found.append(steps(dataset, stage, precision, recompute, device))
            except torch.cuda.OutOfMemoryError:
                found.append({"dataset": dataset, "stage": stage, "precision": precision, "recompute": recompute})
            print(json.dumps(found[-1]), flush=True)
    return found


def features(device):
    """Peak memory of embedding pictures."""
    found = {}
    for dataset in IMAGES:
        for precision in ("bf16", "fp32"):
            recipe = preset(dataset, "paper")
            model = TokenViT(recipe.model).to(device)
            store = ImageStore(
                torch.zeros(1, 3, recipe.model.height, recipe.model.width, dtype=torch.uint8).expand(512, -1, -1, -1)
            )
            call = partial(extract, Embedder(model, Modality.VISIBLE), store, Machine(device, precision))
            found[f"{dataset} {precision}"] = peak(call)[1]
    return found


def labels(device, scale):
    """Peak memory from features to labels: the search alone, and all of it."""
    found = {}
    for count, _ in IMAGES["sysu"].values():
        rows = people(count // scale, 3072).to(device)
        for name, function in (
            ("search", lambda rows=rows: nearest(rows, SETTINGS["k1"])),
            ("labels", lambda rows=rows: pseudo_labels(rows, **SETTINGS)),
        ):
            found[f"{name} {len(rows)}"] = peak(function)[1]
            print(name, len(rows), found[f"{name} {len(rows)}"], flush=True)
    return found


def neighbours(device, scale):
    """Peak memory of the token neighbours, visible to infrared and within visible."""
    config, found = preset("sysu", "paper"), {}
    sets = {
        m: people(count // scale, 3072, seed).to(device) for seed, (m, (count, _)) in enumerate(IMAGES["sysu"].items())
    }
    for target in Modality:
        call = partial(
            token_neighbours,
            sets[Modality.VISIBLE],
            sets[target],
            num_tokens=config.model.num_tokens,
            ratio=config.mining.neighbour_ratio,
            votes=config.mining.votes,
        )
        found[f"visible to {target}"] = peak(call)[1]
    return found


def matching(device):
    """Peak memory of matching clusters."""
    (_, rows), (_, columns) = IMAGES["sysu"].values()
    centres = [functional.normalize(torch.randn(count, 3072), dim=1).to(device) for count in (rows, columns)]
    return peak(lambda: match_clusters(*centres))[1]


def row_of(step):
    """A step's line of the table."""
    name = f"{step['dataset']} {step['stage']} {step['precision']}{' recomputed' * step['recompute']}"
    if "memory" not in step:
        return [name, "out of memory", "", "", ""]
    reserved = step["memory"]["reserved"]
    held = [str(card) for card in CARDS if reserved + SPARE <= card * GIB]
    waits = [f"{step[kind]:.1f}" for kind in ("synchronisations_per_step", "pageable_copies_per_step")]
    return [name, f"{reserved / GIB:.1f} GiB", ", ".join(held), *waits]


def main():
    parser = benchmark_parser("cuda_checks", "Memory, synchronisations and copies of the work on a CUDA device.")
    parser.add_argument("--parts", default=",".join(PARTS), help="(default %(default)s)")
    parser.add_argument("--scale", type=int, default=1, help="divides the numbers of labels' and neighbours' images")
    parser.add_argument(
        "--simulated", action="store_true", help="the CUDA runtime is a stand-in: note that in the file"
    )
    given = parser.parse_args()
    device = torch.device("cuda", 0)
    result = json.loads(given.out.read_text()) if given.out.is_file() else {}
    alike = result.get("simulated") == given.simulated  # else the file mixes what is measured and what is not
    result = {name: result[name] for name in PARTS if name in result and alike}
    measured = {
        "steps": lambda: all_steps(device),
        "features": lambda: features(device),
        "labels": lambda: labels(device, given.scale),
        "neighbours": lambda: neighbours(device, given.scale),
        "matching": lambda: matching(device),
    }
    parts = given.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        raise UserError(f"--parts {given.parts}: {', '.join(unknown)} is none of {', '.join(PARTS)}")
    if not torch.cuda.is_available():
        raise UserError("no CUDA device is visible to PyTorch")
    for part in parts:
        result[part] = measured[part]()
    if "steps" in result:
        header = ["step of 256 images", "reserved", "GB cards that hold it", "synchronisations", "unpinned copies"]
        print(table(header, [row_of(step) for step in result["steps"]]))
    write_result(given.out, "cuda_checks", {"simulated": given.simulated, **result})


if __name__ == "__main__":
    run(main)
