from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small import SMALL

from tokenmatcher import TokenViT
from tokenmatcher.evaluation.calibration import Calibration, Origin, PairCalibration
from tokenmatcher.evaluation.threshold import Point
from tokenmatcher.export.card import Exported, facts, model_card

SCORES = {"all": dict.fromkeys(("rank1", "rank5", "rank10", "rank20", "mAP", "mINP"), 0.125)}
CONTENT = {"dataset": "sysu", "method": "tokenmatcher", "note": "stage 2, epoch 11, best", "scores": SCORES}
POINT = Point(0.01, 0.512, 0.4, 0.6, 0.8, 0.7, 0.9)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return TokenViT(SMALL)


def test_it_says_what_one_needs(network, tmp_path):
    path = tmp_path / "visible.onnx"
    path.write_bytes(b"abc")
    exported = Exported("onnx", [path], "uint8", True, {"visible.onnx": 8.4e-8})
    pair = PairCalibration(10, 1000, (POINT,))
    origin = Origin("sysu", None, {"visible": 3000, "infrared": 20}, 200, 0)
    calibration = Calibration("w", "identities of the test images", {"visible-infrared": pair}, origin)
    card = model_card(network, CONTENT, exported, weights="w", licence="CC-BY-4.0", calibration=calibration)
    for words in (
        "trained on SYSU-MM01", "stage 2, epoch 11, best", "32 x 16", "| 64 numbers, of length 1 |", "CC-BY-4.0",
        "| visible.onnx | 3 | `ba7816bf", "8e-08", "uint8 of 0..255", "(0.485, 0.456, 0.406)", "mirror image",
        "| all | 12.50 |", "| visible-infrared | 0.01 | 0.512 (0.400 to 0.600) | 80.0 % |", "identities of the test",
        "(sysu: 3,000 visible and 20 infrared images, 200 draws of people, seed 0)",
    ):  # fmt: skip
        assert words in card, words


def test_what_is_not_known_is_said(network):
    card = model_card(network, {}, Exported("safetensors", []), weights="w")
    for words in ("trained on unknown", "The checkpoint holds none.", "tokenmatcher calibrate", "not stated"):
        assert words in card, words
    assert "length 1" not in card
    assert facts(network, {}, "w")["data_set"] == "unknown"
    assert Path("README.md").name not in card


def test_what_was_measured_with_the_mirror_image_is_not_said_of_graphs_without(network):
    pair = PairCalibration(10, 1000, (POINT,))
    calibration = Calibration("w", "identities", {"visible-infrared": pair})
    for mirror in (True, False):
        card = model_card(network, CONTENT, Exported("onnx", [], "uint8", mirror), weights="w", calibration=calibration)
        assert ("0.512" in card) == ("12.50" in card) == mirror
        assert card.count("measured with the average with the mirror image, which these graphs") == 2 * (not mirror)


@pytest.mark.parametrize("unit_views", [True, False])
def test_it_says_what_the_mean_is_of(unit_views):
    network = TokenViT(replace(SMALL, unit_views=unit_views))
    card = model_card(network, {}, Exported("onnx", [], "uint8"), weights="w")
    assert ("the average with the mirror image (the features of both are made unit before)" in card) == unit_views


def test_what_a_checkpoint_says_does_not_break_the_tables(network):
    content = {"dataset": "a\n# b", "method": "m|n", "note": "one\ntwo"}
    card = model_card(network, content, Exported("safetensors", []), weights="w")
    assert r"trained on a\n# b" in card and r"| method | m\|n, one\ntwo |" in card
