"""The top of the page: what it is of, and the numbers that people look for."""

from __future__ import annotations

from collections.abc import Sequence

from tokenmatcher.inspection.folder import LoggedRun
from tokenmatcher.inspection.page.page import Head, Tile
from tokenmatcher.inspection.page.section import per_cent
from tokenmatcher.inspection.scores import BEST, HERE, LAST, MEAN, PAPER, Row
from tokenmatcher.inspection.subject import Subject

LACKS = (
    "This page was made without pictures: rank lists, similarities, the map, class tokens, clusters and CMC curves by "
    "camera are left out. Say where the pictures lie: --data-dir FOLDER."
)


def head_of(runs: Sequence[LoggedRun], title: str, subject: Subject | None, rows: Sequence[Row]) -> Head:
    """What stands above all sections.

    Args:
        title: of the data set.
        subject: None: the page has no pictures.
        rows: of scores.
    """
    first = runs[0]
    trial = "" if first.trial is None else f", trial {first.trial}"
    lines = [f"{title}{trial}, method {first.method}; {', '.join(str(run.path) for run in runs)}"]
    if subject is not None:
        lines.append(f"Pictures, similarities and clusters are of {first.name}: {subject.note}.")
    others = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    return Head(
        f"Run {first.name}{others}",
        lines,
        [*_scores(first, rows), *_labels(first)],
        "" if subject is not None else LACKS,
    )


def _scores(first: LoggedRun, rows: Sequence[Row]) -> list[Tile]:
    tiles = []
    own = [row for row in rows if row.run == first.name]
    last = [row for row in own if row.kind == LAST] or [row for row in own if row.kind == HERE]
    if last:
        final = next(row for row in last if row.model == last[-1].model)  # of its protocols the first
        published = next(
            (row for row in rows if row.kind == PAPER and (row.method, row.protocol) == (first.method, final.protocol)),
            None,
        )
        for metric, name in (("rank1", "rank-1"), ("mAP", "mAP")):
            there = f"published: {per_cent(published.values.get(metric))}" if published else ""
            tiles.append(Tile(f"{per_cent(final.values[metric])} %", f"{name}, {final.protocol}, {final.model}", there))
    best = next((row for row in own if row.kind == BEST), None)
    if best is not None:
        remark = f"{best.model}: chosen by this score"
        tiles.append(
            Tile(
                f"{per_cent(best.values['rank1'])} %",
                f"rank-1, {best.protocol}, best of the last stage on the test set",
                remark,
            )
        )
    tiles += [
        Tile(f"{per_cent(mean.values['rank1'])} %", f"rank-1, {mean.protocol}", mean.model)
        for mean in rows
        if mean.kind == MEAN
    ]
    return tiles


def _labels(first: LoggedRun) -> list[Tile]:
    """Of its last epoch over whole modalities."""
    tiles = []
    whole = next(
        (epoch for epoch in reversed(first.epochs) if epoch.camera is None and epoch.values.get("labels")), None
    )
    if whole is not None:
        labels = whole.values["labels"]
        numbers = " / ".join(f"{own['clusters']:,}" for own in labels.values())
        agreement = [own.get("ari") for own in labels.values()]
        known = "" if None in agreement else "ARI " + " / ".join(f"{round(value, 2) + 0.0:.2f}" for value in agreement)
        tiles.append(Tile(numbers, f"clusters, {' / '.join(labels)}, last epoch", known))
    match = whole.values.get("match") if whole is not None else None
    if match and match.get("right") is not None:
        possible = match.get("matchable")
        remark = "" if possible is None else f"of {per_cent(possible, 0)} % possible"
        tiles.append(Tile(f"{per_cent(match['right'], 0)} %", "matches right, last epoch", remark))
    return tiles
