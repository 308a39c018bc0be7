"""Training throughput and pseudo labels on one GPU.

    python -m benchmarks.gpu --out benchmarks/results/gpu.json
    python -m benchmarks.gpu --device cpu --scale 20 --steps 2       the same, reduced, to see that it runs

Training: stage 2 of the paper's recipe, 256 images a step, against the GPU's own bfloat16 matrix product; forward and
backward are counted as three forward passes. Labels: SYSU-MM01's numbers of features, already on the GPU.
"""

import time

import torch

from benchmarks.labels import SETTINGS, SIZES, people
from benchmarks.machine import benchmark_parser, macs_per_image, product_rate, write_result
from benchmarks.step import DemoSteps, PaperSteps
from tokenmatcher.cli import run
from tokenmatcher.machine import Machine
from tokenmatcher.mining.clusters import pseudo_labels
from tokenmatcher.report.tables import table
from tokenmatcher.training.step import train_step

# name: precision, compiled, recomputed
WAYS = {
    "fp32": ("fp32", False, False),
    "bf16": ("bf16", False, False),
    "bf16, compiled": ("bf16", True, False),
    "bf16, recomputed": ("bf16", False, True),
    "bf16, compiled, recomputed": ("bf16", True, True),
}


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def throughput(device, steps, rate, warm=5):
    """Images a second, share of the product's rate and peak memory of each way."""
    result = {}
    for name, (precision, compiled, recomputed) in WAYS.items():
        work = (PaperSteps if device.type == "cuda" else DemoSteps)(steps + warm, device=device)
        work.model.set_recompute(recomputed)
        if compiled:
            work.model.compile()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for step, batch in enumerate(work.batches()):
            if step == warm:
                wait(device)
                start = time.perf_counter()
            train_step(work.model, work.objective, batch, work.optimizer, Machine(device, precision))
        wait(device)
        seconds = (time.perf_counter() - start) / steps
        images = sum(len(index) for index in batch.index.values())
        share = 3 * 2 * macs_per_image(work.model.config) * images / seconds / rate
        result[name] = {
            "images_per_second": images / seconds,
            "seconds_per_step": seconds,
            "share_of_product_rate": share,
            "peak_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
        }
        print(f"{name}: {images / seconds:.0f} images/s, {100 * share:.0f} % of the product's rate", flush=True)
        del work
    return result


def labels(device, scale):
    """Seconds from features on the device to labels."""
    result = {}
    for name, count in SIZES.items():
        features = people(count // scale, 3072).to(device)
        pseudo_labels(features[:2000], **SETTINGS)
        wait(device)
        start = time.perf_counter()
        found = pseudo_labels(features, **SETTINGS)
        result[name] = {
            "images": len(features),
            "seconds": time.perf_counter() - start,
            "clusters": found.num_clusters,
        }
    return result


def main():
    parser = benchmark_parser("gpu", "Training throughput and pseudo labels on one GPU.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="(default %(default)s)")
    parser.add_argument("--scale", type=int, default=1, help="divides the numbers of features (default 1)")
    parser.add_argument("--steps", type=int, default=20, help="training steps timed (default %(default)s)")
    given = parser.parse_args()
    device = torch.device(given.device)
    rate = product_rate(device, torch.bfloat16, 8192 if device.type == "cuda" else 1024)
    result = {"device": given.device, "product_tflops": rate / 1e12, "labels": labels(device, given.scale)}
    result["training"] = throughput(device, given.steps, rate)
    rows = [[name, str(r["images"]), f"{r['seconds']:.2f} s"] for name, r in result["labels"].items()]
    print(table(["labels", "images", "seconds (under 1)"], rows))
    write_result(given.out, "gpu", result)


if __name__ == "__main__":
    run(main)
