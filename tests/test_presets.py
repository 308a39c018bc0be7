"""The paper's numbers, written down a second time, and that every field is read."""

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from tokenmatcher.presets import PRESETS, preset

PACKAGE = Path(__file__).parents[1] / "tokenmatcher"


def leaves(recipe):
    return {
        leaf.name: getattr(getattr(recipe, topic.name), leaf.name)
        for topic in fields(recipe)
        for leaf in fields(getattr(recipe, topic.name))
    }


def test_the_papers_numbers():
    sysu, regdb = leaves(preset("sysu", "paper")), leaves(preset("regdb", "paper"))
    same = {
        "height": 384, "width": 128, "embed_dim": 768, "depth": 12, "num_heads": 12, "mlp_ratio": 4, "drop_path": 0.3,
        "stem_channels": 64, "patch_size": 16, "batch_size": 128, "num_instances": 16, "k1": 30, "k2": 6,
        "min_samples": 4, "neighbour_ratio": 0.9, "match_capacity": 2, "temperature": 0.05, "mixed_momentum": 0.8,
        "fusion_momentum": 0.2, "lambda_diversity": 1, "lambda_cross": 0.4, "optimizer": "sgd", "sgd_momentum": 0.9,
        "weight_decay": 5e-4, "jitter": 0.5, "pad": 10, "flip_prob": 0.5, "erase_prob": 0.5, "erase_area": (0.02, 0.4),
        "erase_aspect": (0.3, 1 / 0.3), "eval_start": 6, "bn_groups": 4, "cluster_resize": "bicubic",
        "late_jitter": True,
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


def test_sdcls_numbers():
    sysu, regdb = (leaves(preset(name, "paper", "sdcl")) for name in ("sysu", "regdb"))
    same = {
        "network": "two_branch", "height": 288, "width": 144, "num_tokens": 1, "embed_dim": 768, "depth": 12,
        "num_heads": 12, "patch_size": 16, "stem_channels": 64, "drop_path": 0.1, "bn_groups": 2, "batch_size": 128,
        "num_instances": 16, "jitter_everywhere": True, "jitter": 0.5, "k1": 30, "k2": 6, "min_samples": 4,
        "cluster_resize": "bicubic", "optimizer": "sgd", "sgd_momentum": 0.9, "weight_decay": 5e-4,
        "lr": (3.5e-4, 3.5e-4), "decay": "steps", "neighbour_ratio": 0.9, "across_from": 10, "temperature": 0.05,
        "momentum": 0.1, "instance_momentum": 0.9, "instance_unit": False, "lambda_within": (1, 0.1),
        "lambda_to_infrared": (0.05, 0.01), "lambda_to_visible": (0.5, 0.1), "shallow_share": 0.5, "sequential": False,
        "stage2_start": "last", "eval_start": 0,
    }  # fmt: skip
    differing = {
        "epochs": ((30, 20), (20, 10)), "iters": ((200, 100), (50, 50)), "decay_epochs": ((20, 40), (20,)),
        "eps": (0.6, 0.3), "k1_visible": (15, 30), "momentum_first": (0.1, 0.99), "within_from": (0, 1),
        "match_ranked": (20, 10), "resize": ("bicubic", "bilinear"),
    }  # fmt: skip
    for name, value in same.items():
        assert sysu[name] == regdb[name] == value, name
    for name, (of_sysu, of_regdb) in differing.items():
        assert (sysu[name], regdb[name]) == (of_sysu, of_regdb), name


PEERS_ON_SYSU_AND_REGDB = {
    "adca": {
        "epochs": ((50, 50), (50, 50)), "decay_epochs": ((20, 40), (20, 40)), "iters": ((200, 200), (100, 100)),
        "momentum": (0.1, 0.1), "memory_update": (("each", "each"), ("each", "each")), "eps": (0.6, 0.3),
        "jitter": (0, 0), "non_local": (False, False), "match_threshold": (0.5, 0.5), "aggregation": (0.9, 0.9),
        "unit_memory": (False, False),
    },
    "pgm": {
        "epochs": ((50, 50), (30, 30)), "decay_epochs": ((20, 40), (10, 20)), "iters": ((200, 200), (100, 100)),
        "momentum": (0.2, 0.2), "memory_update": (("each", "hard"), ("each", "each")), "eps": (0.6, 0.3),
        "jitter": (0.5, 0.5), "non_local": (True, True), "lambda_cross": (0.25, 0.25),
        "jitter_infrared": (True, False),
    },
}  # fmt: skip


@pytest.mark.parametrize("method", PEERS_ON_SYSU_AND_REGDB)
def test_adcas_and_pgms_numbers(method):
    sysu, regdb = (leaves(preset(dataset, "paper", method)) for dataset in ("sysu", "regdb"))
    same = {
        "network": "resnet", "height": 288, "width": 144, "layers": (3, 4, 6, 3), "width_per_group": 64,
        "unit_views": True, "bn_groups": 4, "batch_size": 256, "num_instances": 16, "resize": "bicubic",
        "cluster_resize": "bicubic", "late_jitter": True, "jitter_everywhere": False, "pad": 10, "flip_prob": 0.5,
        "erase_prob": 0.5, "erase_area": (0.02, 0.4), "erase_aspect": (0.3, 1 / 0.3), "k1": 30, "k2": 6,
        "min_samples": 4, "optimizer": "adam", "weight_decay": 5e-4, "lr": (3.5e-4, 3.5e-4), "decay": "steps",
        "temperature": 0.05, "stage2_start": "last", "eval_start": 6, "eval_every": 1,
    }  # fmt: skip
    for name, value in same.items():
        assert sysu[name] == regdb[name] == value, name
    for name, values in PEERS_ON_SYSU_AND_REGDB[method].items():
        assert (sysu[name], regdb[name]) == values, name


@pytest.mark.parametrize("dataset", ["sysu", "regdb", "table", "llcm"])
@pytest.mark.parametrize("method", [name for name in PRESETS if name != "tokenmatcher"])
def test_demos_are_as_large_as_tokenmatchers(method, dataset):
    own, theirs = (leaves(preset(dataset, "demo", name)) for name in (method, "tokenmatcher"))
    same = ("height", "width", "embed_dim", "depth", "num_heads", "num_instances", "epochs", "iters", "lr", "momentum")
    for name in same:
        assert own[name] == theirs[name], name
    images = (3 if method == "sdcl" else 2) * own["batch_size"]  # SDCL's visible ones come twice
    spacing = 3 * 2 * own["num_instances"]
    assert abs(images - 2 * theirs["batch_size"]) <= spacing / 2


def attributes(tree):
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_every_field_is_read_somewhere():
    read = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("recipe.py", "numbers.py", "cli.py", "header.py") and path.parent.name != "presets":
            read |= attributes(ast.parse(path.read_text()))
    for node in ast.walk(ast.parse((PACKAGE / "recipe.py").read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == "people":  # DataConfig's, which others call
            read |= attributes(node)
    for method in PRESETS:
        assert not set(leaves(preset("sysu", "paper", method))) - read, method
