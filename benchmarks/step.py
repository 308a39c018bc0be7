"""What a training step of the demo spends outside forward and backward: decoding, augmentation, memories, optimiser.

    python -m benchmarks.step --out benchmarks/results/step.json

Ours: pictures decoded once into a byte store, augmented as batches. The obvious way: Pillow and torchvision picture by
picture in each step, as a data loader's workers do. Needs data/demo (sh run_demo.sh).
"""

import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.data.augment import Augmenter
from tokenmatcher.data.batches import Batch, make_batches, plan_joint_epoch
from tokenmatcher.data.images import ImageSet
from tokenmatcher.data.records import read_training
from tokenmatcher.mining.clusters import pseudo_labels
from tokenmatcher.model.features import extract
from tokenmatcher.model.weights import load_model
from tokenmatcher.presets import PRESETS
from tokenmatcher.training.engine import forward, make_optimizer, set_learning_rate
from tokenmatcher.training.objectives import JointObjective
from tokenmatcher.training.targets import joint_targets


def timed(seconds, name, function, *arguments, **named):
    start = time.perf_counter()
    result = function(*arguments, **named)
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
    return result


def obvious(records, index, recipe, twins):
    """The same augmentation by torchvision, picture by picture, from the files."""
    data, size = recipe.data, (recipe.model.height, recipe.model.width)
    change = transforms.Compose(
        [
            transforms.ColorJitter(*[data.jitter] * 4),
            transforms.Resize(size, transforms.InterpolationMode.BICUBIC),
            transforms.Pad(data.pad),
            transforms.RandomCrop(size),
            transforms.RandomHorizontalFlip(data.flip_prob),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            transforms.RandomErasing(data.erase_prob, data.erase_area, data.erase_aspect),
        ]
    )
    for _ in range(2 if twins else 1):
        torch.stack([change(Image.open(records[i].path).convert("RGB")) for i in index])


def main():
    parser = benchmark_parser("step", "Share of a demo step outside forward and backward.")
    parser.add_argument("--data-dir", type=Path, default=Path("data/demo"), help="(default %(default)s)")
    parser.add_argument("--steps", type=int, default=30, help="(default %(default)s)")
    given = parser.parse_args()
    recipe, cpu, rng = PRESETS["sysu"]["demo"], torch.device("cpu"), np.random.default_rng(0)
    records = read_training(given.data_dir, "sysu")
    size = {"height": recipe.model.height, "width": recipe.model.width, "interpolation": recipe.data.resize}
    sets = {m: ImageSet.load(records[m], m, given.data_dir / "store", f"train-{m}", **size) for m in records}
    model = load_model("pretrained/demo_vit.pth", config=recipe.model)[0]
    features = {m: extract(model, sets[m].store, m, device=cpu) for m in sets}
    config = recipe.clusters
    labels = {
        m: pseudo_labels(features[m], k1=config.k1, k2=config.k2, eps=config.eps, min_samples=config.min_samples)
        for m in sets
    }
    cameras = {m: images.cameras for m, images in sets.items()}
    targets = joint_targets(
        features, labels, recipe.mining, recipe.model.num_tokens, cameras=cameras, local_labels=None
    )
    objective, optimizer = JointObjective(targets, recipe.losses, 0), make_optimizer(model, recipe.schedule)
    set_learning_rate(optimizer, recipe.schedule.lr[1])
    plans = plan_joint_epoch(labels, sets, recipe.data, iters=given.steps + 3, rng=rng, other_cameras=False)
    augmenter = Augmenter(recipe.data, (recipe.model.height, recipe.model.width), torch.Generator().manual_seed(0))
    batches = make_batches(sets, plans, augmenter, cpu, twins=True, jitter_plain=True)
    model.train()
    seconds: dict[str, float] = {}
    for step in range(given.steps + 3):
        if step == 3:
            seconds.clear()
        batch: Batch = timed(seconds, "augmentation", next, batches)
        views = timed(seconds, "forward", forward, model, batch)
        terms = timed(seconds, "losses", objective.losses, views)
        total = torch.stack([objective.weights[name] * term for name, term in terms.items()]).sum()
        timed(seconds, "backward", total.backward)
        timed(seconds, "optimiser", optimizer.step)
        optimizer.zero_grad(set_to_none=True)
        timed(seconds, "memories", objective.update, views)
    for step in range(3, given.steps + 3):
        for m in sets:
            timed(seconds, "obvious", obvious, records[m], plans[m][step], recipe, m is Modality.VISIBLE)
    per_step = {name: 1000 * value / given.steps for name, value in seconds.items()}
    pillow = per_step.pop("obvious")
    whole = sum(per_step.values())
    outside = whole - per_step["forward"] - per_step["backward"]
    result = {
        "images_per_step": int(sum(len(index) for index in batch.index.values())),
        "milliseconds_per_step": per_step,
        "share_outside_forward_backward": outside / whole,
        "obvious_decoding_and_augmentation_milliseconds": pillow,
        "obvious_over_ours": pillow / per_step["augmentation"],
    }
    for name, value in per_step.items():
        print(f"{name:13s} {value:7.1f} ms")
    print(f"outside forward and backward: {100 * outside / whole:.1f} % of the step (at most 15 %)")
    print(f"picture by picture: {pillow:.1f} ms on one thread, {pillow / per_step['augmentation']:.1f} times ours")
    write_result(given.out, "step", result)


if __name__ == "__main__":
    run(main)
