"""The one command, and configurations from a file."""

import json
from importlib import import_module

import pytest
from scripts import ROOT, call

from tokenmatcher.__main__ import TOOLS, entry
from tokenmatcher.commands.config import Config
from tokenmatcher.errors import UserError
from tokenmatcher.presets import preset
from tokenmatcher.version import __version__


def test_one_command_has_them_all():
    said = call("-m", "tokenmatcher").stdout
    for word in ("prepare", "train", "test", "people", "sysu", "regdb"):
        assert word in said
    assert call("-m", "tokenmatcher", "--help").stdout == said
    assert "--lambda-cross" in call("-m", "tokenmatcher", "train", "sysu", "--help").stdout
    assert "--direction" in call("-m", "tokenmatcher", "test", "regdb", "--help").stdout
    assert "--data-dir" in call("-m", "tokenmatcher", "prepare", "regdb", "--help").stdout
    assert "--train-ids" in call("-m", "tokenmatcher", "people", "sysu", "--help").stdout
    said = call("-m", "tokenmatcher", "train", "--help").stdout
    assert "DATASET" in said and "tokenmatcher train sysu --help" in said and "FILE.py" in said
    assert call("-m", "tokenmatcher", "--version").stdout == f"tokenmatcher {__version__}\n"


@pytest.mark.parametrize(
    "words", [["train", "sysu"], ["test", "regdb"], ["prepare", "llcm"], *([name] for name in TOOLS)]
)
def test_help_says_what_was_typed(words):
    """`people` is a program of its own as well, and says so."""
    said = call("-m", "tokenmatcher", *words, "--help").stdout
    assert said.startswith(f"usage: python -m tokenmatcher{'.' if words == ['people'] else ' '}{' '.join(words)} ")


def test_a_script_is_called_by_its_name():
    assert call("train_sysu.py", "--help").stdout.startswith("usage: train_sysu.py ")


def test_pip_installs_it():
    """The name that pip makes a command of leads to what `python -m tokenmatcher` runs."""
    line = next(
        line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("tokenmatcher =")
    )
    module, name = line.split('"')[1].split(":")
    assert getattr(import_module(module), name) is entry


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian", "sysu"], "trian: no such command; there are prepare, train, test, calibrate, "),
        (["train", "market"], "market: no such data set; there are sysu, regdb, llcm"),
        (["train", "sysu", "--method", "sdlc"], "--method sdlc: there is no such method"),
        (["train", "sysu", "--config", "absent.json"], "--config absent.json: cannot be read"),
        (["test", "sysu"], "--resume"),
        (["train", "--preset", "demo"], "train --preset: the data set comes first, as in: tokenmatcher train sysu"),
        (["test", "sysu", "--resume", ""], "argument --resume: must not be empty, got ''"),
        (["train", "sysu", "--resume", ""], "--resume '': neither 'auto' nor a file"),
        (["train", "absent.py"], "error: absent.py: no such file"),
    ],
)
def test_what_there_is_not_is_told_in_one_line(words, message):
    done = call("-m", "tokenmatcher", *words, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line


def written(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    return path


def test_a_few_lines_are_put_into_a_preset(tmp_path):
    path = written(tmp_path, {"run": {"seed": 3}, "clusters": {"eps": 0.5}, "schedule": {"epochs": [2, 3]}})
    config = Config.read(path, "sysu")
    assert config.run == {"seed": 3}
    assert config.leaves() == {"eps", "epochs"}
    paper = preset("sysu", "paper")
    assert config.put_into(paper) == paper.override({"eps": 0.5, "epochs": (2, 3)})


def test_one_number_is_all_of_a_pair(tmp_path):
    path = written(tmp_path, {"schedule": {"epochs": 3, "decay_epochs": 20}})
    paper = preset("sysu", "paper")
    assert Config.read(path, "sysu").put_into(paper) == paper.override({"epochs": (3, 3), "decay_epochs": (20,)})


def test_a_file_that_is_nested_too_deeply(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"config\.json: cannot be read"):
        Config.read(path, "sysu")


def test_what_a_run_left_is_the_same_recipe_again(tmp_path):
    demo = preset("regdb", "demo")
    run = {"dataset": "regdb", "preset": "demo", "trial": 2, "compile": "False", "resume": "auto", "commit": "abc"}
    config = Config.read(written(tmp_path, {"run": run, **demo.to_dict()}), "regdb")
    assert config.put_into(preset("regdb", "paper")) == demo
    assert config.run == {"preset": "demo", "trial": 2, "compile": False}


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"seed": -1}, "--seed"),
        ({"device": "tpu"}, "--device"),
        ({"precision": "fp8"}, "--precision"),
        ({"trial": 3}, "--trial"),
    ],
)
def test_flags_in_a_file_are_checked_as_flags(tmp_path, run, message):
    done = call("-m", "tokenmatcher", "train", "sysu", "--config", written(tmp_path, {"run": run}), check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: --config {tmp_path}") and message in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "no configuration"),
        ({"clusters": 3}, "'clusters' is no group of numbers"),
        ({"eps": 0.61}, r"'eps' is no group of numbers; write it such as \{\"clusters\": \{\"eps\""),
        ({"run": {"seed": None}}, "'run' has seed None"),
        ({"run": {"method": ["sdcl"]}}, r"'run' has method \['sdcl'\]"),
        ({"schedule": {"epochs": "3"}}, "epochs takes several values, got '3'"),
        ({"run": {"dataset": "regdb"}}, "of data set regdb"),
        ({"run": {"sed": 3}}, "'run' has no sed"),
        ({"cluster": {"eps": 0.5}}, "there is no group cluster"),
        ({"clusters": {"epps": 0.5}}, "group 'clusters' has no epps"),
        ({"clusters": {"eps": 5}}, "eps must lie between 0 and 1"),
        ({"clusters": {"eps": "x"}}, "eps must be a number"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        Config.read(written(tmp_path, content), "sysu").put_into(preset("sysu", "paper"))
