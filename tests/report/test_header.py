from pathlib import Path

import pytest
import torch
from small import small_run

from tokenmatcher.contracts import Modality
from tokenmatcher.presets import PRESETS
from tokenmatcher.report.departures import DEPARTURES, departures
from tokenmatcher.report.header import run_header

README = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())


def test_every_departure_stands_in_the_readme_in_the_same_words():
    for departure in DEPARTURES:
        assert departure.text in README, departure.text


@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
def test_who_departs_in_what(dataset):
    recipe = PRESETS[dataset]["paper"]
    exact = departures(recipe.override({"stage2_start": "best"}), dataset, "fp32")
    usual = departures(recipe, dataset, "bf16")
    assert set(usual) - set(exact) == {
        "stage 2 starts from stage 1's last weights, not the best on the test set",
        "the backbone works in bfloat16",
    }
    assert set(exact) < set(usual)
    assert ("the camera filter drops every neighbour that it finds" in usual) == (dataset == "sysu")
    assert ("an image's neighbours are found by its own index" in usual) == (dataset == "regdb")


def test_the_header_says_both(tmp_path):
    run = small_run(tmp_path, dict.fromkeys(Modality, 8))
    paper = PRESETS["sysu"]["paper"]

    def header(recipe, precision="fp32"):
        stages = ("1", "camera", "2")
        device = torch.device("cpu")
        return run_header("sysu", None, recipe, run.sets, device, stages, precision=precision, seed=5)

    lines = header(paper.override({"bn_groups": 1}), "bf16").splitlines()
    assert "seed 5, backbone in bf16" in lines[0]
    assert "differs from the paper's recipe in: bn_groups 1 instead of 4" in lines
    assert 'departs from the published code (README.md, "Closest to the published run"):' in lines
    assert "## Closest to the published run" in README
    for text in departures(paper, "sysu", "bf16"):
        assert f"  {text}" in lines
    assert "differs from the paper's recipe in: nothing" in header(paper)
    assert "bfloat16" not in header(paper)
