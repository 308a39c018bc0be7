"""A two-stem ResNet from torchvision's ImageNet file, and what is wrong with such a file, in one line."""

import pytest
import torch
from torchvision.models.resnet import Bottleneck, ResNet

from tokenmatcher.errors import UserError
from tokenmatcher.models.weights import build_model
from tokenmatcher.recipe import ModelConfig

CONFIG = ModelConfig(
    network="resnet", height=32, width=16, layers=(1, 1, 1, 1), width_per_group=4, non_local=True, bn_groups=1
)


@pytest.fixture(scope="module")
def file():
    torch.manual_seed(0)
    return ResNet(Bottleneck, [1, 1, 1, 1], width_per_group=4).state_dict()


def test_both_stems_and_all_layers_come_from_the_file(file):
    model, report = build_model(file, source="resnet.pth", config=CONFIG)
    assert str(report).startswith("resnet.pth: imagenet layout, ")
    state = model.state_dict()
    for key, value in file.items():
        if key.startswith(("conv1", "bn1")):
            assert torch.equal(state[f"visible.{key}"], value) and torch.equal(state[f"infrared.{key}"], value)
        elif not key.startswith("fc."):
            assert torch.equal(state[key], value)
    assert report.skipped == ("fc.weight", "fc.bias")
    assert all(key.startswith("necks.") or ".non_local" in key for key in report.fresh)
    assert set(report.used) | set(report.skipped) == set(file)
    assert not model.training


def test_an_old_file_without_counts_of_batches(file):
    old = {key: value for key, value in file.items() if not key.endswith("num_batches_tracked")}
    model, report = build_model(old, source="old.pth", config=CONFIG)
    assert set(report.used) | set(report.skipped) == set(old)
    assert torch.equal(model.state_dict()["layer4.0.bn3.weight"], file["layer4.0.bn3.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer3.0.conv2.weight"), "key 'layer3.0.conv2.weight': expected shape"),
        (lambda state: state.update({"layer1.1.conv1.weight": torch.zeros(1)}), "unexpected key 'layer1.1.conv1"),
        (lambda state: state.update({"bn1.bias": torch.full((64,), torch.nan)}), "'bn1.bias' holds NaN"),
        (lambda state: state.update({"conv1.weight": torch.zeros(64, 3, 3, 3)}), r"expected shape \(64, 3, 7, 7\)"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(file, change, message):
    state = dict(file)
    change(state)
    with pytest.raises(UserError, match=message):
        build_model(state, source="resnet.pth", config=CONFIG)


def test_another_network_is_refused(file):
    with pytest.raises(UserError, match="imagenet layout is for network resnet, asked for was token_vit"):
        build_model(file, source="resnet.pth", config=ModelConfig())
