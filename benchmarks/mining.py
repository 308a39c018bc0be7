"""Neighbours and matching at SYSU-MM01's size, against the matrix products they need and the obvious loops.

    python -m benchmarks.mining --out benchmarks/results/mining.json

Neighbours: limit, the similarities of every token for the four ordered pairs of modalities; obvious, image by image
and token by token, timed on the first images and scaled to all. Matching 600 x 430 clusters: obvious, the largest
entry of what is left, again and again.
"""

import time

import numpy as np
import torch
from torch.nn import functional

from benchmarks.labels import SIZES, people
from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.mining.matchers.greedy import match_clusters
from tokenmatcher.mining.neighbours import token_neighbours
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import table

RECIPE = preset("sysu", "paper")
TOKENS, RATIO, VOTES = RECIPE.model.num_tokens, RECIPE.mining.neighbour_ratio, RECIPE.mining.votes
BLOCK = 1024
SPREAD = 0.25  # so that images have neighbours, by the vote of all tokens
LOOPED = 300  # images that the obvious way is timed on
CLUSTERS = (600, 430)


def seconds(device, function, *arguments, **named):
    start = time.perf_counter()
    result = function(*arguments, **named)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def products(anchors, targets):
    """Only the similarities, block by block."""
    slices = targets.chunk(TOKENS, dim=1)
    for rows in anchors.split(BLOCK):
        for anchor, target in zip(rows.chunk(TOKENS, dim=1), slices, strict=True):
            anchor @ target.T


def obvious_neighbours(anchors, targets):
    """Lists of neighbours, one image and one token at a time."""
    slices = targets.chunk(TOKENS, dim=1)
    found = []
    for row in anchors:
        votes = np.zeros(len(targets), dtype=np.int64)
        for anchor, target in zip(row.chunk(TOKENS), slices, strict=True):
            similarity = target @ anchor
            for candidate in torch.nonzero(similarity > RATIO * similarity.max())[:, 0].tolist():
                votes[candidate] += 1
        found.append([j for j, count in enumerate(votes.tolist()) if count >= VOTES])
    return found


def obvious_matching(visible, infrared):
    """The first phase alone: the largest entry left, until every row has a column."""
    similarity = (visible @ infrared.T).numpy().copy()
    if len(visible) < len(infrared):
        similarity = similarity.T.copy()
    held = np.zeros(similarity.shape[1], dtype=np.int64)
    for _ in range(len(similarity)):
        row, column = np.unravel_index(similarity.argmax(), similarity.shape)
        similarity[row] = -np.inf
        held[column] += 1
        if held[column] == RECIPE.mining.match_capacity:
            similarity[:, column] = -np.inf


def measure_neighbours(width, scale, device):
    sizes = [count // scale for count in SIZES.values()]
    features = people(sum(sizes), width, spread=SPREAD).to(device)  # the same people in either modality
    sets = dict(zip(SIZES, features.split(sizes), strict=True))
    total = {"products": 0.0, "ours": 0.0, "obvious": 0.0}
    counts = {}
    for anchor in sets.values():
        seconds(device, products, anchor[:BLOCK], anchor)  # warm
        break
    for first, anchors in sets.items():
        for second, targets in sets.items():
            total["products"] += seconds(device, products, anchors, targets)[0]
            spent, found = seconds(
                device, token_neighbours, anchors, targets, num_tokens=TOKENS, ratio=RATIO, votes=VOTES
            )
            total["ours"] += spent
            counts[f"{first} to {second}"] = float(found.counts.mean())
            spent, looped = seconds(device, obvious_neighbours, anchors[:LOOPED], targets)
            total["obvious"] += spent * len(anchors) / LOOPED
            same = all(
                np.array_equal(lists, found.indices[found.indptr[row] : found.indptr[row + 1]])
                for row, lists in enumerate(looped)
            )
            if not same:
                counts[f"{first} to {second}: differs from the loop"] = True
    return {
        "images": {name: len(features) for name, features in sets.items()},
        "seconds": total,
        "neighbours_per_image": counts,
        "ours_over_products": total["ours"] / total["products"],
        "obvious_over_ours": total["obvious"] / total["ours"],
    }


def measure_matching(width, device):
    random = torch.Generator().manual_seed(0)
    clusters = [
        functional.normalize(torch.randn(count, width, generator=random), dim=1).to(device) for count in CLUSTERS
    ]
    ours = [seconds(device, match_clusters, *clusters)[0] for _ in range(12)][2:]
    loop = [seconds(device, obvious_matching, *(c.cpu() for c in clusters))[0] for _ in range(3)]
    product = [seconds(device, torch.matmul, clusters[0], clusters[1].T)[0] for _ in range(12)][2:]
    spent = {name: 1000 * float(np.median(v)) for name, v in (("ours", ours), ("product", product), ("obvious", loop))}
    return {"clusters": CLUSTERS, "milliseconds": spent, "obvious_over_ours": spent["obvious"] / spent["ours"]}


def main():
    parser = benchmark_parser("mining", "Neighbours and matching at SYSU-MM01's size.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default %(default)s)")
    parser.add_argument("--scale", type=int, default=1, help="divides the numbers of images (default 1)")
    given = parser.parse_args()
    device, width = torch.device(given.device), TOKENS * RECIPE.model.embed_dim
    result = {
        "width": width,
        "neighbours": measure_neighbours(width, given.scale, device),
        "matching": measure_matching(width, device),
    }
    spent, match = result["neighbours"]["seconds"], result["matching"]["milliseconds"]
    rows = [
        ["neighbours", *(f"{spent[way]:.1f} s" for way in ("products", "ours", "obvious"))],
        ["matching", *(f"{match[way]:.2f} ms" for way in ("product", "ours", "obvious"))],
    ]
    print(table(["", "products (limit)", "ours", "obvious"], rows))
    print(f"neighbours: {result['neighbours']['ours_over_products']:.2f} times the products (at most 1.5)")
    write_result(given.out, "mining", result)


if __name__ == "__main__":
    run(main)
