"""Does the method teach anything? The demo over several seeds, a world it was not tuned on, and the ceiling.

    python -m benchmarks.demo --out benchmarks/results/demo.json

For each seed: train_sysu.py --preset demo on data/demo, then random weights, start, stage 1 and stage 2 on people
never seen in training. Ceiling: the same network, start, augmentation and number of steps, but with true identities:
contrast between a visible and an infrared picture of each of 64 people. What is already in --work is reused, so that
parts can be made beforehand, side by side:

    OMP_NUM_THREADS=1 python -m benchmarks.demo --part 0 1 & OMP_NUM_THREADS=1 python -m benchmarks.demo --part 1 1
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import trange

from benchmarks.machine import benchmark_parser, claim, write_result
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.datasets.sysu import Sysu, sysu_benchmark
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.evaluate import Evaluator
from tokenmatcher.images.augment import Augmenter, apply, draw_channels
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.losses import token_diversity
from tokenmatcher.machine import Machine, Randomness
from tokenmatcher.models.weights import load_model
from tokenmatcher.people.tracklets import tracklet_contrast
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import table
from tokenmatcher.schedules import cosine
from tokenmatcher.training.step import make_optimizer, set_learning_rate

START = Path("pretrained/demo_vit.pth")
# identities that the start has not seen: its worlds have other seeds
WORLDS = {
    "tuned on": ["--seed", "7"],
    "harder": ["--seed", "21", "--nir-correlation", "0.7", "--camera-cast", "1.3"],
    "milder": ["--seed", "33", "--nir-correlation", "0.9", "--camera-cast", "0.8"],
}


PROTOCOLS, METRICS = ("all", "indoor"), ("rank1", "mAP")
HEAD = [f"{protocol} {metric}" for protocol in PROTOCOLS for metric in METRICS]
CEILING = 0  # as a seed: the supervised run
CEILING_LR = 1e-3  # labels that are right bear a higher rate


def script(*arguments, folder=None):
    """Run one of the project's scripts as a user does, in this folder or another checkout.

    Raises:
        UserError: it failed; what it said stands above.
    """
    print("+", *arguments, flush=True)
    status = subprocess.run([sys.executable, *map(str, arguments)], cwd=folder).returncode
    if status:
        raise UserError(f"{' '.join(map(str, arguments))}: exit status {status}")


def draw_people(out, world, *more, folder=None, module="tokenmatcher.people"):
    """A world's people, prepared."""
    flags = ["--train-ids", 100, "--test-ids", 40, "--workers", 2, *WORLDS[world], *more]
    script("-m", module, "sysu", "--out", out, *flags, folder=folder)
    script("prepare_sysu.py", "--data-dir", out, folder=folder)


def demo(data, logs, seed):
    """Scores of the four models of one run; kept in `logs`."""
    if (logs / "scores.json").is_file():
        return json.loads((logs / "scores.json").read_text())
    script(
        "-m", "examples.demo", "--data-dir", data, "--logs-dir", logs, "--seed", seed, "--no-progress",
        "--json", logs / "scores.json",
    )  # fmt: skip
    return json.loads((logs / "scores.json").read_text())


