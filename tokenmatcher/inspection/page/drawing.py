"""Charts and tables as PNG, drawn by matplotlib, which needs no browser."""

from __future__ import annotations

import io
import warnings
from typing import Any

from tokenmatcher.errors import shown
from tokenmatcher.inspection.page.charts import SYMBOLS, Chart, Heat, Series

LINES = ("-", "--", ":", "-.")
INCHES, DPI = 7.0, 150
INSIDE, COLUMNS, ROW = 6, 2, 0.17  # entries of a legend over the lines; below them its columns, and inches of a row


def chart_png(chart: Chart) -> bytes:
    """A chart on white, 1050 pixels wide."""
    below = -(-len(chart.legend) // COLUMNS) if len(chart.legend) > INSIDE else 0
    figure, axes = _figure(INCHES, (INCHES if chart.bare else 3.4) + ROW * below)
    for place, one in enumerate(chart.series):
        _draw(axes, one, place, len(chart.series))
    for number, (first, last, label) in enumerate(chart.bands):
        if number % 2 == 0:
            axes.axvspan(first, last, color="#808080", alpha=0.1, linewidth=0)
        axes.text((first + last) / 2, 1.01, plain(label), transform=axes.get_xaxis_transform(), ha="center", fontsize=7)
    for x, label in chart.marks:
        axes.axvline(x, color="#d1495b", linestyle="--", linewidth=1.4)
        axes.text(x, 1.01, plain(label), transform=axes.get_xaxis_transform(), ha=chart.side(x), fontsize=7)
    if chart.limits:
        axes.set_ylim(*chart.limits)
    if chart.x_range:
        axes.set_xlim(*chart.x_range)
    if chart.bare:
        axes.axis("off")
        axes.set_aspect("equal")
    else:
        axes.grid(alpha=0.25)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if chart.whole:
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel(plain(chart.x_title))
        axes.set_ylabel(plain(chart.y_title))
    axes.set_title(plain(chart.title), loc="left", fontsize=10, pad=18 if chart.bands or chart.marks else 8)
    if chart.legend:
        where = {"loc": "outside lower left", "ncols": COLUMNS} if below else {}
        legend = (figure if below else axes).legend(fontsize=7, frameon=False, handlelength=3, **where)
        for text in legend.get_texts():
            text.set_text(plain(chart.series[int(text.get_text())].name))
    return _png(figure)


def plain(text: str) -> str:
    """For matplotlib, which reads mathematics between dollars and refuses stray bytes of a file's name."""
    return shown(text).replace("$", r"\$")


def heat_png(heat: Heat) -> bytes:
    """A table on white."""
    width = min(16.0, 1.8 + 0.75 * len(heat.columns))
    figure, axes = _figure(width, 1.3 + 0.45 * len(heat.rows))
    values = [[float("nan") if value is None else value for value in row] for row in heat.values]
    axes.imshow(values, cmap="Blues", vmin=heat.least, vmax=heat.most, aspect="auto")
    axes.set_xticks(range(len(heat.columns)), list(map(plain, heat.columns)), fontsize=8)
    axes.set_yticks(range(len(heat.rows)), list(map(plain, heat.rows)), fontsize=8)
    for y, row in enumerate(heat.values):
        for x, value in enumerate(row):
            dark = heat.share(value) > 0.6
            axes.text(x, y, heat.cell(value), ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_title(plain(heat.title), loc="left", fontsize=10)
    return _png(figure)


def _draw(axes: Any, one: Series, place: int, count: int) -> None:
    label = f"{place}" if one.legend else "_hidden"  # matplotlib hides names that begin with _: they come later
    x = list(one.x)
    y = [float("nan") if value is None else value for value in one.y]
    if one.kind == "bars":
        words = any(isinstance(at, str) for at in x)
        middles = [float(n) for n in range(len(x))] if words else [float(at) for at in x]
        step = middles[1] - middles[0] if len(middles) > 1 else 1.0
        width = 0.8 * step / count
        axes.bar([at + (place - (count - 1) / 2) * width for at in middles], y, width, color=one.css, label=label)
        if words:
            axes.set_xticks(middles, [plain(f"{word}") for word in x])
    elif one.kind == "steps":
        axes.step(x, y, where="mid", color=one.css, label=label, linestyle=LINES[one.dash % 4], linewidth=1.2)
        if not one.dash:
            axes.fill_between(x, y, step="mid", color=one.css, alpha=0.28, linewidth=0)
    elif one.kind == "points":
        axes.scatter(x, y, s=14, color=one.css, marker=SYMBOLS[one.symbol], label=label, alpha=0.85, linewidths=0)
    else:
        axes.plot(x, y, color=one.css, label=label, linestyle=LINES[one.dash % 4], marker="o", markersize=2.5)
    if one.spread:
        errors = [float("nan") if value is None else value for value in one.spread]
        axes.errorbar(x, y, yerr=errors, fmt="none", ecolor=one.css, elinewidth=0.8, capsize=2)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """No global state: neither pyplot nor a display is asked for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box stands for it
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
