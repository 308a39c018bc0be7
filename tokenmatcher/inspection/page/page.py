"""Sections to one HTML file that asks for nothing: styles, scripts, numbers and pictures are in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from tokenmatcher.inspection.page.charts import Chart, to_plotly
from tokenmatcher.inspection.page.pictures import Picture
from tokenmatcher.inspection.page.section import Section

FORBIDDEN = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page, with what it is and a remark."""

    value: str
    name: str
    remark: str = ""


@dataclass(frozen=True)
class Head:
    """title, lines under it; what the page lacks and why ("" for nothing)."""

    title: str
    lines: Sequence[str]
    tiles: Sequence[Tile]
    lacks: str


def page(head: Head, sections: Sequence[Section], pictures: Mapping[str, Picture]) -> str:
    """The HTML.

    Args:
        pictures: by id.
    """
    environment = Environment(
        loader=PackageLoader("tokenmatcher.inspection.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts = {chart.name: chart for section in sections for chart in section.charts}
    data = {
        "pictures": dict(pictures),
        "charts": {name: {**to_plotly(chart), "title": chart.title} for name, chart in charts.items()},
        "axes": {name: _axes(chart) for name, chart in charts.items()},
    }
    return environment.get_template("page.html").render(
        head=head,
        sections=sections,
        charts=charts,
        heats={heat.name: heat for section in sections for heat in section.heats},
        data=as_script(data),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
        policy=FORBIDDEN,
    )


def as_script(values: Any) -> Markup:
    """JSON that may stand inside <script>: nothing in it can close that."""
    text = json.dumps(_finite(values), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escaped)
    return Markup(text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _axes(chart: Chart) -> list[str]:
    return [chart.x_title or "x", chart.y_title or "value"]


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value
