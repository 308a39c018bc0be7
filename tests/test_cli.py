import argparse
import ast
import inspect
import signal
from dataclasses import fields
from functools import cache

import pytest

from tokenmatcher import cli
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation import main as evaluation_main
from tokenmatcher.evaluation import testing
from tokenmatcher.models.backbone import TokenViT
from tokenmatcher.presets import PRESETS
from tokenmatcher.training import launch
from tokenmatcher.training import main as training_main


def parse(*words, dataset="sysu"):
    return training_main.parser_for(dataset).parse_args(list(words))


def test_every_field_of_the_preset_is_a_flag():
    recipe = PRESETS["sysu"]["paper"]
    text = training_main.parser_for("sysu").format_help()
    for topic in fields(recipe):
        for leaf in fields(getattr(recipe, topic.name)):
            assert "--" + leaf.name.replace("_", "-") in text


def test_flags_change_the_recipe_and_nothing_else():
    given = parse("--eps", "0.5", "--epochs", "3", "--lr", "0.1", "0.2", "-b", "64", "--jitter-everywhere")
    recipe = cli.recipe_from(given, "sysu")
    assert recipe == PRESETS["sysu"]["paper"].override(
        {"eps": 0.5, "epochs": (3, 3), "lr": (0.1, 0.2), "batch_size": 64, "jitter_everywhere": True}
    )
    assert cli.recipe_from(parse(), "sysu") == PRESETS["sysu"]["paper"]
    assert cli.recipe_from(parse("--preset", "demo"), "sysu") == PRESETS["sysu"]["demo"]
    assert cli.recipe_from(parse(dataset="regdb"), "regdb") == PRESETS["regdb"]["paper"]


@pytest.mark.parametrize(
    "words", [["--eps", "many"], ["--resize", "nearest"], ["--epochs", "1", "2", "3"], ["--ep", "3"], ["stray"]]
)
def test_bad_flags_are_one_line(words):
    with pytest.raises(UserError) as error:
        cli.recipe_from(parse(*words), "sysu")
    assert "\n" not in str(error.value)


@cache
def build(config):
    """Of all numbers that are no matter of the network, one network."""
    TokenViT(config)


NUMBERS = [
    (leaf.name, value)
    for topic in fields(PRESETS["sysu"]["paper"])
    for leaf in fields(getattr(PRESETS["sysu"]["paper"], topic.name))
    if not isinstance(leaf.default, str | bool)
    for value in ("-1", "0", "nan", "inf", "1e300", "many")
]


@pytest.mark.parametrize(("name", "value"), NUMBERS)
def test_any_number_is_taken_or_refused_in_one_line_that_names_a_flag(name, value):
    flag = "--" + name.replace("_", "-")
    try:
        recipe = cli.recipe_from(parse(f"{flag}={value}"), "sysu")
    except UserError as error:
        assert "--" in str(error)
        assert "\n" not in str(error)
        return
    assert value == "0", "neither negative nor endless"
    build(recipe.model)


def test_the_camera_stage_is_no_matter_of_regdb():
    assert "--camera" not in training_main.parser_for("regdb").format_help()
    given = parse("--num-instances", "5", "--batch-size", "20", dataset="regdb")
    assert cli.recipe_from(given, "regdb").data.num_instances == 5


@pytest.mark.parametrize(
    "words", [["--seed", "-1"], ["--seed", "9" * 30], ["--save-every", "nan"], ["--save-every=-1"]]
)
def test_the_other_flags_have_their_limits(words):
    with pytest.raises(UserError, match=words[0].split("=")[0]):
        parse(*words)


def test_stages():
    stages = ("1", "camera", "2")
    assert cli.stages_from("2, 1", stages) == ["1", "2"]
    for text in ("", "3", "1,x"):
        with pytest.raises(UserError, match="--stages"):
            cli.stages_from(text, stages)


@pytest.mark.parametrize(
    ("modules", "make"),
    [
        ((training_main, launch), lambda: training_main.parser_for("regdb")),
        ((training_main, launch), lambda: training_main.parser_for("sysu")),
        ((evaluation_main, testing), lambda: evaluation_main.regdb_parser()),
        ((evaluation_main, testing), lambda: evaluation_main.sysu_parser()),
    ],
)
def test_a_flag_nobody_reads_is_a_failure(modules, make):
    recipe = PRESETS["sysu"]["paper"]
    of_recipe = {leaf.name for topic in fields(recipe) for leaf in fields(getattr(recipe, topic.name))}
    sources = "".join(map(inspect.getsource, (*modules, cli.recipe_from)))
    read = {
        node.attr
        for node in ast.walk(ast.parse(sources))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("given", "arguments")
    }
    flags = {action.dest for action in make()._actions if not isinstance(action, argparse._HelpAction)}
    assert flags - of_recipe - read == set()


def status(main):
    with pytest.raises(SystemExit) as exit_:
        cli.run(main)
    return exit_.value.code


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
