"""ResNet-50 with two stems, the backbone of ADCA and PGM.

    visible  (B1, 3, H, W) -> stem -+
                                    +-> layers 1 to 4 -> maps (B, D, h, w) -> GeM -> (B, D) -> neck -> features (B, D)
    infrared (B2, 3, H, W) -> stem -+

The stems are convolution, batch norm, ReLU and max-pool of torchvision's ResNet, one for each modality. The last layer
keeps its resolution (stride 1): 288x144 pixels come to a map of 18x9.

Legend: B = B1 + B2 batch, visible first, C channels, H and W image height and width in pixels, h and w the same of a
map, D = 2048.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import nullcontext
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models.resnet import Bottleneck, ResNet

from tokenmatcher.models.base import Network, groups_of
from tokenmatcher.models.norms import GroupedBatchNorm, gather_groups, scatter_groups, statistics_kept
from tokenmatcher.models.source import Source, numbered
from tokenmatcher.recipe import ModelConfig

GEM_FLOOR = 1e-12
NECK_STD = 0.01  # of the neck's fresh weights, around 1
LAYERS = ("layer1", "layer2", "layer3", "layer4")
NON_LOCAL = {"layer2": 2, "layer3": 3}  # behind so many of a layer's last blocks


class NonLocal(nn.Module):
    """Every place of a map looks at all places (Wang et al., CVPR 2018), as PGM has it: x + BN(W((θ φᵀ / N) g)) over
    N = h w places, without a softmax, with one inner channel. The batch norm starts at zero, so the block starts as
    nothing."""

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv2d(channels, 1, 1) for _ in range(3))
        self.out = nn.Conv2d(1, channels, 1)
        self.norm = GroupedBatchNorm(channels, groups)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape. With one channel the (N, N) attention is a product of two vectors, and need
        not be made: what each place sees is θ times the mean of φ g."""
        seen = (self.phi(x) * self.g(x)).mean((2, 3), keepdim=True)
        attended: Tensor = self.norm(self.out(self.theta(x) * seen))
        return x + attended


def gem(maps: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C): generalised mean over the places, (mean x³ + 1e-12)^(1/3); maps are not negative
    (Radenović et al., TPAMI 2019, with a fixed power)."""
    return (maps.pow(3).mean((2, 3)) + GEM_FLOOR).pow(1 / 3)


class TwoStemResNet(Network):
    """ResNet of bottlenecks (He et al., CVPR 2016), torchvision's, with a stem for each modality.

    Fresh weights follow PyTorch's global generator: convolutions Kaiming (fan-out), norms 1 and 0, the neck's weight
    normal around 1.
    """

    reads: ClassVar[tuple[str, ...]] = (*Network.reads, "layers", "width_per_group", "non_local")

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        groups = config.bn_groups
        trunk = ResNet(
            Bottleneck,
            list(config.layers),
            num_classes=1,
            width_per_group=config.width_per_group,
            norm_layer=partial(GroupedBatchNorm, groups=groups),
        )
        for part in (trunk.layer4[0].conv2, trunk.layer4[0].downsample[0]):
            part.stride = (1, 1)
        self.visible, self.infrared = _stem(groups), _stem(groups)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _layer(getattr(trunk, name), NON_LOCAL.get(name, 0) if config.non_local else 0, groups) for name in LAYERS
        )
        self.recompute = False
        self.finish(trunk.fc.in_features)
        nn.init.normal_(self.necks[0].get_parameter("weight"), 1.0, NECK_STD)

    @classmethod
    def parts_of(cls, config: ModelConfig) -> int:
        return 1

    @property
    def description(self) -> str:
        config = self.config
        attention = ", non-local blocks" if config.non_local else ""
        return (
            f"ResNet of {'+'.join(map(str, config.layers))} bottlenecks from {config.width_per_group} channels on"
            f"{attention}, a stem for each modality"
        )

    def tokens(self, visible: Tensor | None, infrared: Tensor | None) -> Tensor:
        """While training, group g of both modalities is normalised together in all that they share."""
        parts = [
            stem(images.contiguous(memory_format=_order(images)))
            for stem, images in ((self.visible, visible), (self.infrared, infrared))
            if images is not None
        ]
        counts = [part.shape[0] for part in parts]
        groups = groups_of(self.necks, training=self.training)
        rows = torch.cat(parts)
        if groups > 1:
            rows = gather_groups(rows, counts, groups).contiguous(memory_format=_order(rows))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in layer:
                rows = self._again_backwards(block, rows) if self.recompute and self.training else block(rows)
        pooled = gem(rows.float())  # under autocast, too: cubes of halves overflow
        return (scatter_groups(pooled, counts, groups) if groups > 1 else pooled).unsqueeze(1)

    def _again_backwards(self, block: nn.Module, rows: Tensor) -> Tensor:
        """A block whose inner maps are not kept; what its batch norms saw is counted once."""
        found: Tensor = checkpoint(
            block, rows, use_reentrant=False, context_fn=lambda: (nullcontext(), statistics_kept(block))
        )
        return found

    def set_recompute(self, on: bool) -> None:
        self.recompute = on

    @classmethod
    def sizes(cls, config: ModelConfig, file: Source) -> dict[str, tuple[float, float]]:
        found = {
            f"layers, {name}": (blocks, numbered(file, f"{name}.") - _attention(name, blocks, config.non_local))
            for name, blocks in zip(LAYERS, config.layers, strict=True)
        }
        width = file.shape("layer1.0.conv1.weight", 4)[0]
        attention = sum(_attention(name, blocks, True) for name, blocks in zip(LAYERS, config.layers, strict=True))
        held = sum(key.endswith(".theta.weight") for key in file.tensors)
        return {
            **found,
            "width_per_group": (config.width_per_group, width),
            "non_local": (attention if config.non_local else 0, held),
        }


def _stem(groups: int) -> nn.Sequential:
    convolution = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    parts = (
        ("conv1", convolution),
        ("bn1", GroupedBatchNorm(64, groups)),
        ("relu", nn.ReLU(inplace=True)),
        ("maxpool", nn.MaxPool2d(3, stride=2, padding=1)),
    )
    return nn.Sequential(OrderedDict[str, nn.Module](parts))


def _layer(blocks: nn.Sequential, last: int, groups: int) -> nn.Sequential:
    """The blocks of a layer, by their numbers, as torchvision's files have them; behind so many of the last a non-local
    one, `non_local<number>`."""
    channels = _width_of(blocks)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for place, block in enumerate(blocks):
        parts[f"{place}"] = block
        if place >= len(blocks) - last:
            parts[f"non_local{place}"] = NonLocal(channels, groups)
    return nn.Sequential(parts)


def _width_of(blocks: nn.Sequential) -> int:
    """Channels that a layer of bottlenecks puts out."""
    first = blocks[0]
    assert isinstance(first, Bottleneck)
    return first.conv3.out_channels


def _attention(name: str, blocks: int, asked: bool) -> int:
    """Non-local blocks in a layer of so many blocks."""
    return min(NON_LOCAL.get(name, 0), blocks) if asked else 0


def _order(images: Tensor) -> torch.memory_format:
    """Channels last on a GPU, whose convolutions prefer it."""
    return torch.channels_last if images.is_cuda else torch.contiguous_format
