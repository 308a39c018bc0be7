import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from tokenmatcher import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.calibration import Calibration, Origin, PairCalibration, file_beside, pair_name
from tokenmatcher.evaluation.threshold import Point
from tokenmatcher.models.digest import digest_of

VISIBLE, INFRARED = Modality
POINT = Point(0.01, 0.5, 0.4, 0.6, 0.8, 0.7, 0.9)


@pytest.fixture
def network():
    return nn.Linear(2, 2)


def calibration(network):
    found = {"visible-infrared": PairCalibration(10, 1000, (POINT,))}
    return Calibration(digest_of(network.state_dict()), "identities", found)


def test_it_lies_beside_its_checkpoint(network, tmp_path):
    checkpoint = tmp_path / "best.pt"
    assert file_beside(checkpoint).name == "best.threshold.json"
    assert Calibration.beside(checkpoint, network) is None
    made = calibration(network)
    made.write(file_beside(checkpoint))
    assert Calibration.beside(checkpoint, network) == made
    with torch.no_grad():
        network.weight[0, 0] += 1
    with pytest.raises(UserError, match="other weights"):
        Calibration.beside(checkpoint, network)


def test_a_threshold_is_asked_for_either_way_round(network):
    made = calibration(network)
    assert made.threshold(INFRARED, VISIBLE) == made.threshold(VISIBLE, INFRARED) == 0.5
    assert made.threshold(VISIBLE, VISIBLE) is None
    assert made.threshold(VISIBLE, INFRARED, 0.001) is None
    assert pair_name(INFRARED, INFRARED) == "infrared-infrared"


@pytest.mark.parametrize(
    "damage",
    ["{", "[]", "{}", "[" * 100_000, '{"weights": "a", "source": "b", "pairs": {"x": {"genuine": 1}}}'],
    ids=lambda text: text[:5],
)
def test_damage_is_told(damage, tmp_path):
    path = tmp_path / "x.threshold.json"
    path.write_text(damage)
    with pytest.raises(UserError, match=r"x\.threshold\.json: no calibration"):
        Calibration.read(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content, pair, point: point.update(colour="red"),
        lambda content, pair, point: point.update(threshold="abc"),
        lambda content, pair, point: point.update(threshold=None),
        lambda content, pair, point: point.update(low=float("nan")),
        lambda content, pair, point: point.update(high=10**400),
        lambda content, pair, point: point.update(true_accept=True),
        lambda content, pair, point: pair.update(genuine="10"),
        lambda content, pair, point: pair.update(impostor=1.5),
        lambda content, pair, point: content.update(source=5),
        lambda content, pair, point: content["pairs"].update(odd=pair),
        lambda content, pair, point: content["origin"].update(draws="many"),
        lambda content, pair, point: content["origin"]["images"].update(thermal=5),
    ],
)
def test_a_value_of_another_kind_is_damage(change, network, tmp_path):
    path = tmp_path / "x.threshold.json"
    origin = Origin("regdb", 3, {"visible": 5, "infrared": 6}, 200, 0)
    made = replace(calibration(network), origin=origin)
    made.write(path)
    assert Calibration.read(path) == made
    content = json.loads(path.read_text())
    pair = content["pairs"]["visible-infrared"]
    change(content, pair, pair["points"][0])
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"x\.threshold\.json: no calibration, or damaged"):
        Calibration.read(path)
