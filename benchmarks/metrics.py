"""The SYSU-MM01 test's scores: all queries at once against one query after the other.

    python -m benchmarks.metrics --out benchmarks/results/metrics.json

Random features of SYSU-MM01's test: 96 people, 3,803 queries, 301 gallery images, ten trials of all-search; the
similarities are there already. Limit: one sort of each row. Both ways must give the same scores.
"""

import time

import numpy as np
import torch
from torch.nn import functional

from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.evaluation.metrics import NUM_RANKS, Scores, cross_modality_scores, mean_scores
from tokenmatcher.report.tables import table

PEOPLE, QUERIES, TRIALS, WIDTH = 96, 3_803, 10, 3_072
QUERY_CAMERAS, GALLERY_CAMERAS = (3, 6), (1, 2, 4, 5)
HIDDEN = {(3, 2)}
REPEATS = 5  # of each way; the fastest counts


def trials(seed=0):
    """Ten of (similarity, query ids, gallery ids, query cameras, gallery cameras)."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((PEOPLE, WIDTH))

    def features(ids):
        return functional.normalize(
            torch.from_numpy(centres[ids] + 6 * random.standard_normal((len(ids), WIDTH))).float(), dim=1
        )

    query_ids, query_cameras = random.integers(PEOPLE, size=QUERIES), random.choice(QUERY_CAMERAS, QUERIES)
    queries = features(query_ids)
    seen = np.array([(person, camera) for person in range(PEOPLE) for camera in GALLERY_CAMERAS])
    found = []
    for _ in range(TRIALS):
        gallery = seen[np.sort(random.choice(len(seen), 301, replace=False))]
        found.append((queries @ features(gallery[:, 0]).T, query_ids, gallery[:, 0], query_cameras, gallery[:, 1]))
    return found


def ours(similarity, *names):
    return cross_modality_scores(similarity, *names, excluded_cameras=HIDDEN, distinct_identities=True)


def limit(similarity, *_):
    similarity.sort(dim=1)


def loop(similarity, query_ids, gallery_ids, query_cameras, gallery_cameras):
    """Query by query: sort, hide, find the first image of each person, average precision, inverse penalty."""
    similarity = similarity.numpy()
    cmc, precisions, penalties, counted = np.zeros(NUM_RANKS), [], [], 0
    for query in range(len(similarity)):
        order = np.argsort(-similarity[query], kind="stable")
        order = order[[(query_cameras[query], gallery_cameras[image]) not in HIDDEN for image in order]]
        names = gallery_ids[order]
        matches = names == query_ids[query]
        if not matches.any():
            continue
        counted += 1
        people = list(dict.fromkeys(names.tolist()))
        cmc[people.index(query_ids[query]) :] += 1
        places = np.flatnonzero(matches) + 1
        precisions.append(np.mean(np.arange(1, len(places) + 1) / places))
        penalties.append(len(places) / places[-1])
    return Scores(cmc / counted, float(np.mean(precisions)), float(np.mean(penalties)))


def timed(way, data):
    start = time.perf_counter()
    scores = [way(*trial) for trial in data]
    return time.perf_counter() - start, scores


def main():
    parser = benchmark_parser("metrics", "Scores of SYSU-MM01's test, vectorised and query by query.")
    given = parser.parse_args()
    data = trials()
    ours(*data[0])
    seconds = {}
    seconds["sort"] = min(timed(limit, data)[0] for _ in range(REPEATS))
    runs, loops = ([timed(way, data) for _ in range(REPEATS)] for way in (ours, loop))
    seconds["ours"], seconds["query by query"] = (min(spent for spent, _ in of) for of in (runs, loops))
    slow = loops[0][1]
    mine, theirs = mean_scores(runs[0][1]).to_dict(), mean_scores(slow).to_dict()
    worst = max(abs(mine[name] - theirs[name]) for name in mine)
    result = {
        "seconds_for_ten_trials": seconds,
        "loop_over_ours": seconds["query by query"] / seconds["ours"],
        "ours_over_limit": seconds["ours"] / seconds["sort"],
        "largest_difference_of_a_score": worst,
        "scores": mine,
    }
    print(table(["ten trials of all-search", "seconds"], [[name, f"{value:.3f}"] for name, value in seconds.items()]))
    print(f"loop / ours {result['loop_over_ours']:.0f} (at least 20); scores differ by at most {worst:.1e}")
    write_result(given.out, "metrics", result)


if __name__ == "__main__":
    run(main)
