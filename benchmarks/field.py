"""What each method of the field finds out before an epoch, at SYSU-MM01's size on the CPU: ours against the dense way.

    python -m benchmarks.field --out benchmarks/results/field.json
    python -m benchmarks.field --scale 4          # a quarter of the images

Labels of both modalities, then what joins them: TokenMatcher's token neighbours and greedy matching, SDCL's ranking
association, ADCA's counts of similar images, PGM's assignment, each on features as wide as its network's. Dense: whole
N x N arrays, full rankings, one sort of all pairs; vectorised, and so no worse than it has to be. Both ways are given
the same features and, but for labels, the same clusters, and their results are compared. Each measurement is a process
of its own, so that its peak memory is its own (Linux only); it counts what the process holds beyond the features.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional

from benchmarks.labels import SETTINGS, SIZES, dense, peak_bytes, people
from benchmarks.machine import benchmark_parser, write_result
from benchmarks.mining import obvious_matching
from tokenmatcher.cli import run
from tokenmatcher.contracts import PseudoLabels
from tokenmatcher.mining.association import associate
from tokenmatcher.mining.clusters import pseudo_labels
from tokenmatcher.mining.matchers.counts import accepted_pairs, count_alike
from tokenmatcher.mining.matchers.greedy import match_clusters
from tokenmatcher.mining.matchers.hungarian import assign_in_rounds
from tokenmatcher.mining.neighbours import token_neighbours
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import table

MINING = preset("sysu", "paper").mining
TOKENS = preset("sysu", "paper").model.num_tokens
RANKED = preset("sysu", "paper", "sdcl").mining.match_ranked
THRESHOLD = preset("sysu", "paper", "adca").matching.match_threshold
WIDTHS = {"tokenmatcher": 4 * 768, "sdcl": 2 * 768, "adca": 2048, "pgm": 2048}
SPREAD = 0.25  # so that images have neighbours, by the vote of all tokens
CLUSTERS = (738, 425)  # of PGM's log on SYSU-MM01, at the end
ROUNDING = 1e-6  # a similarity of slices about 1/2 long: 0.25 * sqrt(768) * 2**-24 = 4e-7; as much for the threshold


def labels_ours(visible, infrared, _owners):
    return np.concatenate([pseudo_labels(features, **SETTINGS).labels for features in (visible, infrared)])


def labels_dense(visible, infrared, _owners):
    return np.concatenate([dense(features) for features in (visible, infrared)])


def neighbours_ours(visible, infrared, _owners):
    pairs = [(a, b) for a in (visible, infrared) for b in (visible, infrared)]
    found = [
        token_neighbours(a, b, num_tokens=TOKENS, ratio=MINING.neighbour_ratio, votes=MINING.votes) for a, b in pairs
    ]
    return np.concatenate([[one.counts, sums(one.counts, one.indices)] for one in found], axis=1)


def sums(counts, indices):
    """Of each image's neighbours the sum of their numbers, by which two lists of one length are told apart."""
    return np.bincount(np.repeat(np.arange(len(counts)), counts), weights=indices, minlength=len(counts)).astype(int)


def neighbours_dense(visible, infrared, _owners):
    found = []
    for anchors in (visible, infrared):
        for targets in (visible, infrared):
            votes = torch.zeros(len(anchors), len(targets), dtype=torch.uint8)
            for a, b in zip(anchors.chunk(TOKENS, 1), targets.chunk(TOKENS, 1), strict=True):
                similarity = a @ b.T
                votes += similarity > MINING.neighbour_ratio * similarity.max(1, keepdim=True).values
            rows, columns = (votes >= MINING.votes).numpy().nonzero()
            counts = np.bincount(rows, minlength=len(anchors))
            found.append([counts, sums(counts, columns)])
    return np.concatenate(found, axis=1)


