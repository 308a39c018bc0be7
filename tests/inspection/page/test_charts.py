import io

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from tokenmatcher.inspection.page import drawing
from tokenmatcher.inspection.page.charts import COLOURS, MANY, MANY_POINTS, Chart, Heat, Series, colours, to_plotly
from tokenmatcher.inspection.page.drawing import chart_png, heat_png

KINDS = ("line", "points", "bars", "steps")


def chart(kind="line", **more):
    series = [
        Series("a", [0, 1, 2], [1.0, None, 3.0], kind, texts=["x", "y", "z"], pictures=["p0", "", "p1"]),
        Series("b", [0, 1, 2], [3.0, 2.0, 1.0], kind, colour=1, dash=1, spread=[0.1, 0.2, 0.3]),
    ]
    return Chart("a-chart", "A chart", "Says", series, "epoch", "loss", **more)


@pytest.mark.parametrize("kind", KINDS)
def test_plotly_knows_every_word_of_it(kind):
    spec = to_plotly(chart(kind, bands=[(0, 1, "stage 1"), (1, 2, "")], marks=[(1.5, "here")], y_range=(0, 4)))
    figure = go.Figure(spec)  # refuses what plotly has no such setting for
    assert [trace.name for trace in figure.data] == ["a", "b"]
    assert list(figure.data[0].y) == [1.0, None, 3.0] and list(figure.data[0].customdata) == ["p0", "", "p1"]
    assert list(figure.layout.yaxis.range) == [0, 4]


def test_words_on_an_axis_stay_words():
    """plotly would take "1" and "2" for numbers and drop "4-5"."""
    spec = to_plotly(Chart("n", "t", "s", [Series("a", ["1", "2", "4-5"], [1.0, 2.0, 3.0], "bars")]))
    assert spec["layout"]["xaxis"]["type"] == "category"
    assert "type" not in to_plotly(chart())["layout"]["xaxis"]


def test_a_csv_has_every_number_once():
    rows = chart().rows()
    assert rows[0] == ["series", "epoch", "loss", "spread", "note"]
    assert rows[1:] == [
        ["a", 0, 1.0, "", "x"], ["a", 2, 3.0, "", "z"],
        ["b", 0, 3.0, 0.1, ""], ["b", 1, 2.0, 0.2, ""], ["b", 2, 1.0, 0.3, ""],
    ]  # fmt: skip


def test_a_legend_where_it_is_read():
    assert [one.name for one in chart().legend] == ["a", "b"]
    assert Chart("n", "t", "s", chart().series[:1]).legend == []
    for most, bare in ((MANY, False), (MANY_POINTS, True)):
        series = [Series(f"{n}", [0], [0.0]) for n in range(most + 1)]
        assert len(Chart("n", "t", "s", series[:most], bare=bare).legend) == most
        assert Chart("n", "t", "s", series, bare=bare).legend == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [{}, {"bare": True}, {"bands": [(0, 2, "stage 1")], "marks": [(1, "m")]}])
def test_a_png_is_drawn_without_a_browser(kind, more):
    with Image.open(io.BytesIO(chart_png(chart(kind, **more)))) as image:
        assert image.format == "PNG" and image.width > 900
        assert len(image.convert("RGB").getcolors(10**6)) > 20, "something is on it"


def test_words_are_drawn_as_bars_beside_each_other():
    bars = Chart(
        "n",
        "t",
        "s",
        [Series("a", ["1", "pure"], [1.0, 2.0], "bars"), Series("b", ["1", "pure"], [2.0, 1.0], "bars", 1)],
    )
    pixels = np.asarray(Image.open(io.BytesIO(chart_png(bars))).convert("RGB")).astype(int)
    columns = [
        set(
            np.flatnonzero((abs(pixels - [int(css[n : n + 2], 16) for n in (1, 3, 5)]).sum(2) < 6).sum(0) > 60).tolist()
        )
        for css in COLOURS[:2]
    ]
    assert all(len(own) > 100 for own in columns) and not columns[0] & columns[1], "no bar hides another"
    assert Image.open(io.BytesIO(chart_png(Chart("n", "t", "s", [])))).width > 900


def test_a_table_says_where_there_is_no_value():
    heat = Heat("n", "t", "s", ["r"], ["c", "d"], [[0.25, None]], percent=True, digits=1)
    assert [heat.cell(value) for value in heat.values[0]] == ["25.0", "-"]
    assert Heat("n", "t", "s", ["r"], ["c"], [[-0.001]]).cell(-0.001) == "0.00"
    assert [heat.share(value) for value in (None, -1, 0.25, 7)] == [0, 0, 0.25, 1]
    assert Image.open(io.BytesIO(heat_png(heat))).format == "PNG"


