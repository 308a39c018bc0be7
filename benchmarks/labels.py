"""Pseudo labels at SYSU-MM01's size on the CPU: ours, the dense textbook way, and the product all exact ways need.

    python -m benchmarks.labels --out benchmarks/results/labels.json

Each measurement is a process of its own, so that its peak memory is its own. Limit: the blocked matrix product with
top-k. Dense: N x N arrays throughout, as k-reciprocal re-ranking is usually written. `--growth` repeats ours on
growing sets. Peak memory is what the process holds beyond the features (Linux only).
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import DBSCAN
from torch.nn import functional

from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.mining.clusters import pseudo_labels
from tokenmatcher.mining.knn import nearest
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import table

SIZES = {"visible": 22_258, "infrared": 11_909}  # training images of SYSU-MM01
GROWTH = (5_000, 10_000, 20_000, 40_000, 80_000)
SETTINGS = {name: getattr(preset("sysu", "paper").clusters, name) for name in ("k1", "k2", "eps", "min_samples")}
BLOCK = 1024


def people(count, width, seed=0, *, spread=1.0, with_owners=False):
    """(N, D) unit rows: 56 pictures a person in 4 cameras, a shift for each camera; on demand (N,) the people.
    `spread` scales shifts and noise beside the unit vector that is the person."""
    random = torch.Generator().manual_seed(seed)
    owner = torch.randint(max(1, count // 56), (count,), generator=random)
    camera = torch.randint(4, (count,), generator=random)
    persons = functional.normalize(torch.randn(int(owner.max()) + 1, width, generator=random), dim=1)
    shifts = functional.normalize(torch.randn(4 * len(persons), width, generator=random), dim=1)
    features = torch.randn(count, width, generator=random).mul_(spread / math.sqrt(width))
    for rows in torch.arange(count).split(BLOCK):
        features[rows] += persons[owner[rows]] + 0.7 * spread * shifts[4 * owner[rows] + camera[rows]]
        features[rows] = functional.normalize(features[rows], dim=1)
    return (features, owner.numpy()) if with_owners else features


def product(features):
    """The blocked product and each row's k1 largest: the work that exact neighbours need."""
    for rows in features.split(BLOCK):
        (rows @ features.T).topk(SETTINGS["k1"], dim=1)


def reciprocal(ranking, image, k):
    forward = ranking[image, :k]
    return forward[(ranking[forward, :k] == image).any(axis=1)]


def dense(features):
    """The textbook: N x N similarities, full rankings, V and distances; a loop over the images."""
    k1, k2, size = SETTINGS["k1"], SETTINGS["k2"], len(features)
    similarity = torch.cat([rows @ features.T for rows in features.split(BLOCK)])
    similarity.fill_diagonal_(2.0)  # the image itself comes first
    ranking = similarity.argsort(dim=1, descending=True, stable=True).numpy()
    similarity.fill_diagonal_(1.0)
    similarity = similarity.numpy()

    half = int(np.around(k1 / 2)) + 1
    encoding = np.zeros((size, size), dtype=np.float32)
    for image in range(size):
        base = reciprocal(ranking, image, k1)
        members = [base]
        for near in base:
            candidate = reciprocal(ranking, near, half)
            if 3 * len(np.intersect1d(candidate, base)) > 2 * len(candidate):
                members.append(candidate)
        members = np.unique(np.concatenate(members))
        weights = np.exp(2 * similarity[image, members].astype(np.float64) - 2)
        encoding[image, members] = weights / weights.sum()
    del similarity
    encoding = np.stack([encoding[ranking[image, :k2]].mean(axis=0) for image in range(size)])
    del ranking
    holders = [np.flatnonzero(encoding[:, column]) for column in range(size)]
    distance = np.zeros((size, size), dtype=np.float32)
    for image in range(size):
        shared = np.zeros(size)
        for column in np.flatnonzero(encoding[image]):
            rows = holders[column]
            shared[rows] += np.minimum(encoding[image, column], encoding[rows, column])
        distance[image] = np.clip(1 - shared / (2 - shared), 0, None)
    found = DBSCAN(eps=SETTINGS["eps"], min_samples=SETTINGS["min_samples"], metric="precomputed")
    return found.fit_predict(distance)


def ours(features):
    return pseudo_labels(features, **SETTINGS).labels


def search(features):
    """The part of ours that is quadratic."""
    nearest(features, SETTINGS["k1"])


WAYS = {"product": product, "ours": ours, "dense": dense, "search": search}


def peak_bytes():
    return 1024 * next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )


