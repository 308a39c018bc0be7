"""ADCA and PGM from the command line, on rendered people."""

import json
import signal
from dataclasses import replace

import pytest
import torch
from reports import FEW, SECTIONS, made, sections_of
from runs import SMALL, entries, refused
from scripts import call
from test_end_to_end import killed, regdb, same_weights  # noqa: F401  regdb is a fixture
from torchvision.models.resnet import Bottleneck, ResNet

from tokenmatcher.models.weights import load_model
from tokenmatcher.presets import preset

pytestmark = pytest.mark.slow

METHODS = ("adca", "pgm")
RESNET = ["--network", "resnet", "--layers", 1, 1, 1, 1, "--width-per-group", 4, "--bn-groups", 2]
PUBLISHED = {"adca": "45.51", "pgm": "57.27"}
MATCHER = {"adca": "counts", "pgm": "hungarian"}


def train(method, *flags):
    return ["-m", "tokenmatcher", "train", "sysu", "--method", method, *SMALL, *flags]


@pytest.fixture(scope="module", params=METHODS)
def trained(request, sysu, tmp_path_factory):
    """A method's name, and an uninterrupted run of both stages."""
    method, logs = request.param, tmp_path_factory.mktemp("logs") / "whole"
    done = call(*train(method), "--data-dir", sysu, "--logs-dir", logs)
    assert f"method {method}, matcher {MATCHER[method]}" in done.stdout
    assert f"published, of the authors' figures: all-search rank-1 {PUBLISHED[method]}" in done.stdout
    assert f'departs from the published code (docs/methods.md, "{method.upper()}")' in done.stdout
    assert "network token_vit instead of resnet" in done.stdout
    return method, logs


def test_the_log_and_the_test_agree(trained, sysu, tmp_path):
    method, logs = trained
    lines, out = entries(logs), tmp_path / "scores.json"
    assert [(line["stage"], line["epoch"]) for line in lines] == [("1", 0), ("1", 1), ("2", 0), ("2", 1)]
    call("test_sysu.py", "--resume", logs / "stage2/last.pt", "--data-dir", sysu, "--json", out)
    for mode, found in json.loads(out.read_text())["sysu"].items():
        assert found["mAP"] == pytest.approx(lines[-1]["scores"][mode]["mAP"], abs=1e-6)  # the log's rounding
    terms = {"visible", "infrared", "total"} | ({"cross"} if method == "pgm" else set())
    assert all("match" not in line and set(line["losses"]) == {"visible", "infrared", "total"} for line in lines[:2])
    for line in lines[2:]:
        assert set(line["losses"]) == terms
        assert {"right", "matched", "matchable", "ratio"} <= set(line["match"])
        assert {"adca": "accepted", "pgm": "rounds"}[method] in line["match"]
    config = json.loads((logs / "config.json").read_text())
    assert config["run"]["method"] == method and config["model"]["unit_views"] is True


def test_their_reports(trained, sysu, tmp_path):
    method, logs = trained
    path = tmp_path / "report.html"
    made(logs, "--data-dir", sysu, "-o", path, *FEW)
    text = path.read_text(encoding="utf-8")
    assert sections_of(text) == SECTIONS and method in text