def ceiling(data, work, seed):
    """All-search scores of the same network trained on true identities; kept in `work`."""
    kept = work / "scores.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    recipe, random = preset("sysu", "demo"), Randomness(seed)
    height, width = recipe.model.height, recipe.model.width
    sets = {
        m: ImageSet.load(
            found, m, data / "store", f"train-{m}", height=height, width=width, interpolation=recipe.data.resize
        )
        for m, found in Sysu().training(data).items()
    }
    names = np.intersect1d(*(images.identities for images in sets.values()))
    rows = {m: [np.flatnonzero(images.identities == name) for name in names] for m, images in sets.items()}
    model, cpu = load_model(START, config=recipe.model)[0].train(), torch.device("cpu")
    augmenter, optimizer = (
        Augmenter(recipe.data, (height, width), random.pixels),
        make_optimizer(model, recipe.schedule),
    )
    steps = sum(epochs * iters for epochs, iters in zip(recipe.schedule.epochs, recipe.schedule.iters, strict=True))
    for step in trange(steps, desc="ceiling"):
        set_learning_rate(optimizer, min(1.0, (step + 1) / 100) * cosine(step, steps, CEILING_LR, 1e-6))
        people = random.order.choice(len(names), recipe.data.batch_size, replace=False)
        drawn = {Modality.VISIBLE: augmenter.visible(len(people), jitter=True)}
        drawn[Modality.VISIBLE].source[::2] = draw_channels(len(people) // 2, random.pixels)
        drawn[Modality.INFRARED] = augmenter.infrared(len(people), jitter=True)
        images = {}
        for m, parameters in drawn.items():
            index = np.array([random.order.choice(rows[m][person]) for person in people])
            images[m] = apply(sets[m].store.batch(index, cpu), parameters, recipe.data)
        output = model(images[Modality.VISIBLE], images[Modality.INFRARED])
        pairs = output.features.view(1, 2, len(people), -1).transpose(1, 2)
        loss = tracklet_contrast(pairs, 0.1) + recipe.losses.lambda_diversity * token_diversity(output.tokens)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    size = {"height": height, "width": width}
    scores = Evaluator(sysu_benchmark(data), Machine(progress=True), store_dir=data / "store", **size)(model)
    work.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(scores))
    return scores


def part(work, world, seed):
    """One run of a world, or its ceiling."""
    data = Path("data/demo") if world == 0 else work / f"data{world}"
    draw_people(data, list(WORLDS)[world])
    if seed == CEILING:
        return ceiling(data, work / f"world{world}_ceiling", 1)
    return demo(data, work / f"world{world}_seed{seed}", seed)


def main():
    parser = benchmark_parser("demo", "The demo over several seeds and worlds.")
    parser.add_argument("--work", type=Path, default=Path("logs/benchmark_demo"), help="(default %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the first world (default 1 2 3)")
    parser.add_argument(
        "--part",
        type=int,
        nargs=2,
        metavar=("WORLD", "SEED"),
        help="one run; seed 0: the ceiling",
    )
    given = parser.parse_args()
    claim(given.work, {"recipe": preset("sysu", "demo").to_dict()})
    if given.part:
        part(given.work, *given.part)
        return
    result = {"recipe": preset("sysu", "demo").to_dict(), "worlds": {}}
    for number, (name, flags) in enumerate(WORLDS.items()):
        seeds = given.seeds if number == 0 else given.seeds[:1]
        runs = {seed: part(given.work, number, seed) for seed in seeds}
        top = part(given.work, number, CEILING) if number == 0 else None
        result["worlds"][name] = {"flags": flags, "runs": runs, "ceiling": top, "summary": summarise(runs)}
        rows = [[step, *cells(found)] for step, found in result["worlds"][name]["summary"].items()]
        if top is not None:
            rows.append(["supervised ceiling", *(f"{100 * top[p][m]:.1f}" for p in PROTOCOLS for m in METRICS)])
        print(f"\n{table([name, *HEAD], rows)}\n")
        write_result(given.out, "demo", result)


def summarise(runs):
    """Mean and (sample) standard deviation over the seeds, by step, protocol and metric."""

    def over_seeds(step, protocol, metric):
        values = [scores[step][protocol][metric] for scores in runs.values()]
        return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=min(1, len(values) - 1)))}

    return {
        step: {protocol: {metric: over_seeds(step, protocol, metric) for metric in METRICS} for protocol in PROTOCOLS}
        for step in next(iter(runs.values()))
    }


def cells(summary):
    """One step's row under HEAD."""
    return [f"{100 * v['mean']:.1f} ± {100 * v['std']:.1f}" for by in summary.values() for v in by.values()]


if __name__ == "__main__":
    run(main)
