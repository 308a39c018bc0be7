"""The section of curves: every figure of the log over the epochs, runs over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenmatcher.inspection.axis import Band, bands, places
from tokenmatcher.inspection.figures import Family, families
from tokenmatcher.inspection.folder import LoggedRun
from tokenmatcher.inspection.page.charts import Chart, Series
from tokenmatcher.inspection.page.section import Section
from tokenmatcher.inspection.page.titles import TOPICS, title_of


def curves_section(runs: Sequence[LoggedRun]) -> Section:
    """A chart for every family of figures."""
    found = [families(run) for run in runs]
    keys = dict.fromkeys(key for own in found for key in own)
    axis = bands([run.epochs for run in runs])
    where = [places(run.epochs, axis) for run in runs]
    charts: dict[str, list[Chart]] = {}
    for topic, name in sorted(keys, key=lambda key: _place(key[0])):
        own = [_placed(of.get((topic, name)), at) for of, at in zip(found, where, strict=True)]
        charts.setdefault(topic, []).append(_chart(topic, name, own, [run.name for run in runs], axis))
    topics: list[dict[str, Any]] = [
        {
            "title": TOPICS.get(topic, (topic, ""))[0],
            "says": TOPICS.get(topic, (topic, ""))[1],
            "names": [chart.name for chart in own],
        }
        for topic, own in charts.items()
    ]
    context = {"topics": topics, "runs": [run.name for run in runs], "several": len(runs) > 1}
    return Section("curves", "Curves", context, [chart for own in charts.values() for chart in own])


def _place(topic: str) -> int:
    order = list(TOPICS)
    return order.index(topic) if topic in order else len(order)


def _placed(family: Family | None, at: Sequence[int]) -> dict[str, dict[int, float]]:
    """Of a run the values of each line by their places on the axis, from left to right."""
    if family is None:
        return {}
    return {line: dict(sorted((at[n], value) for n, value in values.items())) for line, values in family.lines.items()}


def _merged(axis: Sequence[Band]) -> list[tuple[float, float, str]]:
    """A stage's cameras are one band, or their labels would not fit."""
    merged: list[tuple[float, float, str]] = []
    for band in axis:
        label = "cameras" if band.camera is not None else f"stage {band.stage}"
        if merged and merged[-1][2] == label:
            merged[-1] = (merged[-1][0], band.last + 0.5, label)
        else:
            merged.append((band.first - 0.5, band.last + 0.5, label))
    return merged


def _chart(
    topic: str, name: str, own: Sequence[Mapping[str, Mapping[int, float]]], runs: Sequence[str], axis: Sequence[Band]
) -> Chart:
    """One run: a colour for each line. Several: a colour for each run, a dash for each line.

    Args:
        own: of each run the values of each line, by place.
    """
    lines = list(dict.fromkeys(line for of in own for line in of))
    several, factor = len(runs) > 1, 100 if topic == "scores" else 1
    series = []
    for number, of in enumerate(own):
        for line, values in of.items():
            place = lines.index(line)
            label = f"{runs[number]}, {line}" if several and len(lines) > 1 else runs[number] if several else line
            colour, dash = (number, place) if several else (place, 0)
            x, y = _broken(values, axis, factor)
            series.append(Series(label, x, y, colour=colour, dash=dash))
    title = title_of(topic, name)
    slug = "".join(c if c.isalnum() else "-" for c in f"{topic}-{name}".lower()).strip("-")
    return Chart(
        f"curve-{slug}", title, f"{title} over all epochs, the stages one after the other", series,
        "epoch, over all stages", "%" if topic == "scores" else "", bands=_merged(axis),
        x_range=(-0.5, axis[-1].last + 0.5), height=270,
    )  # fmt: skip


def _broken(values: Mapping[int, float], axis: Sequence[Band], factor: int) -> tuple[list[float], list[float | None]]:
    """Places and values, with a gap where one stage or camera ends: what follows is measured on other images."""
    x: list[float] = []
    y: list[float | None] = []
    ahead = iter(axis)
    band = next(ahead)
    for place, value in values.items():
        if place > band.last:
            while place > band.last:
                band = next(ahead)
            if x:
                x.append(band.first)
                y.append(None)
        x.append(place)
        y.append(round(factor * value, 6))
    return x, y