@pytest.fixture
def drawn(monkeypatch):
    """matplotlib's axes of a chart."""
    monkeypatch.setattr(drawing, "_png", lambda figure: figure)
    return lambda chart: drawing.chart_png(chart).axes[0]


ODD = (r"x$\frac$", "a $x$ b", "_under", "\udcff", "<b>x")


@pytest.mark.filterwarnings("error")
def test_names_stand_in_a_png_as_they_are(drawn):
    named = Chart("n", ODD[0], "s", [Series(name, [0, 1], [0.0, 1.0]) for name in ODD], ODD[0], marks=[(0.5, ODD[0])])
    heat_png(Heat("n", ODD[0], "s", ODD, ODD, [[0.5] * 5] * 5)).canvas.draw()
    axes = drawn(named)
    axes.figure.canvas.draw()
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == [r"x\$\frac\$", r"a \$x\$ b", "_under", r"\udcff", "<b>x"]


@pytest.mark.filterwarnings("error")
def test_a_character_that_the_font_lacks_is_no_warning():
    assert chart_png(Chart("n", "\u6d4b", "s", []))


def test_names_are_text_for_plotly():
    series = [Series("<b>x", [0], [1.0], "points", texts=["<i>y & z"])]
    spec = to_plotly(Chart("n", "t", "s", series, bands=[(0, 1, "<b>")]))
    assert (spec["data"][0]["name"], spec["data"][0]["text"]) == ("&lt;b&gt;x", ["&lt;i&gt;y &amp; z"])
    assert spec["layout"]["annotations"][0]["text"] == "&lt;b&gt;"


@pytest.mark.parametrize(("x", "side"), [(0.2, "left"), (0.9, "right")])
def test_a_marks_label_goes_towards_the_middle(drawn, x, side):
    marked = chart(marks=[(x, "threshold")], x_range=(0.0, 1.0))
    assert to_plotly(marked)["layout"]["annotations"][0]["xanchor"] == side
    (label,) = [text for text in drawn(marked).texts if text.get_text() == "threshold"]
    assert label.get_ha() == side


def test_ranks_are_whole_on_the_axis(drawn):
    ranks = Chart("n", "t", "s", [Series("a", [1.0, 5.0, 10.0], [1.0, 2.0, 3.0])], x_range=(0.5, 10.5))
    assert all(tick.is_integer() for tick in drawn(ranks).get_xticks())
    assert to_plotly(ranks)["layout"]["xaxis"]["dtick"] == 1
    assert "dtick" not in to_plotly(Chart("n", "t", "s", [Series("a", [0.25, 1.0], [1.0, 2.0])]))["layout"]["xaxis"]


def test_a_box_tells_of_all_lines_only_where_all_have_a_value():
    both = [Series("a", [0, 1], [1.0, 2.0]), Series("b", [0, 1], [3.0, 4.0])]
    assert to_plotly(Chart("n", "t", "s", both))["layout"]["hovermode"] == "x unified"
    both[1] = Series("b", [0, 1], [3.0, None])
    assert to_plotly(Chart("n", "t", "s", both))["layout"]["hovermode"] == "closest"


def test_a_flat_line_has_an_axis_from_zero(drawn):
    flat = Chart("n", "t", "s", [Series("a", [0, 1], [100.0, 100.0])])
    assert to_plotly(flat)["layout"]["yaxis"]["range"] == [0, 105] and drawn(flat).get_ylim() == (0, 105)
    assert "range" not in to_plotly(Chart("n", "t", "s", [Series("a", [0, 1], [0.0, 0.0])]))["layout"]["yaxis"]


def test_a_long_legend_stands_below(drawn):
    axes = drawn(Chart("n", "t", "s", [Series(f"{n}", [0, 1], [0.0, 1.0]) for n in range(20)]))
    assert axes.get_legend() is None and len(axes.figure.legends[0].get_texts()) == 20


@pytest.mark.parametrize(("values", "mode"), [([1.0, None, *[1.0] * 50], "lines+markers"), ([1.0] * 50, "lines")])
def test_a_point_that_stands_alone_is_seen(values, mode):
    (trace,) = to_plotly(Chart("n", "t", "s", [Series("a", list(range(len(values))), values)]))["data"]
    assert trace["mode"] == mode


@pytest.mark.parametrize("count", [0, 1, len(COLOURS), 40])
def test_so_many_colours_differ(count):
    assert len(set(colours(count))) == count
