"""The two-stem ResNet against torchvision's own passes, obvious loops, and separate passes group by group."""

from dataclasses import replace

import pytest
import torch
from rounding import assert_near, layers
from torch import nn
from torchvision.models import resnet50

from tokenmatcher.models.norms import GroupedBatchNorm
from tokenmatcher.models.resnet import NonLocal, TwoStemResNet, gem
from tokenmatcher.recipe import ModelConfig

WHOLE = ModelConfig(network="resnet", height=64, width=32, bn_groups=1)
TINY = ModelConfig(
    network="resnet", height=32, width=16, layers=(1, 2, 1, 1), width_per_group=4, non_local=True, bn_groups=1
)
BATCH = 4


@pytest.fixture(scope="module")
def theirs():
    """Torchvision's ResNet-50 of random weights and statistics, its last layer's stride and its pooling set alike."""
    torch.manual_seed(0)
    network = resnet50(weights=None)
    network.layer4[0].conv2.stride = network.layer4[0].downsample[0].stride = (1, 1)
    network.avgpool, network.fc = nn.Identity(), nn.Identity()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


@pytest.fixture(scope="module")
def ours(theirs):
    network = TwoStemResNet(WHOLE)
    state = theirs.state_dict()
    stems = {f"{m}.{name}": value for m in ("visible", "infrared") for name, value in state.items() if name[-1] != "x"}
    own = {name: stems.get(name, state.get(name, value)) for name, value in network.state_dict().items()}
    assert {name for name in own if name not in stems and name not in state} == {
        name for name in own if name.startswith("necks.")
    }
    network.load_state_dict(own)
    return network


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("modality", ["visible", "infrared"])
def test_it_is_torchvisions(theirs, ours, modality, training):
    """Maps, and in training mode the statistics that they leave."""
    images = torch.randn(BATCH, 3, 64, 32)
    before = {name: value.clone() for name, value in theirs.state_dict().items()}
    mine = {name: value.clone() for name, value in ours.state_dict().items()}
    try:
        with torch.no_grad():
            maps = theirs.train(training)(images).view(BATCH, 2048, 4, 2)
            found = ours.train(training)(**{modality: images})
        error = layers(53, 4608)  # convolutions one behind the other, sums of up to 9 x 512 products
        assert_near(found.tokens[:, 0], gem(maps), error)
        assert found.features.shape == (BATCH, 2048)
        for name, value in theirs.state_dict().items():
            own = f"{modality}.{name}" if name.startswith(("conv1", "bn1")) else name
            assert_near(ours.state_dict()[own].float(), value.float(), error)
        other = {"visible": "infrared", "infrared": "visible"}[modality]
        assert torch.equal(ours.state_dict()[f"{other}.bn1.running_mean"], mine[f"{other}.bn1.running_mean"])
    finally:
        theirs.load_state_dict(before), ours.load_state_dict(mine)


def test_the_papers_map_and_where_attention_stands():
    """On no device, so that nothing is computed."""
    with torch.device("meta"):
        network = TwoStemResNet(ModelConfig(network="resnet", height=288, width=144, non_local=True))
        maps = []
        network.layer4[-1].register_forward_hook(lambda _module, _inputs, output: maps.append(output.shape))
        found = network(torch.empty(8, 3, 288, 144), torch.empty(16, 3, 288, 144))
    assert maps == [(24, 2048, 18, 9)]
    assert found.features.shape == (24, 2048) and network.width == 2048
    blocks = {name for name, module in network.named_modules() if isinstance(module, NonLocal)}
    assert blocks == {f"layer2.non_local{n}" for n in (2, 3)} | {f"layer3.non_local{n}" for n in (3, 4, 5)}
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert all(isinstance(norm, GroupedBatchNorm) and norm.groups == 4 for norm in norms)
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["necks.0.bias"]


