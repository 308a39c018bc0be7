import json

import pytest
import torch
from torch import nn

from tokenmatcher import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.evaluation.calibration import Calibration, PairCalibration, file_beside, pair_name
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


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"weights": "a", "source": "b", "pairs": {"x": {"genuine": 1}}}'])
def test_damage_is_told(damage, tmp_path):
    path = tmp_path / "x.threshold.json"
    path.write_text(damage)
    with pytest.raises(UserError, match=r"x\.threshold\.json: no calibration"):
        Calibration.read(path)


def test_a_strange_point_is_damage(network, tmp_path):
    path = tmp_path / "x.threshold.json"
    calibration(network).write(path)
    content = json.loads(path.read_text())
    content["pairs"]["visible-infrared"]["points"][0]["colour"] = "red"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="colour"):
        Calibration.read(path)