@pytest.mark.parametrize("received", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_resumes_to_the_same_weights(trained, sysu, tmp_path, received):
    """Within an epoch of either stage."""
    method, whole = trained
    logs, script = tmp_path / "cut", ["train_sysu.py", *train(method)[4:]]
    command = [*script, "--data-dir", sysu, "--logs-dir", logs, "--resume", "auto"]
    for stage, step in (("stage1", 2), ("stage2", 6 if received is signal.SIGTERM else 7)):
        killed(received, "before a step", step, *command, "--save-every", "0")
        assert (logs / stage / "midway.pt").is_file()
    call(*command)
    assert same_weights(logs / "stage2/last.pt", whole / "stage2/last.pt")
    assert entries(logs) == entries(whole)


@pytest.mark.parametrize("method", METHODS)
def test_regdb_and_the_resnet(regdb, tmp_path, method):  # noqa: F811
    """Of random weights, by Adam and steps; stopped, gone on with, and tested."""
    logs = tmp_path / "regdb"
    paper = ["--optimizer", "adam", "--decay", "steps", "--decay-epochs", 1, "--iters", 2, "--eval-start", 9]
    flags = [*SMALL, *RESNET, *paper, "--data-dir", regdb, "--logs-dir", logs, "--trial", 2]
    call("-m", "tokenmatcher", "train", "regdb", "--method", method, *flags, "--stages", "1")
    call("-m", "tokenmatcher", "train", "regdb", "--method", method, *flags, "--resume", "auto")
    done = call("test_regdb.py", "--resume", logs, "--data-dir", regdb)
    assert "RegDB, trial 2, last epoch" in done.stdout
    network, _ = load_model(logs / "trial_2/stage2/last.pt")
    assert network.width == 2048 and network.config.non_local == (method == "pgm")
    assert [line["lr"] for line in entries(logs / "trial_2")] == pytest.approx([3e-4, 3e-5, 4e-4, 4e-5])


def test_a_resnet_starts_from_torchvisions_file(sysu, tmp_path):
    torch.save(ResNet(Bottleneck, [1, 1, 1, 1], width_per_group=4).state_dict(), tmp_path / "resnet.pth")
    start = ["--pretrained-path", tmp_path / "resnet.pth", "--stages", "1", "--epochs", 1, "--iters", 1]
    done = call(*train("pgm", *RESNET, *start), "--data-dir", sysu, "--logs-dir", tmp_path / "logs")
    assert "resnet.pth: imagenet layout" in done.stdout
    assert "skipped: fc.weight, fc.bias; fresh: layer*.non_local*.theta.weight" in done.stdout


@pytest.mark.parametrize("method", METHODS)
def test_another_matcher(sysu, tmp_path, method):
    """Two of them leave clusters without a partner."""
    for matcher in ("mutual", "greedy"):
        logs = tmp_path / matcher
        flags = ["--epochs", 1, "--iters", 2, "--matcher", matcher]
        done = call(*train(method, *flags), "--data-dir", sysu, "--logs-dir", logs)
        assert "clusters are matched by another matcher than the published one" in done.stdout
        assert 0 < entries(logs)[-1]["match"]["matched"] <= 1


def test_bad_input(sysu, tmp_path):
    def never(method, *flags):
        return refused(*train(method, *flags), "--data-dir", sysu, "--logs-dir", tmp_path / "never")

    assert "--memory-update cannot be 'soft'" in never("pgm", "--memory-update", "each", "soft")
    assert "--momentum must lie in [0, 1)" in never("adca", "--momentum", 1)
    assert "--aggregation must lie in 0..1" in never("adca", "--aggregation", 1.5)
    assert "--layers takes one value or 4" in never("adca", "--layers", 1, 2)
    assert "--lambda-cross" in never("adca", "--lambda-cross", 1), "is PGM's"
    assert "--network must be token_vit" in refused(
        "train_sysu.py", "--data-dir", sysu, "--logs-dir", tmp_path / "never", *SMALL, "--network", "resnet"
    )
    paper = ["-m", "tokenmatcher", "train", "sysu", "--method", "adca", "--data-dir", sysu, "--logs-dir"]
    line = refused(*paper, tmp_path / "never")
    assert "pretrained/resnet50-0676ba61.pth: no such file" in line
    vit = replace(preset("sysu", "demo", "adca").model, network="resnet")
    assert vit.unit_views
    line = never("pgm", *RESNET, "--pretrained-path", "pretrained/demo_vit.pth")
    assert "is for network token_vit or two_branch, asked for was resnet" in line
    assert not (tmp_path / "never").exists()
