"""`tokenmatcher report`, from tiny runs to pages (how they look: test_report_page.py)."""

import csv
import json
import re
import shutil

import pytest
import torch
from logged import write_run
from reports import FEW, SECTIONS, made, sections_of
from runs import SMALL, refused
from scripts import ROOT, call

from tokenmatcher.commands import report
from tokenmatcher.errors import UserError
from tokenmatcher.models.digest import digest_of

pytestmark = pytest.mark.slow

WITHOUT_PICTURES = ["warnings", "scores", "curves", "making"]


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return text, json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


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
        ([trained, "--weights", "best", "-o", out], "--weights needs --data-dir: it is about pictures"),
        ([trained, "-o", tmp_path / "empty"], "--output"),
        ([trained, "-o", tmp_path / "file" / "r.html"], "--output"),
        ([trained, "-o", out, "--parts", tmp_path / "file"], "--parts"),
        (["-o", out], "LOGS"),
    ):
        assert message in refused(*command, *words), words
    assert not out.exists() and not parts.exists()


def test_packages_that_are_missing_are_named(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs plotly, jinja2: pip install"):
        report.main([str(trained), "-o", str(tmp_path / "r.html")])
    with pytest.raises(UserError, match="plotly, jinja2, matplotlib"):
        report.main([str(trained), "-o", str(tmp_path / "r.html"), "--parts", str(tmp_path / "parts")])
    assert not list(tmp_path.iterdir())


def test_the_documents_name_what_it_shows():
    text = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    for word in ("Warnings", "Scores", "Curves", "Rank lists", "Map of embeddings", "Class tokens", "Clusters"):
        assert word in text