def measure(way, count, width, folder):
    """Runs in a process of its own: seconds, peak bytes beyond the features, labels."""
    features = people(count, width)
    (features[:512] @ features[:512].T).topk(8)  # libraries are loaded and threads started before the clock
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, start = peak_bytes(), time.perf_counter()
    labels = WAYS[way](features)
    result = {"seconds": time.perf_counter() - start, "peak_bytes": peak_bytes() - before}
    if labels is not None:
        np.save(folder / f"{way}.npy", labels)
        result |= {"clusters": int(labels.max()) + 1, "outliers": int((labels < 0).sum())}
    print(json.dumps(result))


def in_process(way, count, width, folder):
    command = [sys.executable, "-m", "benchmarks.labels", "--measure", way, "--count", str(count)]
    done = subprocess.run(
        [*command, "--width", str(width), "--work", str(folder)], check=True, capture_output=True, text=True
    )
    result = json.loads(done.stdout)
    print(f"{way:8s} {count:6d} x {width}: {result['seconds']:7.1f} s, {result['peak_bytes'] / 2**20:7.0f} MiB")
    return result


def compare(width, folder):
    result = {}
    for name, count in SIZES.items():
        ways = {way: in_process(way, count, width, folder) for way in ("product", "ours", "dense")}
        same = bool((np.load(folder / "ours.npy") == np.load(folder / "dense.npy")).all())
        limit = ways["product"]["seconds"]
        result[name] = {
            "images": count,
            **ways,
            "labels_identical": same,
            "ours_over_product": ways["ours"]["seconds"] / limit,
            "dense_over_product": ways["dense"]["seconds"] / limit,
            "dense_over_ours": ways["dense"]["seconds"] / ways["ours"]["seconds"],
        }
    return result


def growth(width, folder):
    """Ours, its search and the product on growing sets."""
    rows = []
    for count in GROWTH:
        found = {way: in_process(way, count, width, folder) for way in ("product", "ours", "search")}
        rest = found["ours"]["seconds"] - found["search"]["seconds"]
        rows.append({"images": count, **found, "seconds_beside_the_search": rest})
    return rows


def report(result):
    rows = [
        [name, f"{r['product']['seconds']:.1f} s", f"{r['ours']['seconds']:.1f} s", f"{r['dense']['seconds']:.1f} s",
         f"{r['ours_over_product']:.2f}", f"{r['dense_over_product']:.1f}", f"{r['ours']['peak_bytes'] / 1e9:.2f} GB",
         f"{r['dense']['peak_bytes'] / 1e9:.1f} GB", "identical" if r["labels_identical"] else "DIFFER"]
        for name, r in result["sizes"].items()
    ]  # fmt: skip
    head = ["set", "product (limit)", "ours", "dense", "ours/limit", "dense/limit", "ours peak", "dense peak", "labels"]
    print(f"\n{table(head, rows)}")
    if result["growth"]:
        first = result["growth"][0]
        rows = []
        for found in result["growth"]:
            scale = found["images"] / first["images"]
            n_log_n = scale * math.log(found["images"]) / math.log(first["images"])
            rows.append(
                [str(found["images"]), f"{found['product']['seconds']:.1f} s", f"{found['ours']['seconds']:.1f} s",
                 f"{found['ours']['seconds'] / first['ours']['seconds']:.1f}",
                 f"{found['seconds_beside_the_search'] / first['seconds_beside_the_search']:.1f}",
                 f"{scale**2:.0f}", f"{n_log_n:.1f}", f"{found['ours']['peak_bytes'] / 1e9:.2f} GB"]
            )  # fmt: skip
        head = ["images", "product", "ours", "ours grew", "beside the search", "N^2", "N log N", "ours peak"]
        print(f"\n{table(head, rows)}")


def main():
    parser = benchmark_parser("labels", "Pseudo labels at SYSU-MM01's size on the CPU.")
    parser.add_argument("--width", type=int, default=3072, help="feature width (default 3072: four tokens of 768)")
    parser.add_argument("--growth-width", type=int, default=768, help="feature width of the growing sets (default 768)")
    parser.add_argument("--measure", choices=WAYS, help="one way alone; prints JSON")
    parser.add_argument("--count", type=int, help="images, with --measure")
    parser.add_argument("--work", type=Path, help="folder for labels, with --measure")
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.count, given.width, given.work)
        return
    with tempfile.TemporaryDirectory() as name:
        sizes = compare(given.width, Path(name))
        grown = growth(given.growth_width, Path(name))
    result = {"settings": SETTINGS}
    result |= {"width": given.width, "sizes": sizes, "growth_width": given.growth_width, "growth": grown}
    report(result)
    write_result(given.out, "labels", result)


if __name__ == "__main__":
    run(main)
