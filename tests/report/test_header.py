from pathlib import Path

import pytest
from small import small_trainer

from tokenmatcher.contracts import Modality
from tokenmatcher.datasets import find_dataset
from tokenmatcher.machine import Machine
from tokenmatcher.methods.adca import ADCA
from tokenmatcher.methods.pgm import PGM
from tokenmatcher.methods.sdcl import SDCL
from tokenmatcher.methods.tokenmatcher import TokenMatcher
from tokenmatcher.mining.matchers import counts, greedy, hungarian
from tokenmatcher.presets import preset
from tokenmatcher.report.header import run_header

DOC = " ".join((Path(__file__).parents[2] / "docs/reproduce.md").read_text(encoding="utf-8").split())


def departures(recipe, dataset, matcher=greedy.match):
    found = find_dataset(dataset)
    return [*TokenMatcher.departures(recipe, found, matcher), *found.departures]


@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
def test_every_departure_stands_in_the_documents_in_the_same_words(dataset):
    for text in [*departures(preset(dataset, "paper"), dataset), "the backbone works in bfloat16"]:
        assert text in DOC, text


@pytest.mark.parametrize("sequential", [False, True])
def test_sdcls_departures_stand_in_its_document(sequential):
    text = " ".join((Path(__file__).parents[2] / "docs/methods.md").read_text(encoding="utf-8").split())
    recipe = preset("sysu", "paper", "sdcl").override({"sequential": sequential})
    found = SDCL.departures(recipe, find_dataset("sysu"), None)
    assert len(found) == 5 - sequential
    for words in [*found, "the backbone works in bfloat16"]:
        assert words in text, words
    assert SDCL.document.startswith("docs/methods.md") and "## SDCL" in text


@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
@pytest.mark.parametrize(("kind", "matcher"), [(ADCA, counts.match), (PGM, hungarian.match)])
def test_adcas_and_pgms_departures_stand_in_their_document(kind, matcher, dataset):
    text = (Path(__file__).parents[2] / "docs/methods.md").read_text(encoding="utf-8")
    own = " ".join(text.split(f"## {kind.name.upper()}\n")[1].split("\n## ")[0].split())
    paper, found = preset(dataset, "paper", kind.name), find_dataset(dataset)
    usual = kind.departures(paper, found, matcher)
    other = kind.departures(paper, found, greedy.match)
    assert set(other) - set(usual) == {"clusters are matched by another matcher than the published one"}
    for words in {*usual, *other, "the backbone works in bfloat16"}:
        assert words in own, words
    assert kind.document == f'docs/methods.md, "{kind.name.upper()}"'
    assert not found.departures, "what a data set does in another way is every method's"


@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
def test_who_departs_in_what(dataset):
    recipe = preset(dataset, "paper")
    exact, usual = departures(recipe.override({"stage2_start": "best"}), dataset), departures(recipe, dataset)
    assert set(usual) - set(exact) == {"stage 2 starts from stage 1's last weights, not the best on the test set"}
    assert set(exact) < set(usual)
    assert ("the camera filter drops every neighbour that it finds" in usual) == (dataset == "sysu")
    assert ("an image's neighbours are found by its own index" in usual) == (dataset == "regdb")


def test_another_matcher_is_a_departure_and_the_published_ones_are_not_its_own():
    recipe = preset("sysu", "paper")
    usual, own = set(departures(recipe, "sysu")), set(departures(recipe, "sysu", lambda clusters: None))
    assert own - usual == {"clusters are matched by another matcher than the published one"}
    assert usual - own == {
        "matching leaves no cluster unmatched, whichever modality has more, and raises its capacity for that"
    }


def test_the_header_says_both(tmp_path):
    trainer = small_trainer(tmp_path, dict.fromkeys(Modality, 8))
    paper, sysu = preset("sysu", "paper"), find_dataset("sysu")
    departs = departures(paper, "sysu")

    def header(recipe, precision="fp32", dataset=sysu):
        machine = Machine(precision=precision)
        stages = ("1", "camera", "2")
        return run_header(
            dataset,
            None,
            recipe,
            trainer.images,
            machine,
            stages,
            method="tokenmatcher",
            matcher="greedy",
            seed=5,
            paper=paper,
            published="rank-1 1.23",
            document=TokenMatcher.document,
            departures=departs,
        )

    lines = header(paper.override({"bn_groups": 1}), "bf16").splitlines()
    assert "seed 5, backbone in bf16" in lines[0]
    assert "published, of the authors' figures: rank-1 1.23" in lines
    assert "differs from the paper's recipe in: bn_groups 1 instead of 4" in lines
    assert 'departs from the published code (docs/reproduce.md, "Closest to the published run"):' in lines
    assert "## Closest to the published run" in DOC
    for text in [*departs, "the backbone works in bfloat16"]:
        assert f"  {text}" in lines
    assert "differs from the paper's recipe in: nothing" in header(paper)
    assert "bfloat16" not in header(paper)
    assert "\ncameras:" not in header(paper)
    assert "\n  camera: " in header(paper)
    assert "\n  camera: " not in header(paper, dataset=find_dataset("regdb"))  # which has no flags for it
    sysu.camera_names = ("gate", "Tor Süd")
    assert "cameras: cam1 gate, cam2 Tor Süd" in header(paper).splitlines()
    assert any("visible" in line and "(395)" in line and "(22258)" in line for line in lines)
