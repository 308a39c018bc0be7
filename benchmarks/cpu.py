"""Training and inference on the CPU.

    python -m benchmarks.cpu --out benchmarks/results/cpu.json

Training: steps of the demo's stage 2. The obvious way has the same network, batches and losses, but pictures opened and
augmented by Pillow and torchvision in two workers, losses and memories in loops over samples and pairs. Needs data/demo
(sh run_demo.sh). Inference: ViT-B/16 at 384x128 with four class tokens against this machine's float32 matrix product.
"""

import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.machine import benchmark_parser, macs_per_image, product_rate, write_result
from benchmarks.step import DemoSteps
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.images.batches import Batch
from tokenmatcher.machine import Machine
from tokenmatcher.methods.contrast import batch_pairs
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.presets import preset
from tokenmatcher.training.step import forward, train_step


class Pictures(Dataset):
    """Pictures of one modality, augmented one by one with torchvision's own operations."""

    def __init__(self, records, recipe, twin):
        data, size = recipe.data, (recipe.model.height, recipe.model.width)
        self.records = records
        self.channel = transforms.Lambda(lambda x: x[torch.randint(3, (1,))].expand(3, -1, -1)) if twin else None
        self.change = transforms.Compose(
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

    def __len__(self):
        return len(self.records)

    def __getitem__(self, row):
        with Image.open(self.records[row].path) as picture:
            image = self.change(picture.convert("RGB"))
        return image if self.channel is None else self.channel(image)


def obvious_batches(demo, plans):
    """As our batches, by data loaders with two workers in all."""
    loaders = [
        DataLoader(Pictures(demo.records[m], demo.recipe, twin), batch_sampler=plans[m].tolist(), num_workers=workers)
        for m, twin, workers in (
            (Modality.VISIBLE, False, 1),
            (Modality.VISIBLE, True, 1),
            (Modality.INFRARED, False, 1),
        )
    ]
    for plain, twins, infrared in zip(*loaders, strict=True):
        yield {Modality.VISIBLE: torch.cat([plain, twins]), Modality.INFRARED: infrared}


def obvious_contrast(features, memory, targets, temperature):
    total = 0.0
    for feature, target in zip(features, targets, strict=True):
        scores = F.normalize(feature, dim=0) @ memory.T / temperature
        total = total + F.cross_entropy(scores[None], torch.tensor([target]))
    return total / len(features)


def obvious_losses(objective, views):
    """The terms of `JointObjective.losses`, sample by sample and pair by pair."""
    config, terms = objective.config, {}
    for m, view in views.items():
        own = objective.labels[m][view.index]
        terms[m.value] = obvious_contrast(view.features, objective.mixed[m].vectors, own, config.temperature)
    cross = 0.0
    for m, view in views.items():
        partners = objective.partner[m][objective.labels[m][view.index]]
        cross = cross + obvious_contrast(view.features, objective.mixed[m.other].vectors, partners, config.temperature)
    terms["cross"] = cross
    diversity = 0.0
    for view in views.values():
        for tokens in view.tokens:
            unit = F.normalize(tokens, dim=1)
            alike = torch.stack([(a @ b).abs() for i, a in enumerate(unit) for b in unit[i + 1 :]])
            diversity = diversity + (alike.softmax(0) * alike).sum() / len(view.tokens)
    terms["diversity"] = diversity
    neighbour = 0.0
    for (anchor, target), neighbours in objective.neighbours.items():
        view, pairs = views[anchor], []
        for row, found in zip(*batch_pairs(neighbours, view.index), strict=True):
            scores = F.normalize(view.features[row], dim=0) @ objective.instances[target].T / config.temperature
            pairs.append(-scores.log_softmax(0)[found])
        neighbour = neighbour + torch.stack(pairs).mean()
    terms["neighbour"] = neighbour
    view = views[objective.fused_modality]
    chosen, towards = objective._fusion(view)
    if len(chosen):
        memory = objective.fusion_memory.vectors
        terms["fusion"] = obvious_contrast(view.features[chosen], memory, towards, config.temperature)
    return terms


@torch.no_grad()
def obvious_update(memory, features, targets):
    for feature, target in zip(features, targets, strict=True):
        mixed = memory.momentum * memory.vectors[target] + (1 - memory.momentum) * F.normalize(feature, dim=0)
        memory.vectors[target] = F.normalize(mixed, dim=0)


def obvious_step(demo, images, index):
    """A training step as usually written; returns its loss."""
    objective = demo.objective
    views = forward(demo.model, Batch(images, index), Machine())
    terms = obvious_losses(objective, views)
    total = sum(objective.weights[name] * term for name, term in terms.items())
    demo.optimizer.zero_grad(set_to_none=True)
    total.backward()
    demo.optimizer.step()
    view = views[objective.fused_modality]
    chosen, towards = objective._fusion(view)
    obvious_update(objective.fusion_memory, view.features[chosen], towards)
    for m, view in views.items():
        partners = objective.partner[m][objective.labels[m][view.index]]
        obvious_update(objective.mixed[m.other], view.features, partners)
    for m, view in views.items():
        obvious_update(objective.mixed[m], view.features, objective.labels[m][view.index])
    return total.item()


def training(steps):
    """Seconds of `steps` steps, ours and the obvious way, and the loss of one batch by both."""
    seconds = {}
    demo = DemoSteps(steps + 2)
    batches = demo.batches()
    first = next(batches)
    with torch.no_grad():
        views = forward(demo.model, first, Machine())
    ours, slow = demo.objective.losses(views), obvious_losses(demo.objective, views)
    difference = max(abs(float(ours[name]) - float(slow[name])) for name in ours)
    next(batches)
    start = time.perf_counter()
    for batch in batches:
        train_step(demo.model, demo.objective, batch, demo.optimizer, Machine())
    seconds["ours"] = (time.perf_counter() - start) / steps
    demo = DemoSteps(steps + 2)
    for step, images in enumerate(obvious_batches(demo, demo.plans)):
        if step == 2:
            start = time.perf_counter()
        visible = demo.plans[Modality.VISIBLE][step]
        index = {Modality.VISIBLE: np.concatenate([visible, visible])}
        obvious_step(demo, images, index | {Modality.INFRARED: demo.plans[Modality.INFRARED][step]})
    seconds["obvious"] = (time.perf_counter() - start) / steps
    return {
        "seconds_per_step": seconds,
        "obvious_over_ours": seconds["obvious"] / seconds["ours"],
        "largest_difference_of_a_loss": difference,
    }


def _seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


@torch.inference_mode()
def inference(batch_sizes=(4, 8, 16, 32)):
    """Images a second of the paper's network and the share of the product's rate that this is."""
    model = TokenViT(preset("sysu", "paper").model).eval()
    rates, rate = {}, product_rate(torch.device("cpu"), torch.float32)
    flop = 2 * macs_per_image(model.config)
    for size in batch_sizes:
        images = torch.randn(size, 3, 384, 128)
        model(images)
        rates[size] = size / min(_seconds(model, images) for _ in range(max(2, 32 // size)))
    best = max(rates.values())
    return {
        "product_gflops": rate / 1e9,
        "images_per_second_by_batch": rates,
        "gflop_per_image": flop / 1e9,
        "gflops": best * flop / 1e9,
        "share_of_product_rate": best * flop / rate,
    }


def main():
    parser = benchmark_parser("cpu", "Training and inference on the CPU.")
    parser.add_argument("--steps", type=int, default=20, help="training steps timed (default 20)")
    parser.add_argument("--only", choices=("training", "inference"), help="one of the two")
    given = parser.parse_args()
    result = {}
    if given.only != "training":
        result["inference"] = found = inference()
        print(
            f"inference: {found['gflops']:.0f} GFLOP/s of {found['product_gflops']:.0f}, "
            f"{100 * found['share_of_product_rate']:.0f} % (at least 85)"
        )
    if given.only != "inference":
        result["training"] = found = training(given.steps)
        spent = found["seconds_per_step"]
        print(
            f"training: {spent['ours']:.3f} s a step, obvious {spent['obvious']:.3f} s, "
            f"{found['obvious_over_ours']:.1f} times (at least 2)"
        )
    write_result(given.out, "cpu", result)


if __name__ == "__main__":
    run(main)
