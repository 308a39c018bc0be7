"""The section of scores: a table beside the published line, CMC curves, the spread over trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenmatcher.evaluation.metrics import NUM_RANKS, Scores, mean_scores
from tokenmatcher.inspection.cmc import CameraPair
from tokenmatcher.inspection.page.charts import Chart, Heat, Series
from tokenmatcher.inspection.page.section import Names, Section, per_cent
from tokenmatcher.inspection.scores import BEST, HERE, LAST, MEAN, PAPER, RANKS, Row
from tokenmatcher.report.tables import METRICS

KINDS = {
    LAST: "last epoch",
    BEST: "best epoch of the last stage on the test set: chosen by these very scores, so not to be reported alone",
    PAPER: "published",
    MEAN: "mean",
    HERE: "measured for this page",
}
FEW_PAIRS = 12  # curves in one chart
DIFFERS = 0.0005  # of a fraction, from which on computed and logged scores are said to differ


@dataclass(frozen=True)
class Computed:
    """What the page itself measured with its model: the scores of every trial by protocol, and those of pairs of
    cameras by direction."""

    note: str
    trials: Mapping[str, Sequence[Scores]]
    cameras: Mapping[str, Sequence[CameraPair]]


def measured(rows: Sequence[Row], computed: Computed | None, name: str) -> list[Row]:
    """Of the run `name` the page's own scores, where no row has that model's by the same protocol."""
    if computed is None:
        return []
    logged = {row.protocol for row in rows if (row.run, row.model) == (name, computed.note)}
    return [
        Row(
            name,
            computed.note,
            HERE,
            protocol,
            mean_scores(trials).to_dict(),
            tuple(trial.to_dict() for trial in trials),
        )
        for protocol, trials in computed.trials.items()
        if protocol not in logged
    ]


def scores_section(rows: Sequence[Row], computed: Computed | None, names: Names, name: str) -> Section:
    """What the runs scored.

    Args:
        rows: from `score_rows`, and `measured`.
        computed: None: without pictures.
        name: of the run that the page looks at.
    """
    charts: list[Chart] = []
    if (curve := _cmc(rows, computed, name)) is not None:
        charts.append(curve)
    charts += _trials(rows)
    heats: list[Heat] = []
    if computed is not None:
        for direction, pairs in computed.cameras.items():
            heats.append(_camera_table(direction, pairs, names))
            if 1 < len(pairs) <= FEW_PAIRS:
                charts.append(_camera_curves(direction, pairs, names))
    table: list[list[Any]] = [
        ["run", "model", "kind", "protocol", *METRICS, *(f"{metric} spread" for metric in METRICS)]
    ]
    table += [
        [row.run, row.model, row.kind, row.protocol, *(row.values.get(metric, "") for metric in METRICS),
         *("" if (spread := row.spread(metric)) is None else spread for metric in METRICS)]
        for row in rows
    ]  # fmt: skip
    context = {
        "rows": [_shown(row) for row in rows],
        "metrics": list(METRICS.values()),
        "kinds": KINDS,
        "computed": computed,
        "differences": _differences(rows, computed, name),
    }
    return Section("scores", "Scores", context, charts, heats, {"scores": table})


def _shown(row: Row) -> dict[str, Any]:
    cells = [(per_cent(row.values.get(metric)), per_cent(row.spread(metric))) for metric in METRICS]
    return {"row": row, "cells": cells, "spread": len(row.trials) > 1}


def _differences(rows: Sequence[Row], computed: Computed | None, name: str) -> list[str]:
    """Where the page's own scores are not the logged ones."""
    if computed is None:
        return []
    found = []
    for protocol, trials in computed.trials.items():
        mean = float(np.mean([trial.rank1 for trial in trials]))
        for row in rows:
            if row.kind != HERE and (row.run, row.protocol, row.model) == (name, protocol, computed.note):
                logged = row.values["rank1"]
                if abs(mean - logged) > DIFFERS:
                    found.append(f"{protocol}: rank-1 {per_cent(mean, 2)} here, {per_cent(logged, 2)} in the log")
    return found