def neighbours_by_rounding(visible, infrared, _owners, one, two):
    """The share of images whose neighbours agree, or differ by similarities so near the threshold that float32 may put
    them on either side: both counts lie between those in float64 of a threshold raised and lowered by ROUNDING."""
    within, start = (one == two).all(0), 0
    for anchors in (visible, infrared):
        for targets in (visible, infrared):
            here = slice(start, start + len(anchors))
            rows = np.flatnonzero(~within[here])
            fewest, most = (torch.zeros(len(rows), len(targets), dtype=torch.uint8) for _ in range(2))
            for a, b in zip(anchors[rows].chunk(TOKENS, 1), targets.chunk(TOKENS, 1), strict=True):
                similarity = a.double() @ b.double().T
                threshold = MINING.neighbour_ratio * similarity.max(1, keepdim=True).values
                fewest += similarity > threshold + ROUNDING
                most += similarity > threshold - ROUNDING
            fewest, most = ((votes >= MINING.votes).sum(1).numpy() for votes in (fewest, most))
            both = np.stack([one[0, here][rows], two[0, here][rows]])
            within[start + rows] = (both >= fewest).all(0) & (both <= most).all(0)
            start = here.stop
    return float(within.mean())


def association_ours(visible, infrared, owners):
    return associate(visible.chunk(2, 1), infrared.chunk(2, 1), owners[1], ranked=RANKED)


def association_dense(visible, infrared, owners):
    lists = []
    for own, other in zip(visible.chunk(2, 1), infrared.chunk(2, 1), strict=True):
        similarity = functional.normalize(own, dim=1) @ functional.normalize(other, dim=1).T
        lists.append(owners[1].labels[similarity.argsort(dim=1, descending=True, stable=True)[:, :RANKED].numpy()])
    deep, shallow = lists
    score = (deep[:, :, None] == shallow[:, None, :]).sum(2)
    found = deep[np.arange(len(deep)), score.argmax(1)]
    unit = torch.cat([functional.normalize(part, dim=1) for part in visible.chunk(2, 1)], dim=1)
    votes = np.sort(found[(unit @ unit.T).argsort(dim=1, descending=True, stable=True)[:, :5].numpy()], axis=1)
    return votes[np.arange(len(votes)), (votes[:, :, None] == votes[:, None, :]).sum(2).argmax(1)]


def counts_ours(visible, infrared, owners):
    return accepted_pairs(count_alike(visible, infrared, *owners, threshold=THRESHOLD))


def counts_dense(visible, infrared, owners):
    """One sort of all pairs, as published."""
    similarity = (visible @ infrared.T).numpy()
    order = np.argsort(-similarity, axis=None)
    order = order[: int((similarity >= THRESHOLD).sum())]
    v, r = (labels.labels[rows] for labels, rows in zip(owners, np.unravel_index(order, similarity.shape), strict=True))
    pairs, first, counts = np.unique(v * owners[1].num_clusters + r, return_index=True, return_counts=True)
    taken, found = (set(), set()), []
    for pair in pairs[np.lexsort((first, -counts))]:
        cluster = divmod(int(pair), owners[1].num_clusters)
        if cluster[0] not in taken[0] and cluster[1] not in taken[1]:
            taken[0].add(cluster[0]), taken[1].add(cluster[1])
            found.append(cluster)
    return np.array(found)


def greedy_ours(visible, infrared, _owners):
    return match_clusters(visible, infrared).column_of_row


def greedy_dense(visible, infrared, _owners):
    obvious_matching(visible, infrared)


def rounds_ours(visible, infrared, _owners):
    return assign_in_rounds((visible @ infrared.T).numpy())[0]


def rounds_dense(visible, infrared, _owners):
    """Columns of zeros until the matrix is square; two rounds, as published."""
    cost = np.exp(-(visible @ infrared.T).numpy().astype(np.float64))
    column, left = np.full(len(cost), -1), np.arange(len(cost))
    for _ in range(2):
        padded = np.zeros((len(left), max(cost.shape[1], len(left))))
        padded[:, : cost.shape[1]] = cost[left]
        rows, columns = linear_sum_assignment(padded)
        real = columns < cost.shape[1]
        column[left[rows[real]]] = columns[real]
        left = np.flatnonzero(column < 0)
    return column


PARTS = {  # by method: what it finds out, ours and dense
    "tokenmatcher": {
        "labels": (labels_ours, labels_dense),
        "neighbours": (neighbours_ours, neighbours_dense),
        "greedy matching": (greedy_ours, greedy_dense),
    },
    "sdcl": {"labels": (labels_ours, labels_dense), "association": (association_ours, association_dense)},
    "adca": {"labels": (labels_ours, labels_dense), "counts": (counts_ours, counts_dense)},
    "pgm": {"labels": (labels_ours, labels_dense), "assignment": (rounds_ours, rounds_dense)},
}
SHARES = ("share_alike", "share_alike_but_rounding")
OF_CENTROIDS = ("greedy matching", "assignment")
SAME_AS = {"pgm": "adca"}  # labels of features of the same width are made once


