"""`tokenmatcher report`, from tiny runs to pages, and one of them in a browser without a network."""

import csv
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from browsers import browser_file, chromium
from logged import write_run
from PIL import Image
from runs import CAMERA, SMALL, refused
from scripts import ROOT, call

from tokenmatcher.commands import report
from tokenmatcher.errors import UserError
from tokenmatcher.models.digest import digest_of

pytestmark = pytest.mark.slow

SECTIONS = ["warnings", "scores", "curves", "ranks", "similarity", "map", "tokens", "clusters", "making"]
WITHOUT_PICTURES = ["warnings", "scores", "curves", "making"]
FEW = ["--queries", 12, "--points", 60, "--device", "cpu", "--no-progress"]


def made(*words):
    return call("-m", "tokenmatcher", "report", *words)


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return text, json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def sections_of(text):
    return re.findall(r'<section id="([a-z]+)"', text)


@pytest.fixture(scope="session")
def trained(sysu, tmp_path_factory):
    """A run of all stages."""
    logs = tmp_path_factory.mktemp("logs") / "first"
    call("train_sysu.py", "--data-dir", sysu, "--logs-dir", logs, *SMALL, *CAMERA)
    return logs


@pytest.fixture(scope="session")
def page(trained, sysu, tmp_path_factory):
    """Of that run beside a copy of itself, with its parts."""
    folder = tmp_path_factory.mktemp("seite ü")
    second = folder / "second"
    shutil.copytree(trained, second)
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    path, parts = folder / "report.html", folder / "parts"
    done = made(trained, second, "--data-dir", sysu, "-o", path, "--parts", parts, *FEW)
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before
    return SimpleNamespace(path=path, parts=parts, said=done.stdout)


def test_every_section_is_there(page, sysu):
    text, data = data_of(page.path)
    assert sections_of(text) == SECTIONS
    assert "made without pictures" not in text
    assert page.path.stat().st_size < 10e6
    assert str(page.path) in page.said
    used = set(re.findall(r'data-p="(p\d+)"', text)) | {
        one for chart in data["charts"].values() for trace in chart["data"] for one in trace.get("customdata", ())
    }
    assert used == set(data["pictures"]), "a picture that is shown is there, and one that is there is shown"
    assert set(re.findall(r'data-chart="([\w-]+)"', text)) == set(data["charts"])
    assert text.count('class="card rank"') == 12
    assert not re.findall(r"<img(?![^>]*alt=)", text)


