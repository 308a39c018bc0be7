"""The paper's numbers, written down a second time, and that every field is read."""

import ast
import json
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmatcher.errors import UserError
from tokenmatcher.presets import PRESETS, Recipe

PACKAGE = Path(__file__).parents[1] / "tokenmatcher"


def leaves(recipe):
    return {
        leaf.name: getattr(getattr(recipe, topic.name), leaf.name)
        for topic in fields(recipe)
        for leaf in fields(getattr(recipe, topic.name))
    }


def test_the_papers_numbers():
    sysu, regdb = leaves(PRESETS["sysu"]["paper"]), leaves(PRESETS["regdb"]["paper"])
    same = {
        "height": 384, "width": 128, "embed_dim": 768, "depth": 12, "num_heads": 12, "mlp_ratio": 4, "drop_path": 0.3,
        "stem_channels": 64, "patch_size": 16, "batch_size": 128, "num_instances": 16, "k1": 30, "k2": 6,
        "min_samples": 4, "neighbour_ratio": 0.9, "match_capacity": 2, "temperature": 0.05, "mixed_momentum": 0.8,
        "fusion_momentum": 0.2, "lambda_diversity": 1, "lambda_cross": 0.4, "optimizer": "sgd", "sgd_momentum": 0.9,
        "weight_decay": 5e-4, "jitter": 0.5, "pad": 10, "flip_prob": 0.5, "erase_prob": 0.5, "erase_area": (0.02, 0.4),
        "erase_aspect": (0.3, 3.3), "eval_start": 7,
    }  # fmt: skip
    differing = {
        "num_tokens": (4, 6), "votes": (4, 6), "eps": (0.6, 0.2), "momentum": (0.2, 0.8),
        "lambda_neighbour": (0.5, 0.1),
        "lambda_fusion": (0.03, 0.01), "lambda_fusion_late": (0.12, 0.01), "epochs": ((50, 50), (35, 35)),
        "iters": ((200, 200), (100, 100)), "lr": ((3.5e-4, 3.5e-5), (3.5e-5, 3.5e-5)),
        "lr_min": ((1e-6, 1e-7), (1e-7, 1e-7)), "resize": ("bicubic", "bilinear"), "jitter_everywhere": (False, True),
    }  # fmt: skip
    for name, value in same.items():
        assert sysu[name] == regdb[name] == value, name
    for name, (of_sysu, of_regdb) in differing.items():
        assert (sysu[name], regdb[name]) == (of_sysu, of_regdb), name
    camera = {
        "camera_eps": (0.2, 0.2, 0.6, 0.5, 0.5, 0.2), "camera_k1": 30, "camera_k2": 6, "camera_epochs_visible": 20,
        "camera_epochs_infrared": 25, "camera_schedule_epochs": 50, "camera_iters": 50, "camera_batch_size": 128,
        "camera_lr": 3.5e-4, "camera_lr_min": 1e-6, "camera_keep_from": 10, "fusion_late_epoch": 35,
    }  # fmt: skip
    for name, value in camera.items():
        assert sysu[name] == value, name


def test_every_field_is_read_somewhere():
    read = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("presets.py", "cli.py", "header.py"):
            read |= {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not set(leaves(PRESETS["sysu"]["paper"])) - read


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


def test_a_damaged_configuration_is_refused():
    values = PRESETS["sysu"]["paper"].to_dict()
    del values["losses"]["momentum"]
    with pytest.raises(UserError, match="losses"):
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
