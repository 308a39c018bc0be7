import argparse
import ast
import inspect
import re
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
from tokenmatcher.doors import METHODS, find_method
from tokenmatcher.errors import UserError, flag
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.presets import PRESETS, TOKENMATCHER, preset


def training_parser(dataset="sysu"):
    return train.parser_for(find_dataset(dataset), TOKENMATCHER, "tokenmatcher", "greedy")


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


@cache
def help_of(method):
    """By name of the flag; RegDB's where both data sets have it."""
    parsers = [
        train.parser_for(find_dataset(dataset), PRESETS[method], method, METHODS[method].matcher)
        for dataset in ("sysu", "regdb")
    ]
    return {action.dest: action.help for parser in parsers for action in parser._actions}


@pytest.mark.parametrize("method", METHODS)
def test_help_says_default_and_source_of_every_number(method):
    recipe = preset("sysu", "paper", method)
    for topic in fields(recipe):
        for leaf in fields(getattr(recipe, topic.name)):
            text = help_of(method)[leaf.name]
            assert re.search(r" \[[PCD][^]]*\] \(default [^)]+\)$", text), text
            assert "SYSU" not in leaf.metadata["help"] and "RegDB" not in leaf.metadata["help"], "help has these"
            assert method == "tokenmatcher" or "[P]" not in text, "no paper was at hand"


@pytest.mark.parametrize(
    ("method", "name", "said"),
    [
        ("tokenmatcher", "eps", "0..1; SYSU-MM01 0.6, RegDB 0.2 [P] (default 0.2, demo 0.5)"),
        ("sdcl", "eps", "0..1; SYSU-MM01 0.6, RegDB 0.3 [C] (default 0.3, demo 0.5)"),
        ("pgm", "epochs", "stage 2; SYSU-MM01 50 50, RegDB 30 30 [C] (default 30 30, demo 3 12)"),
        ("adca", "epochs", "stage 2 [C] (default 50 50, demo 3 12)"),
        ("adca", "lr", "at the start [C] (default 0.00035 0.00035, demo 0.0003 0.0004)"),
        ("sdcl", "jitter_everywhere", " [C] (default yes)"),
        ("adca", "resize", "training images [C] (default bicubic)"),
        ("tokenmatcher", "batch_size", "half of them plain, half their channel twins [P] (default 128, demo 64)"),
        ("sdcl", "batch_size", "as many visible ones, each with its channel twin [C] (default 128, demo 40)"),
        ("sdcl", "matcher", "method sdcl takes none"),
        ("pgm", "matcher", "or a Python file (default hungarian)"),
    ],
)
def test_help_has_the_methods_own_numbers(method, name, said):
    assert help_of(method)[name].endswith(said)


def test_help_knows_the_methods_matchers():
    assert {name: find_method(name).default_matcher for name in METHODS} == {
        name: known.matcher for name, known in METHODS.items()
    }


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
    with pytest.raises(UserError, match=rf"{words[0].split('=')[0]}: must be .*, got '"):
        parse(*words)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (cli.count, "-1", "must be a whole number of at least 0, got '-1'"),
        (cli.count, "x", "must be a whole number"),
        (cli.rate, "1", "must be above 0 and below 1, got '1'"),
        (cli.rate, "nan", "above 0 and below 1"),
    ],
)
def test_what_is_allowed_is_said(kind, text, said):
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        kind(text)


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


@pytest.mark.parametrize("what", ["print('x')", "[print('a help'), sys.exit(0)]"])
def test_output_that_nobody_reads(what):
    """As in `tokenmatcher prepare ... | head -1`."""
    words = [sys.executable, "-c", f"import sys; from tokenmatcher.cli import run; run(lambda: {what})"]
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

    for number in (signal.SIGTERM, signal.SIGHUP):
        kept = signal.signal(number, signal.SIG_DFL)  # nohup ignores the second
        try:
            assert status(lambda number=number: signal.raise_signal(number)) == 130
            assert capsys.readouterr().err == f"stopped by {number.name}\n"
            assert signal.getsignal(number) is signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN)
            assert status(lambda number=number: signal.raise_signal(number)) == 0
        finally:
            signal.signal(number, kept)