def test_parts_hold_what_the_log_and_the_test_say(page, trained, sysu, tmp_path):
    found = {path.name for path in page.parts.iterdir()}
    for name in (
        "cmc",
        "curve-labels-clusters",
        "similarity-visible-infrared",
        "map-training-person",
        "cluster-purity",
    ):
        assert {f"{name}.png", f"{name}.csv"} <= found
    assert {"scores.csv", "rank-lists.csv", "clusters.csv", "attention.png", "configuration.csv"} <= found
    assert not [name for name in found if name.startswith(".")]
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    with (page.parts / "curve-labels-clusters.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["series"] == "first, visible"]
    told = {n: line["labels"]["visible"]["clusters"] for n, line in enumerate(lines) if "visible" in line["labels"]}
    assert {int(row["epoch, over all stages"]): float(row["y"]) for row in rows} == told
    out = tmp_path / "scores.json"
    call("test_sysu.py", "--resume", trained / "stage2/last.pt", "--data-dir", sysu, "--json", out, "--no-progress")
    scores = json.loads(out.read_text())["sysu"]
    with (page.parts / "cmc.csv").open() as file:
        first = {row["series"]: float(row["% of queries"]) for row in csv.DictReader(file) if row["rank"] == "1"}
    for protocol in ("all", "indoor"):
        computed = first[f"first, stage 2 epoch 1, {protocol}"]
        assert computed == pytest.approx(100 * scores[protocol]["rank1"], abs=0.001)
    with (page.parts / "people.csv").open() as file:
        people = list(csv.DictReader(file))
    right = sum(float(row["rank-1"]) * int(row["queries"]) for row in people) / sum(
        int(row["queries"]) for row in people
    )
    trial = scores["all"]["trials"][0]
    assert right == pytest.approx(trial["rank1"]), "rank lists are of the first trial"
    mean = sum(float(row["mAP"]) * int(row["queries"]) for row in people) / sum(int(row["queries"]) for row in people)
    assert mean == pytest.approx(trial["mAP"])
    with (page.parts / "clusters.csv").open() as file:
        clustered = list(csv.DictReader(file))
    assert all(int(row["of that person"]) <= int(row["known"]) <= int(row["images"]) for row in clustered)


def test_without_pictures_the_page_says_so(trained, tmp_path):
    path = tmp_path / "report.html"
    made(trained, "-o", path)
    text, data = data_of(path)
    assert sections_of(text) == WITHOUT_PICTURES
    assert "made without pictures" in text and "--data-dir" in text
    assert data["pictures"] == {}


def test_the_calibrated_threshold_is_shown(trained, sysu, tmp_path):
    logs = tmp_path / "calibrated"
    shutil.copytree(trained, logs)
    call("-m", "tokenmatcher", "calibrate", "--checkpoint", logs / "stage2/last.pt", "--data-dir", sysu, "--draws", 5,
         "--false-accept", 0.01, "--no-progress")  # fmt: skip
    found = json.loads((logs / "stage2/last.threshold.json").read_text())["pairs"]
    made(logs, "--data-dir", sysu, "-o", tmp_path / "r.html", *FEW)
    text, data = data_of(tmp_path / "r.html")
    assert "that lie beside the checkpoint" in text
    for name, pair in found.items():
        marks = [shape["x0"] for shape in data["charts"][f"similarity-{name}"]["layout"]["shapes"]]
        assert marks == [round(point["threshold"], 4) for point in pair["points"]]


def test_some_people_and_the_best_weights_against_random_ones(trained, sysu, tmp_path):
    few = ["--images", 30, "--weights", "best", "--before", "none", *FEW]
    made(trained, "--data-dir", sysu, "-o", tmp_path / "r.html", *few)
    text, _ = data_of(tmp_path / "r.html")
    assert sections_of(text) == SECTIONS
    assert "images of people that were drawn, not all" in text and "Before training: random weights" in text
    assert "stage2/best.pt: " in text


@pytest.fixture(scope="module")
def own(sysu, tmp_path_factory):
    """A table with names that look like HTML, and one without identities, beside links to the pictures."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "pictures").symlink_to(sysu, target_is_directory=True)
    test_ids = {int(number) for number in (sysu / "exp/test_id.txt").read_text().split(",")}
    known, unknown = [], []
    for path in sorted(sysu.glob("cam[1-6]/????/????.jpg")):
        camera, identity = path.parts[-3], path.parts[-2]
        modality = "infrared" if camera in ("cam3", "cam6") else "visible"
        split = ("query" if modality == "infrared" else "gallery") if int(identity) in test_ids else ""
        row = f"pictures/{path.relative_to(sysu)},<b>{camera}</b>,{modality}"
        known.append(f"{row},<i>{identity}</i>,{split}")
        if not split:
            unknown.append(row)
    (folder / "own.csv").write_text("\n".join(["path,camera,modality,identity,split", *known]) + "\n")
    (folder / "nobody.csv").write_text("\n".join(["path,camera,modality", *unknown]) + "\n")
    return folder


@pytest.mark.parametrize("name", ["own", "nobody"])
def test_a_table_of_ones_own_with_and_without_identities(own, tmp_path, name):
    logs = tmp_path / "logs"
    call("-m", "tokenmatcher", "train", own / f"{name}.csv", "--logs-dir", logs, *SMALL, "--stages", "1")
    made(logs, "--data-dir", own, "-o", tmp_path / "r.html", *FEW)
    text, _ = data_of(tmp_path / "r.html")
    assert sections_of(text) == SECTIONS
    assert "&lt;b&gt;cam1&lt;/b&gt;" in text and "<b>cam1" not in text
    unknown = "Nobody knows who is on these pictures" in text
    assert unknown == (name == "nobody")
    if unknown:
        assert 'class="frame right"' not in text and 'class="frame wrong"' not in text
        assert "since there are no test images" in text
    else:
        assert "person &lt;i&gt;" in text and "<i>00" not in text


def test_regdb_of_two_trials(tmp_path):
    data, logs = tmp_path / "regdb", tmp_path / "logs"
    call("-m", "tokenmatcher.people", "regdb", "--out", data, "--ids", 16, "--images", 6, "--height", 64, "--width", 24)
    call("prepare_regdb.py", "--data-dir", data)
    for trial in (1, 2):
        call("train_regdb.py", "--data-dir", data, "--logs-dir", logs, "--trial", trial, *SMALL, "--stages", "1")
    checkpoint = logs / "trial_1/stage1/last.pt"
    call(
        "-m", "tokenmatcher", "calibrate", "--checkpoint", checkpoint, "--data-dir", data, "--draws", 5, "--no-progress"
    )
    assert set(json.loads(checkpoint.with_suffix(".threshold.json").read_text())["pairs"]) == {"visible-infrared"}
    made(logs, "--data-dir", data, "-o", tmp_path / "r.html", *FEW)
    text, found = data_of(tmp_path / "r.html")
    assert sections_of(text) == SECTIONS
    assert "mean over 2 trials" in text and "93.0" in text
    assert {"visible-to-infrared", "infrared-to-visible"} <= set(re.findall(r'data-direction="([\w-]+)"', text))
    assert "similarity-visible-infrared" in found["charts"], "its two cameras have one number and are two"


def test_llcm(tmp_path):
    data, logs = tmp_path / "llcm", tmp_path / "logs"
    people = ["--train-ids", 8, "--test-ids", 3, "--shots", 2, "--height", 64, "--width", 24, "--no-progress"]
    call("-m", "tokenmatcher", "people", "llcm", "--out", data, *people)
    call("-m", "tokenmatcher", "train", "llcm", "--data-dir", data, "--logs-dir", logs, *SMALL, "--stages", "1")
    made(logs, "--data-dir", data, "-o", tmp_path / "r.html", *FEW)
    text, found = data_of(tmp_path / "r.html")
    assert sections_of(text) == SECTIONS and "No numbers were published" in text
    assert "rank-1 by pair of cameras" in text and "similarity-visible-infrared" in found["charts"]


def test_bad_input_is_told_in_one_line_and_nothing_is_written(trained, sysu, own, tmp_path):
    out, parts = tmp_path / "r.html", tmp_path / "parts"
    command = ["-m", "tokenmatcher", "report"]
    to = ["-o", out, "--parts", parts, *FEW]
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    broken, regdb, bare = tmp_path / "broken", tmp_path / "regdb", write_run(tmp_path / "bare")
    shutil.copytree(trained, broken)
    lines = (trained / "log.jsonl").read_text().splitlines()
    (broken / "log.jsonl").write_text("\n".join([*lines[:2], '{"stage"', *lines[3:]]) + "\n")
    write_run(regdb, run={"dataset": "regdb", "trial": 1})
    other = tmp_path / "other"
    shutil.copytree(sysu, other, symlinks=True)
    next((other / "rgb_modify/bounding_box_train").iterdir()).unlink()
    swapped = tmp_path / "swapped"
    shutil.copytree(trained, swapped)
    content = torch.load(swapped / "stage2/last.pt", weights_only=True) | {"dataset": "regdb"}
    content["digest"] = digest_of(content)
    torch.save(content, swapped / "stage2/last.pt")
    for words, message in (
        ([tmp_path / "nowhere", *to], "nowhere: no such folder"),
        ([tmp_path / "file", *to], "file: no such folder"),
        ([tmp_path / "empty", *to], "empty: holds no run"),
        ([broken, *to], "broken/log.jsonl, line 3: damaged"),
        ([trained, trained, *to], "given twice"),
        ([trained, regdb, *to], "runs of several data sets"),
        ([trained, "--data-dir", tmp_path / "nowhere", *to], "nowhere"),
        ([trained, "--data-dir", other, *to], "it is another's data"),
        ([trained, "--dataset", own / "own.csv", *to], "was trained on sysu, not on own"),
        ([swapped, "--data-dir", sysu, *to], "was trained on regdb, not on sysu"),
        ([bare, "--data-dir", sysu, *to], "holds no last.pt"),
        ([trained, "--data-dir", sysu, "--before", tmp_path / "no.pt", *to], "--before"),
        ([trained, "--queries", 0, "-o", out], "--queries must be at least 1"),
        ([trained, "--points", 2, "-o", out], "--points must be at least 3"),
        ([trained, "-o", tmp_path / "empty"], "--output"),
        ([trained, "-o", tmp_path / "file" / "r.html"], "--output"),
        ([trained, "-o", out, "--parts", tmp_path / "file"], "--parts"),
        (["-o", out], "LOGS"),
    ):
        assert message in refused(*command, *words), words
    assert not out.exists() and not parts.exists()


def test_packages_that_are_missing_are_named(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the packages plotly, jinja2: pip install"):
        report.main([str(trained), "-o", str(tmp_path / "r.html")])
    with pytest.raises(UserError, match="plotly, jinja2, matplotlib"):
        report.main([str(trained), "-o", str(tmp_path / "r.html"), "--parts", str(tmp_path / "parts")])
    assert not list(tmp_path.iterdir())


# In a browser.


@pytest.fixture(scope="session")
def browser():
    with chromium() as started:
        yield started


def opened(browser, path, **options):
    """A tab without a network, and what it complains of or asks for."""
    context = browser.new_context(offline=True, **options)
    context.set_default_timeout(120_000)
    tab, heard = context.new_page(), []
    tab.on("console", lambda message: heard.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: None if request.url.startswith("data:") else heard.append(request.url))
    tab.goto(Path(path).as_uri())
    assert heard == [Path(path).as_uri()], "it asks for itself alone"
    heard.clear()
    return tab, heard


@pytest.fixture(scope="session")
def tab(browser, page):
    """One for all tests."""
    tab, heard = opened(browser, page.path, viewport={"width": 1280, "height": 900})
    yield tab
    assert heard == []
    tab.context.close()


def test_each_section_is_drawn(tab):
    for name in SECTIONS:
        section = tab.locator(f"#{name}")
        section.scroll_into_view_if_needed()
        for chart in section.locator(".chart:visible").all():
            chart.scroll_into_view_if_needed()
            chart.locator("svg.main-svg").first.wait_for(state="attached")
    drawn = tab.locator(".chart[data-drawn]").count()
    assert drawn == tab.locator(".chart:visible").count() > 30
    marks = tab.locator("#curves .chart .scatterlayer .trace")
    assert marks.count() > 40
    pictures = tab.locator("#ranks .frame img, #clusters .frame img, #tokens .frame img")
    assert pictures.count() > 100
    pictures.last.scroll_into_view_if_needed()
    tab.wait_for_function("[...document.querySelectorAll('#clusters .frame img')].at(-1)?.naturalWidth > 0")


def test_filters_filter(tab):
    rows = tab.locator("#rank-rows > li")
    assert rows.count() == 12
    for name in ("group", "verdict", "camera", "identity", "direction"):
        select = tab.locator(f"select[data-filter={name}]")
        value = select.locator("option").last.get_attribute("value") or select.locator("option").last.inner_text()
        select.select_option(value=value)
        told = [row.get_attribute(f"data-{name}") for row in rows.all()]
        expected = [one == value for one in told]
        assert [row.is_visible() for row in rows.all()] == expected
        assert tab.locator("#rank-count").inner_text() == (
            f"{sum(expected)} shown" if any(expected) else "none: no query fits all of these"
        )
        tab.locator("#rank-filters button[type=reset]").click()
        tab.wait_for_function("document.getElementById('rank-count').textContent === '12 shown'")
    person = tab.locator("button[data-person]").first
    person.click()
    tab.wait_for_function("document.getElementById('rank-count').textContent !== '12 shown'")
    shown = [row.get_attribute("data-identity") for row in rows.all() if row.is_visible()]
    assert set(shown) == {person.get_attribute("data-person")}
    tab.locator("#rank-filters button[type=reset]").click()


def test_the_map_changes_colours_and_shows_pictures(tab):
    tab.locator("#map").scroll_into_view_if_needed()
    tab.locator("#map-colouring").select_option("cluster")
    own = tab.locator(".map-one:visible")
    assert (own.get_attribute("data-set"), own.get_attribute("data-colouring")) == ("training", "cluster")
    tab.locator("#map-set").select_option("test")
    assert own.count() == 1 and own.get_attribute("data-set") == "test", "there are no clusters of test images"
    tab.locator("#map-colouring").select_option("person")
    own.locator("svg.main-svg").first.wait_for(state="attached")
    own.focus()
    seen = set()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
        tab.wait_for_function("document.querySelector('#map-picture img').naturalWidth > 0")
        seen.add(tab.locator("#map-picture p").inner_text() + tab.locator("#map-picture img").get_attribute("src"))
    assert len(seen) == 3
    assert "person" in tab.locator("#map-picture img").get_attribute("alt")
    own.locator(".point").first.hover(force=True)
    tab.keyboard.press("Escape")


def test_lines_and_numbers_are_shown_on_demand(tab):
    figure = tab.locator("#chart-curve-labels-clusters")
    figure.scroll_into_view_if_needed()
    figure.locator("svg.main-svg").first.wait_for(state="attached")
    lines = figure.locator(".scatterlayer .trace")
    before = lines.count()
    button = figure.locator(".legend button").first
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    tab.wait_for_function(
        "before => document.querySelectorAll('#chart-curve-labels-clusters .scatterlayer .trace').length < before",
        arg=before,
    )
    button.click()
    figure.locator("summary").click()
    assert figure.locator("details td").count() > 10


def test_dark_light_and_what_is_remembered(tab, browser, page):
    def back(of):
        return of.evaluate("getComputedStyle(document.body).backgroundColor")

    chart = tab.locator("#chart-curve-labels-clusters")
    chart.scroll_into_view_if_needed()
    chart.locator(".chart[data-drawn]").wait_for()
    assert back(tab) == "rgb(244, 246, 248)"
    button = tab.locator("#theme")
    button.click()
    assert "light" in button.get_attribute("aria-label")
    button.click()
    assert back(tab) == "rgb(17, 21, 26)" and "dark" in button.get_attribute("aria-label")
    tab.wait_for_function(  # charts follow
        "getComputedStyle(document.querySelector('#chart-curve-labels-clusters text')).fill === 'rgb(159, 171, 184)'"
    )
    button.click()
    assert back(tab) == "rgb(244, 246, 248)"
    dark, heard = opened(browser, page.path, color_scheme="dark")
    assert back(dark) == "rgb(17, 21, 26)"
    assert heard == []
    dark.context.close()


def test_on_a_phone_nothing_is_wider_than_it(browser, page):
    phone, heard = opened(browser, page.path, viewport={"width": 360, "height": 740}, has_touch=True)
    for name in SECTIONS:
        phone.locator(f"#{name}").scroll_into_view_if_needed()
        assert phone.evaluate("document.documentElement.scrollWidth") <= 360, name
    phone.locator(".bar a").last.click()
    assert phone.url.endswith("#making")
    assert heard == []
    phone.context.close()


def test_the_keyboard_reaches_everything(tab):
    tab.evaluate("scrollTo(0, 0); document.activeElement?.blur()")
    tab.locator(".skip").focus()
    tab.keyboard.press("Enter")
    assert tab.url.endswith("#main")
    scrolled = tab.locator(".scroll:not([tabindex])").count()
    assert scrolled == 0, "what scrolls can be focused"
    assert tab.locator("img:not([alt])").count() == 0
    assert tab.locator(".chart:not([aria-label])").count() == 0
    empty = tab.eval_on_selector_all(".frame img", "all => all.filter((one) => !one.alt.trim()).length")
    assert empty == 0


def test_the_documents_pictures(browser, page, tmp_path):
    """Can be made again, and those that are kept are small."""
    call("-m", "examples.report_pictures", page.path, "--browser", browser_file(), "--out", tmp_path)
    for name in ("report-ranks.png", "report-curves.png"):
        with Image.open(tmp_path / name) as new, Image.open(ROOT / "docs/pictures" / name) as kept:
            assert new.width == kept.width and new.height > 300
        assert (ROOT / "docs/pictures" / name).stat().st_size < 200_000


def test_the_documents_name_what_it_shows():
    text = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    for word in ("Warnings", "Scores", "Curves", "Rank lists", "Map of embeddings", "Class tokens", "Clusters"):
        assert word in text
