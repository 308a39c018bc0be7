"""SDCL from the command line, on rendered people."""

import json
import signal
from dataclasses import replace

import pytest
import torch
from models.test_two_branch import authors_layout, scrambled
from reports import shown_without_tokens
from runs import SMALL, entries, refused
from scripts import call
from test_end_to_end import killed, regdb, same_weights  # noqa: F401  regdb is a fixture

from tokenmatcher.presets import preset

pytestmark = pytest.mark.slow

TRAIN = ["train_sysu.py", "--method", "sdcl", *SMALL, "--k1-visible", 4, "--match-ranked", 5]


@pytest.fixture(scope="module")
def trained(sysu, tmp_path_factory):
    """An uninterrupted run of both stages."""
    logs = tmp_path_factory.mktemp("logs") / "whole"
    done = call(*TRAIN, "--data-dir", sysu, "--logs-dir", logs, fresh=True)
    assert "method sdcl, matcher none" in done.stdout
    assert "published, of the authors' figures: all-search rank-1 64.49" in done.stdout
    assert 'departs from the published code (docs/methods.md, "SDCL")' in done.stdout
    assert "differs from the paper's recipe in: " in done.stdout
    return logs


def test_its_report(trained, sysu, tmp_path):
    assert "Method sdcl takes no matcher" in shown_without_tokens(trained, sysu, tmp_path / "report.html")


def test_the_log_and_the_test_agree(trained, sysu, tmp_path):
    lines = entries(trained)
    assert [(line["stage"], line["epoch"]) for line in lines] == [("1", 0), ("1", 1), ("2", 0), ("2", 1)]
    out = tmp_path / "scores.json"
    call("test_sysu.py", "--resume", trained / "stage2/last.pt", "--data-dir", sysu, "--json", out)
    scores = json.loads(out.read_text())["sysu"]
    for mode, found in scores.items():
        assert found["mAP"] == pytest.approx(lines[-1]["scores"][mode]["mAP"], abs=1e-6)  # the log's rounding
    config = json.loads((trained / "config.json").read_text())
    assert config["run"]["method"] == "sdcl" and config["model"]["network"] == "two_branch"
    assert "matcher" not in config["run"]


@pytest.mark.parametrize("received", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_resumes_to_the_same_weights(trained, sysu, tmp_path, received):
    """Within an epoch of either stage: instance memories are written in every step."""
    logs = tmp_path / "cut"
    command = [*TRAIN, "--data-dir", sysu, "--logs-dir", logs, "--resume", "auto"]
    for stage, step in (("stage1", 2), ("stage2", 6 if received is signal.SIGTERM else 7)):
        killed(received, "before a step", step, *command, "--save-every", "0")
        assert (logs / stage / "midway.pt").is_file()
    call(*command)
    assert same_weights(logs / "stage2/last.pt", trained / "stage2/last.pt")
    assert entries(logs) == entries(trained)


def test_regdb(regdb, tmp_path):  # noqa: F811
    logs = tmp_path / "regdb"
    call("-m", "tokenmatcher", "train", "regdb", *TRAIN[1:], "--data-dir", regdb, "--logs-dir", logs, "--trial", 2)
    done = call("test_regdb.py", "--resume", logs, "--data-dir", regdb)
    assert "RegDB, trial 2, last epoch" in done.stdout


def test_an_authors_model_is_tested(sysu, tmp_path):
    """In their layout and at their image size, but narrow."""
    config = replace(preset("sysu", "paper", "sdcl").model, embed_dim=64, num_heads=1, depth=2, stem_channels=4)
    torch.save({"state_dict": authors_layout(scrambled(config)), "epoch": 38}, tmp_path / "model_best.pth.tar")
    done = call("test_sysu.py", "--resume", tmp_path / "model_best.pth.tar", "--data-dir", sysu, "--no-progress")
    assert "SDCL authors layout" in done.stdout
    assert "SYSU-MM01" in done.stdout and "mINP" in done.stdout


def test_what_sdcl_does_not_take(sysu, tmp_path):
    never = [*TRAIN, "--data-dir", sysu, "--logs-dir", tmp_path / "never"]
    assert "--matcher greedy: method sdcl takes none" in refused(*never, "--matcher", "greedy")
    assert "--network must be two_branch" in refused(*never, "--network", "token_vit", "--num-tokens", 2)
    assert "--num-tokens must be 1" in refused(*never, "--num-tokens", 4)
    other = ["train_sysu.py", "--data-dir", sysu, "--logs-dir", tmp_path / "never", *SMALL]
    assert "--network must be token_vit" in refused(*other, "--network", "two_branch", "--num-tokens", 1)
    assert not (tmp_path / "never").exists()
