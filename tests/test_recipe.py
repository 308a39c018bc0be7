"""Configurations are read as they were meant, or refused by name."""

import json
from dataclasses import fields

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tokenmatcher.errors import SettingError, UserError, flag
from tokenmatcher.methods.numbers import TokenMatcherRecipe
from tokenmatcher.presets import preset


def test_names_are_distinct_across_groups():
    recipe = preset("sysu", "paper")
    names = [leaf.name for topic in fields(recipe) for leaf in fields(getattr(recipe, topic.name))]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
@pytest.mark.parametrize("name", ["paper", "demo"])
def test_round_trip_through_json(dataset, name):
    recipe = preset(dataset, name)
    assert TokenMatcherRecipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"height": 100}, "height"),
        ({"num_heads": 5}, "num_heads"),
        ({"votes": 5}, "votes"),
        ({"eps": 1.5}, "eps"),
        ({"batch_size": 100}, "batch_size"),
        ({"camera_eps": (0.1, 1.5)}, "camera_eps"),
        ({"camera_keep_from": 20}, "camera_keep_from"),
        ({"k2": 40}, "k2"),
        ({"epochs": (0, 5)}, "epochs"),
        ({"height": 100_000, "width": 100_000}, "width"),
    ],
)
def test_impossible_numbers_are_named(values, name):
    """For a library caller by their names, on the command line by their flags."""
    with pytest.raises(SettingError, match=name) as caught:
        preset("sysu", "paper").override(values)
    assert flag(name) in caught.value.worded(flag)
    assert "{" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"votes": 5}, "--votes must lie in 1..num-tokens, got 5"),
        ({"temperature": 0.0}, "--temperature must be positive, got 0.0"),
        ({"height": 100}, "--height must be a multiple of --patch-size, got 100 and 16"),
        ({"erase_prob": -0.5}, "--erase-prob must lie in 0..1, got -0.5"),
        ({"erase_prob": 1.5}, "--erase-prob must lie in 0..1, got 1.5"),
        ({"eps": -1.0}, "--eps must be at least 0, got -1.0"),
        ({"lambda_cross": 1e7}, "--lambda-cross must be at most 1e+06, got 10000000.0"),
        ({"decay": "linear"}, "--decay cannot be 'linear'; choose from cosine, steps"),
        ({"height": 4096}, "--height times --width must not exceed 1,048,576 pixels, got 4096 and 1024"),
    ],
)
def test_a_rule_repeats_what_was_given(values, said):
    recipe = preset("sysu", "paper").override({"width": 1024})
    with pytest.raises(SettingError) as caught:
        recipe.override(values)
    assert caught.value.worded(flag) == said


@pytest.mark.parametrize(
    ("method", "values", "said"),
    [
        (
            "sdcl",
            {"network": "token_vit"},
            "--network must be two_branch: SDCL learns from two branches",
        ),
        ("tokenmatcher", {"network": "two_branch"}, "--network must be token_vit: TokenMatcher works on class tokens"),
        ("adca", {"aggregation": -1.0}, "--aggregation must lie in 0..1, got -1.0"),
        ("adca", {"aggregation": 1.5}, "--aggregation must lie in 0..1, got 1.5"),
        ("pgm", {"match_threshold": 1.5}, "--match-threshold must lie in 0..1, got 1.5"),
        ("pgm", {"memory_update": ("each", "soft")}, "--memory-update cannot be 'soft'; choose from each, hard"),
    ],
)
def test_a_methods_own_rules(method, values, said):
    with pytest.raises(SettingError) as caught:
        preset("sysu", "paper", method).override(values)
    assert caught.value.worded(flag).startswith(said)


def test_a_misspelt_number_is_refused():
    with pytest.raises(ValueError, match="lambda_croos, stem_chanels"):
        TokenMatcherRecipe().override({"eps": 0.5, "stem_chanels": 8, "lambda_croos": 1.0})


def test_unknown_names_are_refused():
    values = preset("sysu", "paper").to_dict()
    for group, name in (("losses", "momentun"), ("model", "bn_group")):
        with pytest.raises(UserError, match=f"group '{group}' has no {name}"):
            TokenMatcherRecipe.from_dict({**values, group: {**values[group], name: 0.1}})
    with pytest.raises(UserError, match="there is no group cameras"):
        TokenMatcherRecipe.from_dict({**values, "cameras": {}})


def test_what_is_absent_is_the_default():
    recipe = preset("regdb", "demo")
    values = recipe.to_dict()
    del values["losses"]["momentum"], values["mining"]
    found = TokenMatcherRecipe.from_dict(values)
    assert found == recipe.override({"momentum": 0.2, "votes": 4, "neighbour_ratio": 0.9})
    assert TokenMatcherRecipe.from_dict({}) == TokenMatcherRecipe().override({"bn_groups": 1, "late_jitter": False})


@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
def test_a_configuration_of_before_means_what_it_meant_then(dataset):
    recipe = preset(dataset, "paper")
    values, meant = recipe.to_dict(), {"bn_groups": 1, "cluster_resize": recipe.data.resize, "late_jitter": False}
    for group in values.values():
        for name in set(meant) & set(group):
            del group[name]
    assert TokenMatcherRecipe.from_dict(values) == recipe.override(meant)
    assert TokenMatcherRecipe.from_dict(values).latecomers() == meant


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
LEAVES = [(group, name) for group, values in preset("sysu", "paper").to_dict().items() for name in values]


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(LEAVES), value=JSON)
def test_any_value_in_a_configuration_is_taken_or_refused(place, value):
    values = preset("sysu", "paper").to_dict()
    values[place[0]][place[1]] = value
    try:
        recipe = TokenMatcherRecipe.from_dict(values)
    except UserError as error:
        assert str(error).isprintable()
    else:
        assert TokenMatcherRecipe.from_dict(recipe.to_dict()) == recipe


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_anything_else_is_no_configuration(value):
    assume(value != {})
    with pytest.raises(UserError):
        TokenMatcherRecipe.from_dict(value)
