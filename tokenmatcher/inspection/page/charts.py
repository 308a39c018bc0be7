"""A chart as a value. plotly draws it on the page, matplotlib into a PNG, and its numbers go into a CSV: all of one
value, so that they cannot differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

# Okabe and Ito's colours, which people with colour vision deficiencies tell apart; readable on dark and on white.
COLOURS = ("#2f86c9", "#e08214", "#1fa187", "#c5568f", "#8c6bd1", "#b59a00", "#4fb3d9", "#d1495b", "#6b8e23", "#9a6b4f")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = {"circle": "o", "diamond": "D", "square": "s"}
FEW_TICKS = 10
FEW = 40  # points of a line that are marked
MANY, MANY_POINTS = 60, 12  # entries of a legend, and of a map's


@dataclass(frozen=True)
class Series:
    """One line, cloud or histogram of a chart.

    kind: "line", "points", "bars", or "steps" (a histogram's outline, filled).
    colour: an index of `COLOURS` (taken modulo their number), or a CSS colour. dash: an index of `DASHES`.
    texts: of each point, shown when it is pointed at. pictures: of each point, an id in the page's pictures, or "".
    spread: half the height of an error bar at each point.
    """

    name: str
    x: Sequence[float | str]
    y: Sequence[float | None]
    kind: str = "line"
    colour: int | str = 0
    dash: int = 0
    texts: Sequence[str] = ()
    pictures: Sequence[str] = ()
    symbol: str = "circle"
    spread: Sequence[float | None] = ()
    legend: bool = True

    @property
    def css(self) -> str:
        return self.colour if isinstance(self.colour, str) else COLOURS[self.colour % len(COLOURS)]


@dataclass(frozen=True)
class Chart:
    """name: for files and links, of letters, digits and hyphens. says: in words, what is to be seen.

    bands: parts of the x axis (from, to, label). marks: upright lines (x, label).
    bare: no axes, as a map has none. height: pixels on the page.
    """

    name: str
    title: str
    says: str
    series: Sequence[Series]
    x_title: str = ""
    y_title: str = ""
    bands: Sequence[tuple[float, float, str]] = ()
    marks: Sequence[tuple[float, str]] = ()
    y_range: tuple[float, float] | None = None
    x_range: tuple[float, float] | None = None
    bare: bool = False
    height: int = 260

    @property
    def legend(self) -> list[Series]:
        """What has a name of its own; nothing where there is one line, or more than anybody would read."""
        named = [one for one in self.series if one.legend]
        return named if 1 < len(named) <= (MANY_POINTS if self.bare else MANY) else []

    @property
    def limits(self) -> tuple[float, float] | None:
        """Of the y axis; None: as the values have it. A flat line has one from 0."""
        values = {y for one in self.series for y in one.y if y is not None}
        flat = len(values) == 1 and not self.bare
        return self.y_range or ((0.0, 1.05 * value) if flat and (value := values.pop()) > 0 else None)

    @property
    def whole(self) -> bool:
        """Whether the x axis counts something: epochs, ranks, trials."""
        return all(not isinstance(x, str) and float(x).is_integer() for one in self.series for x in one.x)

    @property
    def width(self) -> float:
        """Of an x axis of numbers, from end to end."""
        first, last = self.x_range or (0.0, 0.0)
        numbers = [float(x) for one in self.series for x in one.x] if self.x_range is None else []
        return max(numbers) - min(numbers) if numbers else last - first

    @property
    def level(self) -> bool:
        """Whether all lines have values at the same places: only then can one box tell all of a place."""
        places = {tuple(x for x, y in zip(one.x, one.y, strict=True) if y is not None) for one in self.series}
        return len(places) == 1 and all(one.kind != "points" for one in self.series)

    def side(self, x: float) -> str:
        """Of a mark's label, the end that stands at the mark: so that it goes towards the middle."""
        return "right" if self.x_range and x > sum(self.x_range) / 2 else "left"

    def rows(self) -> list[list[Any]]:
        """For a CSV: a head, then a row for each point."""
        head = ["series", self.x_title or "x", self.y_title or "y"]
        spread = any(one.spread for one in self.series)
        texts = any(one.texts for one in self.series)
        rows: list[list[Any]] = [head + ["spread"] * spread + ["note"] * texts]
        for one in self.series:
            for place, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
                if y is None:
                    continue
                row: list[Any] = [one.name, x, y]
                row += [one.spread[place] if one.spread else ""] * spread
                row += [one.texts[place] if one.texts else ""] * texts
                rows.append(row)
        return rows


@dataclass(frozen=True)
class Heat:
    """A table whose cells are coloured by their values, `least` to `most`; None: no value.

    digits: behind the point. percent: values are fractions, shown in per cent.
    """

    name: str
    title: str
    says: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    corner: str = ""
    least: float = 0.0
    most: float = 1.0
    digits: int = 2
    percent: bool = False

    def cell(self, value: float | None) -> str:
        """As text."""
        if value is None:
            return "-"
        return f"{round(100 * value if self.percent else value, self.digits) + 0.0:.{self.digits}f}"  # no "-0.00"

    def share(self, value: float | None) -> float:
        """Where a value stands between least and most, 0..1."""
        return 0.0 if value is None else min(1.0, max(0.0, (value - self.least) / (self.most - self.least)))


def to_plotly(chart: Chart) -> dict[str, Any]:
    """plotly's figure, without the colours that follow the page's theme."""
    layout: dict[str, Any] = {
        "showlegend": False,  # the page has one of its own, which never lies over anything
        "height": chart.height,
        "margin": {"l": 52, "r": 12, "t": 26 if chart.bands or chart.marks else 8, "b": 40},
        "hovermode": "x unified" if chart.level else "closest",
        "barmode": "group",
        "bargap": 0.15,
        "xaxis": {"title": {"text": chart.x_title, "standoff": 6}, "zeroline": False, "automargin": True},
        "yaxis": {
            "title": {"text": chart.y_title, "standoff": 6},
            "zeroline": False,
            "automargin": True,
            "minexponent": 9,
            "separatethousands": True,
        },
        "shapes": [],
        "annotations": [],
    }
    if chart.bare:
        for axis in ("xaxis", "yaxis"):
            layout[axis] = {"visible": False}
        layout["margin"] = {"l": 4, "r": 4, "t": 4, "b": 4}
        layout["yaxis"]["scaleanchor"] = "x"
    if any(isinstance(x, str) for one in chart.series for x in one.x):
        layout["xaxis"]["type"] = "category"  # or "1" and "2" would be taken for numbers
    if chart.whole and chart.width <= FEW_TICKS:
        layout["xaxis"]["dtick"] = 1  # or half ones would be marked
    if chart.limits:
        layout["yaxis"]["range"] = list(chart.limits)
    if chart.x_range:
        layout["xaxis"]["range"] = list(chart.x_range)
    for number, (first, last, label) in enumerate(chart.bands):
        layout["shapes"].append(
            {
                "type": "rect", "xref": "x", "yref": "paper", "x0": first, "x1": last, "y0": 0, "y1": 1,
                "line": {"width": 0}, "layer": "below", "fillcolor": "rgba(128,128,128,0.10)" if number % 2 == 0
                else "rgba(128,128,128,0.0)",
            }
        )  # fmt: skip
        if label:
            layout["annotations"].append(_label((first + last) / 2, label, "center"))
    for x, label in chart.marks:
        layout["shapes"].append(
            {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1,
             "line": {"width": 2, "dash": "dash", "color": "#d1495b"}}
        )  # fmt: skip
        layout["annotations"].append(_label(x, label, chart.side(x)))
    return {"data": [_trace(one) for one in chart.series], "layout": layout}


def _label(x: float, text: str, anchor: str) -> dict[str, Any]:
    return {
        "x": x, "y": 1, "xref": "x", "yref": "paper", "text": escape(text, quote=False), "showarrow": False,
        "xanchor": anchor, "yanchor": "bottom", "font": {"size": 11},
    }  # fmt: skip


def _trace(one: Series) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "name": escape(one.name, quote=False),  # plotly reads tags; page.js undoes it
        "x": list(one.x),
        "y": list(one.y),
    }
    if one.kind == "bars":
        trace |= {"type": "bar", "marker": {"color": one.css}}
    elif one.kind == "steps":
        line = {"shape": "hvh", "color": one.css, "width": 1.5, "dash": DASHES[one.dash]}
        trace |= {"type": "scatter", "mode": "lines", "line": line}
        trace |= {} if one.dash else {"fill": "tozeroy", "fillcolor": _faint(one.css)}
    elif one.kind == "points":
        marker = {"color": one.css, "size": 8, "symbol": one.symbol, "opacity": 0.85}
        trace |= {"type": "scatter", "mode": "markers", "marker": marker}
    else:
        trace |= {
            "type": "scatter",
            "mode": "lines+markers" if _dotted(one.y) else "lines",
            "line": {"color": one.css, "dash": DASHES[one.dash % len(DASHES)], "width": 2},
            "marker": {"size": 5},
        }
    if one.texts:
        trace |= {"text": [escape(text, quote=False) for text in one.texts], "hovertemplate": "%{text}<extra></extra>"}
    if one.pictures:
        trace["customdata"] = list(one.pictures)
    if one.spread:
        trace["error_y"] = {"type": "data", "array": list(one.spread), "thickness": 1.2, "width": 3}
    return trace


def _dotted(values: Sequence[float | None]) -> bool:
    """Few points, or one that stands alone between gaps, where a line would not show it."""
    groups = [len(list(own)) for there, own in groupby(values, lambda value: value is not None) if there]
    return sum(groups) < FEW or 1 in groups


def _faint(css: str) -> str:
    red, green, blue = (int(css[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.28)"


def colours(count: int) -> list[str]:
    """So many that differ: around the circle, alternately lighter and darker, where `COLOURS` do not suffice."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return [_hex(place / count, (0.45, 0.6, 0.53)[place % 3]) for place in range(count)]


def _hex(hue: float, lightness: float) -> str:
    from colorsys import hls_to_rgb

    return "#" + "".join(f"{round(255 * part):02x}" for part in hls_to_rgb(hue, lightness, 0.65))
