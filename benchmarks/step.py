"""What a training step spends outside forward and backward: augmentation, losses, memories, optimiser.

    python -m benchmarks.step                                  the demo's stage 2 on the CPU (needs sh run_demo.sh)
    python -m benchmarks.step --device cuda --out benchmarks/results/step_gpu.json
    python -m benchmarks.step --groups --out benchmarks/results/groups.json      what batch norm groups cost

On a GPU: the paper's network, batch and recipe, on random pictures of SYSU-MM01's number.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.datasets.sysu import Sysu
from tokenmatcher.errors import UserError
from tokenmatcher.images.augment import Augmenter
from tokenmatcher.images.batches import Batch, Batching, make_batches, plan_batches
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.images.store import ImageStore
from tokenmatcher.machine import Machine
from tokenmatcher.methods.tokenmatcher import JointObjective, joint_targets
from tokenmatcher.mining.clusters import pseudo_labels
from tokenmatcher.mining.matchers import greedy
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.models.embedder import Embedder, extract
from tokenmatcher.models.weights import load_model
from tokenmatcher.presets import preset
from tokenmatcher.training.step import forward, make_optimizer, set_learning_rate

SYSU = {Modality.VISIBLE: (22_258, 600), Modality.INFRARED: (11_909, 430)}  # images, clusters of an epoch


def joint_batching(recipe, steps, other_cameras=False):
    """Stage 2's batches."""
    identities = {m: recipe.data.people(m) for m in Modality}
    return Batching(steps, identities, recipe.data.num_instances, other_cameras, twins=True, jitter_plain=True)


@dataclass
class DemoSteps:
    """An epoch of the demo's stage 2: rendered pictures, and pseudo labels, neighbours and matches by the weights
    `start`."""

    steps: int
    data_dir: Path = Path("data/demo")
    start: Path = Path("pretrained/demo_vit.pth")
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self):
        torch.manual_seed(0)
        self.recipe, rng = preset("sysu", "demo"), np.random.default_rng(0)
        if not self.data_dir.is_dir():
            raise UserError(f"{self.data_dir}: no such folder; sh run_demo.sh makes it")
        self.records = Sysu().training(self.data_dir)
        model = self.recipe.model
        size = {"height": model.height, "width": model.width, "interpolation": self.recipe.data.resize}
        self.sets = {
            m: ImageSet.load(found, m, self.data_dir / "store", f"train-{m}", **size).to(self.device)
            for m, found in self.records.items()
        }
        self.model = load_model(self.start, config=model)[0].to(self.device)
        machine = Machine(self.device)
        features = {m: extract(Embedder(self.model, m), self.sets[m].store, machine) for m in self.sets}
        config = self.recipe.clusters
        numbers = {name: getattr(config, name) for name in ("k1", "k2", "eps", "min_samples")}
        self._start(features, {m: pseudo_labels(features[m], **numbers) for m in self.sets}, rng)

    def _start(self, features, labels, rng):
        recipe = self.recipe
        cameras = {m: images.cameras for m, images in self.sets.items()}
        targets = joint_targets(
            features, labels, recipe, greedy.match, cameras=cameras, local_labels=None, machine=Machine(self.device)
        )
        self.objective, self.optimizer = (
            JointObjective(targets, recipe.losses, 0),
            make_optimizer(self.model, recipe.schedule),
        )
        set_learning_rate(self.optimizer, recipe.schedule.lr[1])
        self.batching = joint_batching(recipe, self.steps)
        self.plans = plan_batches({m: labels[m].labels for m in Modality}, self.sets, self.batching, rng)
        self.model.train()

    def batches(self):
        size = (self.recipe.model.height, self.recipe.model.width)
        return make_batches(
            self.sets,
            self.plans,
            Augmenter(self.recipe.data, size, torch.Generator().manual_seed(0)),
            self.batching,
            Machine(self.device),
            depth_branches=len(self.model.depth_modules),
        )


class PaperSteps(DemoSteps):
    """Stage 2 of the paper's recipe on random pictures of SYSU-MM01's number; features and labels by rule."""

    def __post_init__(self):
        self.recipe, rng = preset("sysu", "paper"), np.random.default_rng(0)
        model = self.recipe.model
        torch.manual_seed(0)
        self.model = TokenViT(model).to(self.device)
        self.sets, features, labels = {}, {}, {}
        width = model.num_tokens * model.embed_dim
        for m, (count, clusters) in SYSU.items():
            pixels = torch.randint(0, 256, (count, 3, model.height, model.width), dtype=torch.uint8)
            cameras = rng.integers(1, 3, count)
            self.sets[m] = ImageSet(m, ImageStore(pixels), cameras, np.zeros(count, dtype=np.int64), ()).to(self.device)
            owner = np.sort(np.concatenate([np.arange(clusters), rng.integers(clusters, size=count - clusters)]))
            centres = torch.randn(clusters, width, device=self.device)
            features[m] = centres[torch.from_numpy(owner).to(self.device)]
            features[m] += 0.7 * torch.randn(count, width, device=self.device)
            labels[m] = PseudoLabels(owner)
        self._start(features, labels, rng)