def given_to(method, part, scale):
    """Features of both modalities, and whose they are; or clusters' centroids, where these are matched."""
    if part in OF_CENTROIDS:
        random = torch.Generator().manual_seed(0)
        return *(
            functional.normalize(torch.randn(count, WIDTHS[method], generator=random), dim=1) for count in CLUSTERS
        ), None
    sizes = [count // scale for count in SIZES.values()]
    features, owner = people(sum(sizes), WIDTHS[method], spread=SPREAD, with_owners=True)
    owners = [PseudoLabels(np.unique(rows, return_inverse=True)[1]) for rows in np.split(owner, sizes[:1])]
    return *features.split(sizes), owners


def measure(method, part, way, scale, out):
    """Runs in a process of its own: seconds and peak bytes beyond the features; the result goes into a file."""
    visible, infrared, owners = given_to(method, part, scale)
    (visible[:512] @ visible[:512].T).topk(8)  # libraries are loaded and threads started before the clock
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, start = peak_bytes(), time.perf_counter()
    found = PARTS[method][part][way](visible, infrared, owners)
    print(json.dumps({"seconds": time.perf_counter() - start, "peak_bytes": peak_bytes() - before}))
    if found is not None:
        np.save(out, found)


def compared(method, part, scale, folder):
    result, files = {}, []
    for way, name in enumerate(("ours", "dense")):
        files.append(folder / f"{method}-{part}-{name}.npy")
        words = ["--measure", method, part, str(way), str(files[-1]), "--scale", str(scale)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.field", *words], check=True, capture_output=True, text=True
        )
        result[name] = json.loads(done.stdout)
        print(f"{method} {part} {name}: {result[name]['seconds']:.2f} s", flush=True)
    result["dense_over_ours"] = result["dense"]["seconds"] / result["ours"]["seconds"]
    if all(path.is_file() for path in files):
        one, two = (np.load(path) for path in files)
        assert one.shape == two.shape, f"{method} {part}: {one.shape} and {two.shape}"
        result["share_alike"] = float((one == two).all(0).mean() if one.ndim > 1 else (one == two).mean())
        if part == "neighbours":
            result["share_alike_but_rounding"] = neighbours_by_rounding(*given_to(method, part, scale), one, two)
    return result


def main():
    parser = benchmark_parser("field", "What each method finds out before an epoch, against the dense way.")
    parser.add_argument("--scale", type=int, default=1, help="divides the numbers of images (default 1)")
    parser.add_argument("--measure", nargs=4, metavar=("METHOD", "PART", "WAY", "OUT"), help="one alone; prints JSON")
    given = parser.parse_args()
    if given.measure:
        method, part, way, out = given.measure
        measure(method, part, int(way), given.scale, out)
        return
    methods = {}
    with tempfile.TemporaryDirectory() as name:
        for method, parts in PARTS.items():
            methods[method] = {
                part: methods[SAME_AS[method]][part]
                if part == "labels" and method in SAME_AS
                else compared(method, part, given.scale, Path(name))
                for part in parts
            }
    rows = []
    for method, parts in methods.items():
        for part, found in parts.items():
            ours, other = found["ours"], found["dense"]
            rows.append(
                [method, part, f"{ours['seconds']:.2f} s", f"{other['seconds']:.2f} s",
                 f"{found['dense_over_ours']:.1f}", f"{ours['peak_bytes'] / 1e9:.2f} GB",
                 f"{other['peak_bytes'] / 1e9:.2f} GB", *(f"{found[s]:.6f}" if s in found else "-" for s in SHARES)]
            )  # fmt: skip
    head = ["method", "what", "ours", "dense", "dense/ours", "ours peak", "dense peak", "alike", "alike but rounding"]
    print(table(head, rows))
    images = {name: count // given.scale for name, count in SIZES.items()}
    write_result(given.out, "field", {"images": images, "clusters": CLUSTERS, "widths": WIDTHS, "methods": methods})


if __name__ == "__main__":
    run(main)
