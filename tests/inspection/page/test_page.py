import json
import re
from html import unescape

import numpy as np
import pytest
from logged import epochs_of, write_run

from tokenmatcher.evaluation.metrics import Scores
from tokenmatcher.inspection.findings import findings
from tokenmatcher.inspection.folder import read_runs
from tokenmatcher.inspection.page.charts import Chart, Series
from tokenmatcher.inspection.page.curves import curves_section
from tokenmatcher.inspection.page.overview import making_section, warnings_section
from tokenmatcher.inspection.page.page import Head, as_script, page
from tokenmatcher.inspection.page.parts import files
from tokenmatcher.inspection.page.pictures import Picture
from tokenmatcher.inspection.page.scoring import Computed, measured, scores_section
from tokenmatcher.inspection.page.section import Names, Section
from tokenmatcher.inspection.scores import HERE, score_rows

EVIL = "</script><img src=x onerror=alert(1)>&'\""


@pytest.fixture
def runs(tmp_path):
    return read_runs([write_run(tmp_path / "one"), write_run(tmp_path / "two", run={"seed": 2, "listener": [EVIL]})])


def sections_of(runs):
    made = making_section(runs, versions={"a": EVIL}, commit=None, digest=None, command=EVIL, facts={})
    warned = warnings_section(runs, [findings(run, None, None) for run in runs], None, Names(None))
    return [warned, scores_section(score_rows(runs), None, Names(None), "one"), curves_section(runs), made]


def test_what_strangers_wrote_is_text(runs):
    html = page(Head(EVIL, [EVIL], [], EVIL), sections_of(runs), {"p0": Picture(EVIL, 1.0)})
    own = html.split('<script type="application/json"')[0] + html.split("</script>")[-1]
    assert "<img src=x" not in own and "&lt;img src=x" in own
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1]
    assert json.loads(data)["pictures"]["p0"] == [EVIL, 1]
    assert html.count("<script") - html.count("<script>alert") >= 3


def test_it_names_no_address_but_its_own(runs):
    html = page(Head("t", [], [], ""), sections_of(runs), {})
    without = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", without)
    assert "default-src 'none'" in unescape(html) and "url(" not in without


def test_numbers_that_are_none_become_null():
    assert json.loads(as_script({"a": [float("nan"), 1.0, 0.5, (2,)]})) == {"a": [None, 1, 0.5, [2]]}
    assert "<" not in as_script("</script>")


def test_runs_lie_over_each_other_in_colours_of_their_own(runs):
    charts = {chart.name: chart for chart in curves_section(runs).charts}
    clusters = charts["curve-labels-clusters"]
    assert [one.name for one in clusters.series] == ["one, visible", "one, infrared", "two, visible", "two, infrared"]
    assert [(one.colour, one.dash) for one in clusters.series] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [label for _, _, label in clusters.bands] == ["stage 1", "cameras", "stage 2"]
    assert [one.name for one in charts["curve-losses-total"].series] == ["one", "two"]
    alone = {chart.name: chart for chart in curves_section(runs[:1]).charts}["curve-labels-clusters"]
    assert [(one.name, one.colour) for one in alone.series] == [("visible", 0), ("infrared", 1)]
    assert charts["curve-scores-rank1"].series[0].y[-1] == 50, "in per cent"


def test_a_line_ends_with_its_stage_or_camera(runs):
    charts = {chart.name: chart for chart in curves_section(runs[:1]).charts}
    visible, infrared = charts["curve-labels-clusters"].series
    assert list(visible.y) == [9, 10, None, 4, None, 10, 10] and [x for x in visible.x if x != 4] == [0, 1, 2, 2, 5]
    assert list(infrared.y) == [8, 8, None, 4, None, 8, 8]


def test_a_stage_lies_over_the_same_stage_of_another_run(tmp_path):
    lines = [line for line in epochs_of() if line["stage"] != "camera"]
    shorter = read_runs([write_run(tmp_path / "full"), write_run(tmp_path / "short", lines, run={"method": "sdcl"})])
    chart = {chart.name: chart for chart in curves_section(shorter).charts}["curve-match-ratio"]
    assert [list(one.x) for one in chart.series] == [[4, 5], [4, 5]]
    assert chart.x_range == (-0.5, 5.5)


def test_a_run_that_was_never_tested_has_the_pages_own_scores(runs):
    scores = [Scores(np.full(20, share), 0.5, 0.25) for share in (0.5, 0.75)]
    computed = Computed("stage 2 epoch 1", {"all": scores, "indoor": scores[:1]}, {})
    rows = score_rows(runs[:1])
    (own,) = measured(rows, computed, "one")
    assert (own.kind, own.model, own.protocol, own.values["rank1"], len(own.trials)) == (
        HERE, "stage 2 epoch 1", "indoor", 0.5, 1,
    )  # fmt: skip
    assert measured(rows, None, "one") == []
    html = page(Head("t", [], [], ""), [scores_section([*rows, own], computed, Names(None), "one")], {})
    assert "not in the log: measured here" in html


def test_what_differs_between_runs_is_marked(runs):
    (row,) = [row for row in sections_of(runs)[-1].context["groups"]["run"] if row["name"] == "seed"]
    assert row["values"] == ["1", "2"] and row["differs"]


def test_every_part_has_a_file():
    chart = Chart("c", "t", "s", [Series("a", [0, 1], [1.0, 2.0])])
    section = Section("s", "S", {}, [chart], tables={"t": [["a"], [EVIL]]}, sheets={"p": lambda: b"png"})
    found = dict(files([section]))
    assert set(found) == {"c.png", "c.csv", "t.csv", "p.png"}
    assert found["c.csv"] == b"series,x,y\na,0,1.0\na,1,2.0\n"