def test_attention_is_the_sum_over_all_places():
    """As written in the paper, with the (N, N) matrix, in double precision."""
    block = NonLocal(6).double().eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(3, 6, 4, 5, dtype=torch.float64)
    rows = []
    for image in x:
        theta, phi, g = (getattr(block, name)(image[None])[0].flatten(1).T for name in ("theta", "phi", "g"))
        seen = torch.stack([sum((theta[i] @ phi[j]) * g[j] for j in range(20)) / 20 for i in range(20)])
        rows.append(block.norm(block.out(seen.T.view(1, 1, 4, 5)))[0])
    # Sums of 20 in double precision; what is no rounding is far above this.
    torch.testing.assert_close(block(x), x + torch.stack(rows), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("training", [False, True])
def test_attention_starts_as_nothing(training):
    images = torch.randn(BATCH, 3, 32, 16)
    network = TwoStemResNet(TINY).train(training)
    plain = TwoStemResNet(replace(TINY, non_local=False)).train(training)
    plain.load_state_dict({name: value for name, value in network.state_dict().items() if "non_local" not in name})
    assert torch.equal(network(images).features, plain(images).features)
    network(images).features.square().sum().backward()
    gradient = network.layer2.non_local1.norm.weight.grad
    assert gradient is not None and gradient.abs().max() > 0, "but it learns"


def test_generalised_mean_is_the_slow_loop():
    maps = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    maps[0, 1] = 0
    for b in range(2):
        for c in range(3):
            mean = sum(float(value) ** 3 for value in maps[b, c].flatten()) / 20
            # A rounding of 1e-16 near the floor of 1e-12 leaves eleven digits.
            assert gem(maps)[b, c].item() == pytest.approx((mean + 1e-12) ** (1 / 3), rel=1e-9)
    dark = torch.zeros(1, 1, 2, 2, requires_grad=True)
    gem(dark).sum().backward()
    assert dark.grad.isfinite().all(), "the floor keeps a map of zeros from an infinite slope"


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("modalities", ["both", "infrared"])
def test_groups_are_separate_passes(modalities, monkeypatch):
    """Plain copies in one group, twins in the other; running statistics of the first alone. In double precision, where
    no ReLU is near enough to 0 to fall on the other side."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    grouped = TwoStemResNet(replace(TINY, bn_groups=2)).train()
    for module in grouped.modules():
        if isinstance(module, NonLocal):
            nn.init.ones_(module.norm.weight)
    passes = [TwoStemResNet(TINY).train() for _ in range(2)]
    for network in passes:
        network.load_state_dict(grouped.state_dict())
    images = {"visible": torch.randn(8, 3, 32, 16), "infrared": torch.randn(4, 3, 32, 16)}
    images = {name: x for name, x in images.items() if modalities in ("both", name)}
    counts = [len(x) for x in images.values()]
    found = grouped(**images)
    weights = torch.randn_like(found.features)
    (found.features * weights).sum().backward()
    for number, network in enumerate(passes):
        part = network(**{name: x.chunk(2)[number] for name, x in images.items()})
        halves = [count // 2 for count in counts]
        for whole, own in zip(found.features.split(counts), part.features.split(halves), strict=True):
            torch.testing.assert_close(whole.chunk(2)[number], own, rtol=1e-8, atol=1e-8)
        shares = torch.cat([whole.chunk(2)[number] for whole in weights.split(counts)])
        (part.features * shares).sum().backward()
    # A bias in front of a batch norm has no gradient but rounding, so all are held to the largest there is.
    largest = max(parameter.grad.abs().max().item() for parameter in grouped.parameters() if parameter.grad is not None)
    for name, parameter in grouped.named_parameters():
        parts = [dict(network.named_parameters())[name].grad for network in passes]
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, parts[0] + parts[1], rtol=0, atol=1e-9 * largest)
        else:
            assert parts == [None, None], name
    for name, value in grouped.state_dict().items():
        if "running" in name:
            assert_near(value, passes[0].state_dict()[name], 1e-8)


def test_recomputing_counts_a_batch_once():
    images, found = torch.randn(BATCH, 3, 32, 16), []
    network = TwoStemResNet(replace(TINY, bn_groups=2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for on in (False, True):
        network.load_state_dict(before)
        network.set_recompute(on)
        network(images, images).features.square().sum().backward()
        found.append({name: value.clone() for name, value in network.state_dict().items()})
    plain, again = found
    for name, value in plain.items():
        assert torch.equal(value, again[name]), name
    assert any(not torch.equal(plain[name], before[name]) for name in plain if "running" in name)


def test_wrong_images_are_refused():
    network = TwoStemResNet(replace(TINY, bn_groups=4)).train()
    with pytest.raises(ValueError, match="got neither"):
        network()
    with pytest.raises(ValueError, match=r"infrared images must be Bx3x32x16, got \(8, 3, 16, 32\)"):
        network(infrared=torch.zeros(8, 3, 16, 32))
    with pytest.raises(ValueError, match="do not divide into 4"):
        network(torch.zeros(8, 3, 32, 16), torch.zeros(6, 3, 32, 16))
