"""An index of up to a million pictures: time to build, time of a query, what a search finds of the true ten.

    python -m benchmarks.gallery                          10,000, 100,000 and 1,000,000; some five minutes
    python -m benchmarks.gallery --sizes 10000 100000
    python -m benchmarks.gallery --measure spectra        of logs/demo and data/demo, which `sh run_demo.sh` makes

Features of the demo's kind: unit vectors 768 wide, 25 pictures a person. Their mean, and their variances between people
and within a person, direction by direction, are those of the demo's trained model on visible pictures (`--measure
spectra` prints them). 200 more of the same people are the queries. Building and searching are processes of their own,
so that each one's peak memory is its own. Beside the time on the clock stands the processor time of all cores, which
other programs at work on the machine do not lengthen. Recall@10: share of the ten most similar by NumPy, exactly, that
the search finds.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import lancedb
import numpy as np

from benchmarks.labels import peak_bytes
from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher import TokenMatcher
from tokenmatcher.cli import run
from tokenmatcher.contracts import Modality
from tokenmatcher.gallery.records import About, Entry, Filter
from tokenmatcher.gallery.stores import lance, open_store
from tokenmatcher.report.tables import table

QUERIES, TOP, BATCH, EXACT = 200, 10, 10_000, 5
PROBES = (4, 8, 16, 32, 64)
A_PERSON = 25  # pictures
DIRECTIONS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
MEAN = 0.26
BETWEEN = (5.2e-2, 4.2e-2, 3.1e-2, 2.6e-2, 1.5e-2, 4.2e-3, 1.3e-3, 1.5e-4, 8.5e-6, 1e-9)
WITHIN = (4.7e-2, 4.2e-2, 3.2e-2, 2.1e-2, 1.4e-2, 1e-2, 5.3e-3, 1.4e-3, 2.5e-4, 3.2e-5)


def demo_kind(count, width):
    """(N, D) float32 unit rows. Variances between the measured directions by interpolation of their logarithms."""
    random = np.random.default_rng(0)
    between, within = (
        np.exp(np.interp(np.arange(width), DIRECTIONS, np.log(known)) / 2).astype(np.float32)
        for known in (BETWEEN, WITHIN)
    )
    people = between * random.standard_normal((max(1, count // A_PERSON), width), dtype=np.float32)
    owner = random.integers(len(people), size=count)
    features = np.empty((count, width), dtype=np.float32)
    for first in range(0, count, BATCH):
        rows = slice(first, first + BATCH)
        own = people[owner[rows]]
        features[rows] = own + within * random.standard_normal(own.shape, dtype=np.float32)
        features[rows, -1] += MEAN
        features[rows] /= np.linalg.norm(features[rows], axis=1, keepdims=True)
    return features


def spectra(checkpoint, data):
    """What MEAN, BETWEEN and WITHIN are taken from; prints them."""
    pictures = sorted(path for camera in (1, 2, 4, 5) for path in data.glob(f"cam{camera}/*/*.jpg"))
    features = TokenMatcher.from_checkpoint(checkpoint, device="cpu").embed(pictures, "visible").numpy()
    _, owner = np.unique([path.parent.name for path in pictures], return_inverse=True)
    people = np.stack([features[owner == one].mean(axis=0) for one in range(owner.max() + 1)])
    said(mean=float(np.linalg.norm(features.mean(axis=0))), pictures=len(pictures), people=len(people))
    for name, rows in (("between", people), ("within", features - people[owner])):
        values = np.maximum(np.linalg.eigvalsh(np.cov(rows.T))[::-1], 1e-9)
        said(**{name: [float(f"{values[n]:.1e}") for n in DIRECTIONS]})


def closest(features, queries):
    """(Q, TOP) rows of `features`, exactly, in any order."""
    found = [np.argpartition(-(part @ features.T), TOP, axis=1)[:, :TOP] for part in np.split(queries, 20)]
    return np.concatenate(found)


def entry(number):
    return Entry(f"/pictures/{number:07d}.jpg", Modality.VISIBLE, str(number % 4), None, 1, 1)


def build(count, width, folder):
    """Features, the true ten of each query, the index; a line of JSON for each step."""
    features = demo_kind(count + QUERIES, width)
    features, queries = features[:count], features[count:]
    np.savez(folder / "queries.npz", queries=queries, true=closest(features, queries))
    store = open_store(str(folder / "index"), About("by rule", width, "none"))
    start = time.perf_counter()
    for first in range(0, count, BATCH):
        store.add([entry(n) for n in range(first, min(first + BATCH, count))], features[first : first + BATCH])
    said(add_seconds=time.perf_counter() - start)
    start = time.perf_counter()
    store.optimise()
    bytes_ = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    said(optimise_seconds=time.perf_counter() - start, disk_bytes=bytes_, build_peak_bytes=peak_bytes())


def search(folder):
    """Time and recall by lists read; a line of JSON for each."""
    with np.load(folder / "queries.npz") as file:
        queries, true = file["queries"], file["true"]
    store = open_store(str(folder / "index"))
    lists, read = bool(store.table.list_indices()), lance.PROBES
    for probes in PROBES if lists else (0,):
        lance.PROBES = probes or lance.PROBES
        timed(store, queries[:20], Filter())  # the first ones read the disk
        seconds, busy, found = timed(store, queries, Filter())
        shares = [len(set(a) & set(b.tolist())) / TOP for a, b in zip(found, true, strict=True)]
        said(
            probes=probes, median_ms=1000 * median(seconds), p95_ms=1000 * float(np.quantile(seconds, 0.95)),
            median_cpu_ms=1000 * median(busy), recall_at_10=float(np.mean(shares)),
        )  # fmt: skip
    said(search_peak_bytes=peak_bytes())
    where = Filter(cameras=("3",))
    lance.PROBES = read
    said(one_camera_median_ms=1000 * median(timed(store, queries[:50], where)[0]))
    if lists:
        seconds = []
        for query in queries[:EXACT]:
            start = time.perf_counter()
            store.table.search(query).distance_type("dot").bypass_vector_index().limit(TOP).select(["path"]).to_list()
            seconds.append(time.perf_counter() - start)
        said(exact_median_ms=1000 * median(seconds))


def timed(store, queries, where):
    """Of each query: seconds on the clock, and of all cores together; numbers of what was found."""
    seconds, busy, found = [], [], []
    for query in queries:
        start, work = time.perf_counter(), time.process_time()
        (hits,) = store.search(query[None], TOP, where)
        seconds.append(time.perf_counter() - start)
        busy.append(time.process_time() - work)
        found.append([int(Path(hit.entry.path).stem) for hit in hits])
    return seconds, busy, found


def said(**facts):
    print(json.dumps(facts), flush=True)


def in_process(step, count, width, folder, seconds):
    """What a step said, as far as it came in that time."""
    command = [sys.executable, "-m", "benchmarks.gallery", "--measure", step, "--sizes", str(count)]
    with (folder / "said").open("w+") as file:
        try:
            subprocess.run(
                [*command, "--width", str(width), "--work", str(folder)], check=True, stdout=file, timeout=seconds
            )
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        file.seek(0)
        lines = [json.loads(line) for line in file if line.startswith("{")]
    facts = {"ended": ended, "searches": [line for line in lines if "probes" in line]}
    for line in lines:
        if "probes" not in line:
            facts.update(line)
    return facts


def measured(count, width, seconds):
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = in_process("build", count, width, folder, seconds)
        if facts["ended"]:
            facts.update(in_process("search", count, width, folder, max(1, deadline - time.monotonic())))
    return facts


def main():
    parser = benchmark_parser("gallery", "An index of up to a million pictures.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="pictures")
    parser.add_argument("--width", type=int, default=768, help="feature width (default 768)")
    parser.add_argument("--minutes", type=float, default=30, help="for a size at most (default 30)")
    parser.add_argument("--measure", choices=("build", "search", "spectra"), help="one step alone; prints JSON")
    parser.add_argument("--work", type=Path, help="folder of the index, with --measure")
    given = parser.parse_args()
    if given.measure == "build":
        build(given.sizes[0], given.width, given.work)
    elif given.measure == "search":
        search(given.work)
    elif given.measure == "spectra":
        spectra(Path("logs/demo/stage2/last.pt"), Path("data/demo"))
    else:
        sizes = {}
        for count in given.sizes:
            sizes[count] = measured(count, given.width, 60 * given.minutes)
            result = {"lancedb": lancedb.__version__, "width": given.width, "queries": QUERIES, "sizes": sizes}
            write_result(given.out, "gallery", result)
            rows = [
                [
                    str(s["probes"] or "all"),
                    f"{s['median_ms']:.1f}",
                    f"{s['p95_ms']:.1f}",
                    f"{s['median_cpu_ms']:.1f}",
                    f"{s['recall_at_10']:.4f}",
                ]
                for s in sizes[count]["searches"]
            ]
            print(f"{count:,} pictures: {json.dumps({k: v for k, v in sizes[count].items() if k != 'searches'})}")
            print(table(["lists read", "median, ms", "95 %, ms", "of all cores", "recall@10"], rows))


if __name__ == "__main__":
    run(main)
