"""Configurations are read as they were meant, or refused by name."""

import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmatcher.errors import UserError
from tokenmatcher.presets import PRESETS
from tokenmatcher.recipe import Recipe


def test_names_are_distinct_across_groups():
    recipe = PRESETS["sysu"]["paper"]
    names = [leaf.name for topic in fields(recipe) for leaf in fields(getattr(recipe, topic.name))]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
@pytest.mark.parametrize("preset", ["paper", "demo"])
def test_round_trip_through_json(dataset, preset):
    recipe = PRESETS[dataset][preset]
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"height": 100}, "--height"),
        ({"num_heads": 5}, "--num-heads"),
        ({"votes": 5}, "--votes"),
        ({"eps": 1.5}, "--eps"),
        ({"batch_size": 100}, "--batch-size"),
        ({"camera_eps": (0.1,)}, "--camera-eps"),
        ({"camera_keep_from": 20}, "--camera-keep-from"),
        ({"k2": 40}, "--k2"),
        ({"epochs": (0, 5)}, "--epochs"),
    ],
)
def test_impossible_numbers_name_their_flag(values, flag):
    with pytest.raises(UserError, match=flag):
        PRESETS["sysu"]["paper"].override(values)


def test_a_misspelt_number_is_refused():
    with pytest.raises(ValueError, match="lambda_croos, stem_chanels"):
        Recipe().override({"eps": 0.5, "stem_chanels": 8, "lambda_croos": 1.0})


def test_a_damaged_configuration_is_refused():
    values = PRESETS["sysu"]["paper"].to_dict()
    del values["losses"]["momentum"]
    with pytest.raises(UserError, match="losses"):
        Recipe.from_dict(values)


@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
def test_a_configuration_of_before_means_what_it_meant_then(dataset):
    recipe = PRESETS[dataset]["paper"]
    values, meant = recipe.to_dict(), {"bn_groups": 1, "cluster_resize": recipe.data.resize, "late_jitter": False}
    for group in values.values():
        for name in set(meant) & set(group):
            del group[name]
    assert Recipe.from_dict(values) == recipe.override(meant)
    assert Recipe.from_dict(values).latecomers() == meant
    values["model"]["bn_group"] = 4
    with pytest.raises(UserError, match="model"):
        Recipe.from_dict(values)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
LEAVES = [(group, name) for group, values in PRESETS["sysu"]["paper"].to_dict().items() for name in values]


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(LEAVES), value=JSON)
def test_any_value_in_a_configuration_is_taken_or_refused(place, value):
    values = PRESETS["sysu"]["paper"].to_dict()
    values[place[0]][place[1]] = value
    try:
        recipe = Recipe.from_dict(values)
    except UserError as error:
        assert str(error).isprintable()
    else:
        assert Recipe.from_dict(recipe.to_dict()) == recipe


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_anything_else_is_no_configuration(value):
    with pytest.raises(UserError):
        Recipe.from_dict(value)
