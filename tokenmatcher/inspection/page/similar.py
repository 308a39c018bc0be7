"""The section of similarities: pictures of one person and of two, before and after training, and the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenmatcher.evaluation.calibration import Calibration
from tokenmatcher.evaluation.threshold import CERTAINTY, Point
from tokenmatcher.inspection.page.charts import Chart, Series
from tokenmatcher.inspection.page.section import Section, per_cent
from tokenmatcher.inspection.similarity import EDGES, FALSE_ACCEPT, Similarities

SAME, DIFFERENT = "#1fa187", "#e08214"


@dataclass(frozen=True)
class Compared:
    """after, before: of the model and of the weights it began with (empty: they are not there).

    calibration: what lies beside the checkpoint. known: whether anybody on the pictures is known.
    source: which images, in words. start: what it began with, in words.
    """

    after: Sequence[Similarities]
    before: Sequence[Similarities]
    calibration: Calibration | None
    known: bool
    source: str
    start: str


def similar_section(found: Compared) -> Section:
    """Histograms for each pair of modalities."""
    before = {one.pair: one for one in found.before}
    charts, rows = [], []
    table: list[list[Any]] = [["pair", "when", "from", "to", "same person, %", "different people, %"]]
    for one in found.after:
        earlier, point = before.get(one.pair), _point(found, one)
        charts.append(_chart(one, earlier, point, known=found.known))
        rows.append(_row(one, earlier, point))
        for when, own in (("after", one), ("before", earlier)):
            if own is not None:
                table += [
                    [own.pair, when, a, b, 100 * s, 100 * d]
                    for a, b, s, d in zip(EDGES[:-1], EDGES[1:], own.same, own.different, strict=True)
                ]
    context = {
        "found": found,
        "rows": rows,
        "beside": found.calibration is not None,
        "rate": f"{100 * FALSE_ACCEPT:g}",
        "certainty": f"{100 * CERTAINTY:g}",
    }
    return Section("similarity", "Same or different person", context, charts, tables={"similarity": table})


def _point(found: Compared, one: Similarities) -> Point | None:
    """The calibrated one, else the one measured for the page."""
    if found.calibration is not None:
        pair = found.calibration.pairs.get(one.pair)
        return next((point for point in pair.points if point.false_accept == FALSE_ACCEPT), None) if pair else None
    return one.point


def _row(one: Similarities, earlier: Similarities | None, point: Point | None) -> dict[str, Any]:
    return {
        "pair": one.pair.replace("-", " and "),
        "same": f"{one.counts[0]:,}",
        "different": f"{one.counts[1]:,}",
        "before": per_cent(earlier.overlap if earlier else None),
        "after": per_cent(one.overlap),
        "threshold": "-" if point is None else f"{point.threshold:.3f} ({point.low:.3f} to {point.high:.3f})",
        "accepted": "-"
        if point is None
        else f"{per_cent(point.true_accept)} ({per_cent(point.true_low)} to {per_cent(point.true_high)})",
    }


def _chart(one: Similarities, earlier: Similarities | None, point: Point | None, *, known: bool) -> Chart:
    middles = ((EDGES[:-1] + EDGES[1:]) / 2).round(4).tolist()
    series = []
    kinds = (
        (("same person", SAME), ("different people", DIFFERENT)) if known else (("", SAME), ("all pairs", DIFFERENT))
    )
    for name, colour in kinds:
        for when, own, dash in (("after", one, 0), ("before", earlier, 1)):
            if own is None or not name:
                continue
            shares = own.same if colour == SAME else own.different
            label = f"{name}, {when} training" if earlier is not None else name
            series.append(Series(label, middles, (100 * shares).round(4).tolist(), "steps", colour, dash))
    everything = np.sum([own.same + own.different for own in (one, earlier) if own is not None], axis=0)
    filled = np.flatnonzero(everything > 1e-5)
    low, high = (float(EDGES[filled[0]]), float(EDGES[filled[-1] + 1])) if len(filled) else (-1.0, 1.0)
    title = one.pair.replace("-", " and ")
    marks = () if point is None else ((round(point.threshold, 4), f"threshold {point.threshold:.2f}"),)
    says = (
        f"Similarity of two pictures, {title}: shares of the pairs of one person and of two. The less the histograms "
        "overlap, the better they are told apart"
    )
    return Chart(
        f"similarity-{one.pair}", title, says, series, "similarity", "% of pairs", marks=marks, height=330,
        x_range=(low, high),
    )  # fmt: skip
