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
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from tokenmatcher.contracts import Modality
from tokenmatcher.models.backbone import StochasticDepth, TokenOutput
from tokenmatcher.models.norms import GroupedBatchNorm, gather_groups, scatter_groups
from tokenmatcher.recipe import number

GEM_FLOOR = 1e-12
NECK_STD = 0.01  # of the neck's fresh weights, around 1
NON_LOCAL = {"layer2": 2, "layer3": 3}  # behind so many of a layer's last blocks


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """network"""

    height: int = number(288, "image height, pixels [C]")
    width: int = number(144, "image width, pixels [C]")
    layers: tuple[int, int, int, int] = number((3, 4, 6, 3), "blocks of each layer [C]")
    width_per_group: int = number(64, "channels of the first layer's 3x3 convolutions; the next layers double them [C]")
    non_local: bool = number(False, "PGM's attention between the places of a map [C]")
    bn_groups: int = number(
        4,
        "parts of a batch that batch norm normalises apart from each other, as the published runs did on 4 GPUs; "
        "running statistics come from the first [C]",
    )


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


class TwoStemResNet(nn.Module):
    """ResNet of bottlenecks (He et al., CVPR 2016), torchvision's, with a stem for each modality.

    The neck's bias is kept at 0 (`requires_grad` is off). Fresh weights follow PyTorch's global generator: convolutions
    Kaiming (fan-out), norms 1 and 0, the neck's weight normal around 1.

    Attributes:
        depth_modules: residual branches that are left out at random; there are none.
    """

    depth_modules: tuple[StochasticDepth, ...] = ()

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
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
            _layer(getattr(trunk, name), NON_LOCAL.get(name, 0) if config.non_local else 0, groups)
            for name in ("layer1", "layer2", "layer3", "layer4")
        )
        self.neck = GroupedBatchNorm(trunk.fc.in_features, groups)
        nn.init.normal_(self.neck.weight, 1.0, NECK_STD)
        self.neck.bias.requires_grad_(False)

    @property
    def width(self) -> int:
        """D, of a feature."""
        return self.neck.num_features

    def forward(
        self, visible: Tensor | None = None, infrared: Tensor | None = None, depth_draws: Tensor | None = None
    ) -> TokenOutput:
        """Both modalities in one pass, so that batch statistics behind the stems see both.

        Args:
            visible: (B1, 3, H, W) normalised pixels, or None.
            infrared: (B2, 3, H, W) normalised pixels, or None.
            depth_draws: not read; other backbones have random depth.

        Returns:
            The pooled maps as one token (B, 1, D), and features (B, D), of the B1 visible images, then of the B2
            infrared ones.

        Raises:
            ValueError: no images, or images that are not (B, 3, H, W) of the configured size; while training, images
                of a modality that do not divide into the batch norm groups.
        """
        if visible is None and infrared is None:
            raise ValueError("needs visible or infrared images, got neither")
        size = (3, self.config.height, self.config.width)
        maps, counts = [], []
        for modality, stem, images in (
            (Modality.VISIBLE, self.visible, visible),
            (Modality.INFRARED, self.infrared, infrared),
        ):
            if images is None:
                continue
            if images.ndim != 4 or images.shape[1:] != size:
                expected = "x".join(map(str, size))
                raise ValueError(f"{modality} images must be Bx{expected}, got {tuple(images.shape)}")
            maps.append(stem(images.contiguous(memory_format=_order(images))))
            counts.append(images.shape[0])
        # Of this process; on several GPUs to a group the norms are nn.SyncBatchNorm, which knows no groups.
        groups = getattr(self.neck, "groups", 1) if self.training else 1
        rows = torch.cat(maps)
        if groups > 1:
            rows = gather_groups(rows, counts, groups).contiguous(memory_format=_order(rows))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            rows = layer(rows)
        pooled = gem(rows.float())  # under autocast, too, what follows is float32
        features = self.neck(pooled)
        if groups > 1:
            pooled, features = (scatter_groups(values, counts, groups) for values in (pooled, features))
        return TokenOutput(pooled.unsqueeze(1), features)


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
    channels = blocks[0].conv3.out_channels
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for place, block in enumerate(blocks):
        parts[f"{place}"] = block
        if place >= len(blocks) - last:
            parts[f"non_local{place}"] = NonLocal(channels, groups)
    return nn.Sequential(parts)


def _order(images: Tensor) -> torch.memory_format:
    """Channels last on a GPU, whose convolutions prefer it."""
    return torch.channels_last if images.is_cuda else torch.contiguous_format
