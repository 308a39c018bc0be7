"""Pseudo labels for a million images on two cores: approximate neighbours, then the same sparse pipeline.

    python -m benchmarks.million --out benchmarks/results/million.json

Features by rule (`benchmarks.labels.people`): 1,000,000 x 768, 56 pictures a person in 4 cameras. Reports time, the
process's peak memory (features and index included), recall of true neighbours on a sample, agreement with the people
that the features were made from, and on 50,000 images the agreement by approximate and by exact search.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from benchmarks.labels import SETTINGS, peak_bytes, people
from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.mining.clusters import pseudo_labels
from tokenmatcher.mining.faiss_search import IMAGES_PER_LIST, POINTS_PER_LIST, PROBES, ROUNDS
from tokenmatcher.mining.knn import nearest

SUBSET, SAMPLE = 50_000, 2_000


def measure(count, width, backend, folder):
    """In a process of its own: labels of all images by one search."""
    features, owners = people(count, width, with_owners=True)
    start = time.perf_counter()
    lists = nearest(features, SETTINGS["k1"], backend=backend, progress=True)
    searched = time.perf_counter() - start
    labels = pseudo_labels(features, **SETTINGS, neighbours=lists, progress=True).labels
    seconds = time.perf_counter() - start
    result = {"seconds": seconds, "seconds_of_search": searched, "peak_bytes": peak_bytes()}
    result |= agreement(labels, owners)
    np.save(folder / "labels.npy", labels)
    print(json.dumps(result))


def agreement(labels, owners):
    """With the people: over the clustered images, and over all with every outlier a cluster of its own."""
    clustered = labels >= 0
    alone = np.where(clustered, labels, labels.max() + 1 + np.arange(len(labels)))
    return {
        "clusters": int(labels.max()) + 1,
        "outliers": int((~clustered).sum()),
        "ari_clustered": float(adjusted_rand_score(owners[clustered], labels[clustered])),
        "ari_all": float(adjusted_rand_score(owners, alone)),
    }


def recall(count, width):
    """Share of the true k1 neighbours of a sample of images that the inverted lists find."""
    features = people(count, width)
    sample = torch.from_numpy(np.random.default_rng(0).choice(count, SAMPLE, replace=False))
    true = nearest(features, SETTINGS["k1"], rows=sample, block=100)[1]
    found = nearest(features, SETTINGS["k1"], rows=sample, backend="ivf")[1]
    return float((found[:, :, None] == true[:, None, :]).any(dim=2).float().mean())


def in_process(count, width, backend, folder):
    command = [sys.executable, "-m", "benchmarks.million", "--measure", backend, "--count", str(count)]
    done = subprocess.run(
        [*command, "--width", str(width), "--work", str(folder)], check=True, stdout=subprocess.PIPE, text=True
    )
    result = json.loads(done.stdout)
    minutes, gigabytes = result["seconds"] / 60, result["peak_bytes"] / 1e9
    print(f"{backend} {count}: {minutes:.1f} min, {gigabytes:.1f} GB, ARI {result['ari_all']:.4f}", flush=True)
    return result


def main():
    parser = benchmark_parser("million", "Pseudo labels for a million images.")
    parser.add_argument("--count", type=int, default=1_000_000, help="images (default 1,000,000)")
    parser.add_argument("--width", type=int, default=768, help="feature width (default 768)")
    parser.add_argument("--measure", choices=("torch", "ivf"), help="one search alone; prints JSON")
    parser.add_argument("--work", type=Path, help="folder for labels, with --measure")
    given = parser.parse_args()
    if given.measure:
        measure(given.count, given.width, given.measure, given.work)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subset = min(SUBSET, given.count)
        result = {
            "settings": SETTINGS,
            "images_per_list": IMAGES_PER_LIST,
            "probes": PROBES,
            "points_per_list": POINTS_PER_LIST,
            "rounds": ROUNDS,
            "images": given.count,
            "width": given.width,
            "subset": {search: in_process(subset, given.width, search, folder) for search in ("torch", "ivf")},
            "all": in_process(given.count, given.width, "ivf", folder),
            "recall_of_true_neighbours": recall(given.count, given.width),
        }
    difference = abs(result["subset"]["torch"]["ari_all"] - result["subset"]["ivf"]["ari_all"])
    result["subset_ari_difference"] = difference
    print(f"recall {result['recall_of_true_neighbours']:.4f} (at least 0.98)")
    print(f"ARI on {subset} images: differs by {difference:.4f} between searches (at most 0.01)")
    write_result(given.out, "million", result)


if __name__ == "__main__":
    run(main)