def _cmc(rows: Sequence[Row], computed: Computed | None, name: str) -> Chart | None:
    """Share of queries whose first right image stands at a rank or before."""
    series: list[Series] = []
    ranks = list(range(1, NUM_RANKS + 1))
    if computed is not None:
        for place, (protocol, trials) in enumerate(computed.trials.items()):
            values = 100 * np.array([trial.cmc[:NUM_RANKS] for trial in trials])
            spread = values.std(0).round(3).tolist() if len(trials) > 1 else ()
            label = f"{name}, {computed.note}, {protocol}"
            series.append(Series(label, ranks, values.mean(0).round(3).tolist(), colour=place, spread=spread))
    kept = {LAST: "", BEST: " (best)", PAPER: "", MEAN: " (mean)"}
    final = {(row.run, row.protocol): row for row in rows if row.kind == LAST}
    chosen = [
        row
        for row in rows
        if row.kind in (PAPER, MEAN)
        or final.get((row.run, row.protocol)) is row
        or (row.kind == BEST and row.model != getattr(final.get((row.run, row.protocol)), "model", None))
    ]
    for row in sorted(chosen, key=lambda row: row.kind == PAPER):
        if computed is not None and (row.run, row.model) == (name, computed.note) and row.protocol in computed.trials:
            continue  # its whole curve is there
        points = [(rank, 100 * row.values[f"rank{rank}"]) for rank in RANKS if f"rank{rank}" in row.values]
        label = ", ".join(filter(None, (row.run, row.model, row.protocol))) + kept[row.kind]
        dash = {LAST: 0, BEST: 2, MEAN: 1, PAPER: 1}[row.kind]
        kind = "points" if row.kind == PAPER else "line"
        xs, ys = [float(x) for x, _ in points], [y for _, y in points]
        symbol = "diamond" if row.kind == PAPER else "circle"
        series.append(Series(label, xs, ys, kind, colour=len(series), dash=dash, symbol=symbol))
    if not series:
        return None
    says = (
        "Cumulative matching characteristic: of all queries the share whose first right image has this rank or better"
    )
    return Chart(
        "cmc", "CMC curve", says, series, "rank", "% of queries", height=380, y_range=(0, 100), x_range=(0.5, 20.5)
    )


def _trials(rows: Sequence[Row]) -> list[Chart]:
    """rank-1 and mAP of every trial of the last tested epoch, run by run."""
    final = {(row.run, row.protocol): row for row in rows if row.kind in (LAST, MEAN) and len(row.trials) > 1}
    if not final:
        return []
    series = []
    for place, ((run, protocol), row) in enumerate(final.items()):
        numbers = [float(trial.get("trial", number)) for number, trial in enumerate(row.trials, start=1)]
        for dash, metric in enumerate(("rank1", "mAP")):
            values = [round(100 * trial[metric], 3) for trial in row.trials]
            label = f"{run or 'all trials'}, {protocol} {METRICS[metric]}"
            symbol = ("circle", "diamond")[dash]
            series.append(Series(label, numbers, values, "points", colour=place, symbol=symbol))
    says = "rank-1 and mAP of each trial of the last epoch that was tested"
    return [Chart("trials", "Spread over trials", says, series, "trial", "%", height=300)]


def _camera_table(direction: str, pairs: Sequence[CameraPair], names: Names) -> Heat:
    queries, galleries = (sorted({getattr(pair, side) for pair in pairs}) for side in ("query", "gallery"))
    found = {(pair.query, pair.gallery): pair.scores.rank1 for pair in pairs}
    return Heat(
        f"rank1-cameras-{direction}",
        f"rank-1 by pair of cameras, {direction.replace('-', ' ')}",
        "rank-1 in per cent where queries of one camera (rows) search the images of one other camera (columns) alone",
        [names.camera(camera) for camera in queries],
        [names.camera(camera) for camera in galleries],
        [[found.get((q, g)) for g in galleries] for q in queries],
        corner="query \\ gallery",
        digits=1,
        percent=True,
    )


def _camera_curves(direction: str, pairs: Sequence[CameraPair], names: Names) -> Chart:
    ranks = list(range(1, NUM_RANKS + 1))
    queries = sorted({pair.query for pair in pairs})
    galleries = sorted({pair.gallery for pair in pairs})
    series = [
        Series(
            f"{names.camera(pair.query)} → {names.camera(pair.gallery)}",
            ranks,
            (100 * pair.scores.cmc[:NUM_RANKS]).round(3).tolist(),
            colour=galleries.index(pair.gallery),
            dash=queries.index(pair.query),
        )
        for pair in pairs
    ]
    says = "CMC where the gallery holds one camera's images alone; a pair with a low curve is where the run fails"
    title = f"CMC by pair of cameras, {direction.replace('-', ' ')}"
    return Chart(
        f"cmc-cameras-{direction}", title, says, series, "rank", "% of queries", height=380, x_range=(0.5, 20.5),
        y_range=(0, 100),
    )  # fmt: skip
