import argparse
import ast
import inspect
import signal
import subprocess
import sys
from dataclasses import fields
from functools import cache
from types import SimpleNamespace

import pytest
from scripts import ROOT

from tokenmatcher import cli
from tokenmatcher.commands import config, test, testing, train, training
from tokenmatcher.datasets import find_dataset
from tokenmatcher.errors import UserError, flag
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.presets import TOKENMATCHER, preset


def training_parser(dataset="sysu"):
    return train.parser_for(find_dataset(dataset), TOKENMATCHER, "tokenmatcher")


def parse(*words, dataset="sysu"):
    return training_parser(dataset).parse_args(list(words))


def recipe_of(*words, dataset="sysu"):
    given = parse(*words, dataset=dataset)
    return cli.recipe_from(given, preset(dataset, given.preset))


def test_every_field_of_the_preset_is_a_flag():
    recipe = preset("sysu", "paper")
    text = training_parser().format_help()
    for topic in fields(recipe):
        for leaf in fields(getattr(recipe, topic.name)):
            assert flag(leaf.name) in text


def test_flags_change_the_recipe_and_nothing_else():
    recipe = recipe_of("--eps", "0.5", "--epochs", "3", "--lr", "0.1", "0.2", "-b", "64", "--jitter-everywhere")
    assert recipe == preset("sysu", "paper").override(
        {"eps": 0.5, "epochs": (3, 3), "lr": (0.1, 0.2), "batch_size": 64, "jitter_everywhere": True}
    )
    assert recipe_of() == preset("sysu", "paper")
    assert recipe_of("--preset", "demo") == preset("sysu", "demo")
    assert recipe_of(dataset="regdb") == preset("regdb", "paper")


def test_one_value_is_all_of_a_pair_and_one_of_a_list():
    assert recipe_of("--epochs", "3").schedule.epochs == (3, 3)
    assert recipe_of("--decay-epochs", "20").schedule.decay_epochs == (20,), "twice, the rate would fall twice"
    assert recipe_of("--camera-eps", "0.3").camera.camera_eps == (0.3,)


@pytest.mark.parametrize(
    "words", [["--eps", "many"], ["--resize", "nearest"], ["--epochs", "1", "2", "3"], ["--ep", "3"], ["stray"]]
)
def test_bad_flags_are_one_line(words):
    with pytest.raises(UserError) as error:
        recipe_of(*words)
    assert "\n" not in str(error.value)


@cache
def build(config):
    """Of all numbers that are no matter of the network, one network."""
    TokenViT(config)


NUMBERS = [
    (leaf.name, value)
    for topic in fields(preset("sysu", "paper"))
    for leaf in fields(getattr(preset("sysu", "paper"), topic.name))
    if not isinstance(leaf.default, str | bool)
    for value in ("-1", "0", "nan", "inf", "1e300", "many")
]


@pytest.mark.parametrize(("name", "value"), NUMBERS)
def test_any_number_is_taken_or_refused_in_one_line_that_names_a_flag(name, value):
    try:
        recipe = recipe_of(f"{flag(name)}={value}")
    except UserError as error:
        assert "--" in error.worded(flag)
        assert "\n" not in str(error)
        return
    assert value == "0", "neither negative nor endless"
    build(recipe.model)


def test_the_camera_stage_is_no_matter_of_regdb():
    assert "--camera" not in training_parser("regdb").format_help()
    assert recipe_of("--num-instances", "5", "--batch-size", "20", dataset="regdb").data.num_instances == 5


@pytest.mark.parametrize(
    "words", [["--seed", "-1"], ["--seed", "9" * 30], ["--save-every", "nan"], ["--save-every=-1"]]
)
def test_the_other_flags_have_their_limits(words):
    with pytest.raises(UserError, match=words[0].split("=")[0]):
        parse(*words)


def test_stages():
    stages = ("1", "camera", "2")
    assert training.stages_from("2, 1", stages) == ["1", "2"]
    assert training.stages_from(None, stages) == list(stages)
    for text in ("", "3", "1,x"):
        with pytest.raises(UserError, match="stages"):
            training.stages_from(text, stages)


@pytest.mark.parametrize(
    ("modules", "make"),
    [
        ((train, training, config), lambda: training_parser("regdb")),
        ((train, training, config), lambda: training_parser()),
        ((test, testing), lambda: test.parser_for(find_dataset("regdb"))),
        ((test, testing), lambda: test.parser_for(find_dataset("sysu"))),
    ],
)
def test_a_flag_nobody_reads_is_a_failure(modules, make):
    recipe = preset("sysu", "paper")
    of_recipe = {leaf.name for topic in fields(recipe) for leaf in fields(getattr(recipe, topic.name))}
    sources = "".join(map(inspect.getsource, (*modules, cli.recipe_from)))
    read = {
        node.attr
        for node in ast.walk(ast.parse(sources))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("given", "arguments", "asked")
    }
    flags = {action.dest for action in make()._actions if not isinstance(action, argparse._HelpAction)}
    options = {name for dataset in ("sysu", "regdb") for name in find_dataset(dataset).options}
    assert flags - of_recipe - read - (options if testing in modules else set()) == set()


def test_bars_are_for_a_terminal(monkeypatch):
    for terminal, unwanted in [(True, False), (True, True), (False, False)]:
        monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda terminal=terminal: terminal))
        assert cli.bars(unwanted) == (terminal and not unwanted)


def status(main):
    with pytest.raises(SystemExit) as exit_:
        cli.run(main)
    return exit_.value.code


def test_output_that_nobody_reads():
    """As in `tokenmatcher prepare ... | head -1`."""
    words = [sys.executable, "-c", "from tokenmatcher.cli import run; run(lambda: print('x'))"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_how_a_script_ends(capsys):
    def bad():
        raise UserError("data/x: no\nsuch folder")

    def interrupted():
        raise KeyboardInterrupt

    assert status(lambda: None) == 0
    assert status(bad) == 2
    assert capsys.readouterr().err == "error: data/x: no such folder\n"
    assert status(interrupted) == 130
    assert capsys.readouterr().err == "interrupted\n"

    before = signal.getsignal(signal.SIGTERM)
    assert status(lambda: signal.raise_signal(signal.SIGTERM)) == 130
    assert capsys.readouterr().err == "stopped by SIGTERM\n"
    assert signal.getsignal(signal.SIGTERM) is before