def measure(steps, device, precision, warm=3):
    """Milliseconds of each part of a step."""
    run_of = PaperSteps if device.type == "cuda" else DemoSteps
    work = run_of(steps + warm, device=device)
    seconds: dict[str, float] = {}

    def timed(name, function, *arguments):
        start = time.perf_counter()
        result = function(*arguments)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
        return result

    batches = work.batches()
    for step in range(steps + warm):
        if step == warm:
            seconds.clear()
        batch: Batch = timed("augmentation", next, batches)
        views = timed("forward", lambda b=batch: forward(work.model, b, Machine(device, precision)))
        terms = timed("losses", work.objective.losses, views)
        total = torch.stack([work.objective.weights[name] * term for name, term in terms.items()]).sum()
        timed("backward", total.backward)
        timed(
            "gradient's norm",
            lambda: torch.nn.utils.get_total_norm([p.grad for p in work.model.parameters() if p.grad is not None]),
        )
        timed("optimiser", work.optimizer.step)
        work.optimizer.zero_grad(set_to_none=True)
        timed("memories", work.objective.update, views)
    images = sum(len(index) for index in batch.index.values())
    return images, {name: 1000 * value / steps for name, value in seconds.items()}


def groups_cost(images, repeats, device, precision):
    """Seconds of steps of the paper's network with 1 and 4 batch norm groups, in turn, `images` of each modality."""
    work = {}
    for groups in (1, 4):
        torch.manual_seed(0)
        recipe = preset("sysu", "paper").override({"bn_groups": groups})
        model = TokenViT(recipe.model).to(device).train()
        optimizer = make_optimizer(model, recipe.schedule)
        set_learning_rate(optimizer, recipe.schedule.lr[1])
        work[groups] = model, optimizer
    pixels = torch.randn(images, 3, recipe.model.height, recipe.model.width, device=device)
    batch = Batch(dict.fromkeys(Modality, pixels), {m: np.arange(images) for m in Modality})
    seconds = {groups: [] for groups in work}
    for repeat in range(repeats + 1):
        for groups, (model, optimizer) in work.items():
            start = time.perf_counter()
            views = forward(model, batch, Machine(device, precision))
            sum(view.features.square().mean() for view in views.values()).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                seconds[groups].append(time.perf_counter() - start)
    ratios = [four / one for one, four in zip(seconds[1], seconds[4], strict=True)]
    print(f"4 groups take {np.median(ratios):.3f} times as long as 1 (median of {repeats} pairs of steps)")
    return {"images_of_each_modality": images, "seconds": seconds, "ratios": ratios, "median": float(np.median(ratios))}


def main():
    parser = benchmark_parser("step", "Share of a training step outside forward and backward.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default %(default)s)")
    parser.add_argument("--steps", type=int, default=30, help="(default %(default)s)")
    parser.add_argument("--groups", action="store_true", help="measure batch norm groups instead, on ViT-B/16")
    parser.add_argument("--images", type=int, default=8, help="of each modality, with --groups (default %(default)s)")
    given = parser.parse_args()
    device = torch.device(given.device)
    precision = Machine.chosen(given.device).precision
    if given.groups:
        if given.images < 8 or given.images % 4:
            raise UserError("--images: four groups of at least two need a multiple of 4 from 8 on")
        if given.steps < 1:
            raise UserError("--steps must be at least 1")
        result = groups_cost(given.images, min(given.steps, 10), device, precision)
        write_result(given.out, "step --groups", {"device": given.device, "precision": precision, **result})
        return
    images, spent = measure(given.steps, device, precision)
    whole = sum(spent.values())
    outside = whole - spent["forward"] - spent["backward"]
    for name, value in spent.items():
        print(f"{name:13s} {value:7.1f} ms")
    limit = 10 if device.type == "cuda" else 15
    print(f"outside forward and backward: {100 * outside / whole:.1f} % of the step (at most {limit} %)")
    result = {
        "device": given.device,
        "precision": precision,
        "images_per_step": images,
        "milliseconds_per_step": spent,
        "share_outside_forward_backward": outside / whole,
    }
    write_result(given.out, "step", result)


if __name__ == "__main__":
    run(main)
